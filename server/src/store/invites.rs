//! Links that work once: for the first admin, for a new user of some role, for a new password.

use qponder_shared::account::{Invite, InvitePurpose, OpenInvite, User};
use qponder_shared::{InviteId, Role, UserId};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use time::OffsetDateTime;

use super::audit::{By, Change, Via, note};
use super::images::rfc3339;
use super::sessions::{self, NewSession};
use super::users::{self, replace_password};
use super::{Store, StoreError};
use crate::accounts::secret::SecretHash;

/// Seconds that a link for a new user works: a week.
const JOIN: f64 = 7.0 * 86400.0;
/// Seconds that a link for a password or for the first admin works: a day.
const SOON: f64 = 86400.0;
/// Links for new users that may be open at a time.
pub const MOST_INVITES: i64 = 500;

/// What a new link is for.
#[derive(Clone, Copy)]
pub enum Purpose<'a> {
    /// The first admin. Earlier such links stop working.
    First,
    /// A new user of a role.
    Join {
        /// Their role.
        role: Role,
        /// Whom it is for.
        note: &'a str,
    },
    /// A new password for a user. Earlier such links of theirs stop working.
    Reset(UserId),
}

/// How a link is used.
pub struct Acceptance<'a> {
    /// Hash of the link's secret.
    pub link: SecretHash,
    /// Address of a new user, in lower case.
    pub email: &'a str,
    /// Name of a new user.
    pub name: &'a str,
    /// Hash of the password.
    pub password_hash: &'a str,
    /// Hash of the secret of the session to begin.
    pub session: SecretHash,
    /// What the browser calls itself.
    pub client: &'a str,
    /// Hash of the session that this browser had before.
    pub replaces: Option<SecretHash>,
    /// The request.
    pub request: Option<uuid::Uuid>,
}

/// What became of an [`Acceptance`].
pub enum Accepted {
    /// They are signed in.
    User(User),
    /// The link does not work, or no more.
    NoLink,
    /// Somebody with this address is here already.
    EmailTaken,
}

impl Store {
    /// Makes a link; `None` when too many are open or there is no such user. Returns its id and end.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn add_link(
        &self,
        purpose: Purpose<'_>,
        secret: &SecretHash,
        by: &By,
    ) -> Result<Option<(InviteId, String)>, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let (role, user, seconds, words) = match purpose {
            Purpose::First => {
                let statement = "update invites set closed_at = now() \
                     where closed_at is null and not exists (select from users)";
                sqlx::query(statement).execute(&mut *transaction).await?;
                (Some(Role::Admin), None, SOON, "the first admin")
            }
            Purpose::Join { role, note } => (Some(role), None, JOIN, note),
            Purpose::Reset(user) => {
                let statement =
                    "update invites set closed_at = now() where closed_at is null and user_id = $1";
                sqlx::query(statement).bind(user.0).execute(&mut *transaction).await?;
                (None, Some(user), SOON, "")
            }
        };
        let row = sqlx::query(
            "insert into invites (id, secret_sha256, role, user_id, note, created_by, expires_at) \
             select $1, $2, $3, $4, $5, $6, now() + make_interval(secs => $7) \
             where ($4 is null or exists (select from users where id = $4)) \
             and (select count(*) from invites where closed_at is null and expires_at > now()) < $8 \
             returning id, expires_at",
        )
        .bind(InviteId::new().0)
        .bind(&secret[..])
        .bind(role.map(Role::name))
        .bind(user.map(|user| user.0))
        .bind(words)
        .bind(&by.name)
        .bind(seconds)
        .bind(MOST_INVITES)
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let id = InviteId(row.try_get("id")?);
        let (action, object, detail) = match purpose {
            Purpose::First => ("invite.create", id.0, "for the first admin".to_owned()),
            Purpose::Join { role, note } if note.is_empty() => ("invite.create", id.0, role.to_string()),
            Purpose::Join { role, note } => ("invite.create", id.0, format!("{role}: {note}")),
            Purpose::Reset(user) => ("user.reset_link", user.0, String::new()),
        };
        note(&mut transaction, by, Change { action, object: Some(object), detail: &detail }).await?;
        transaction.commit().await?;
        Ok(Some((id, rfc3339(row.try_get("expires_at")?))))
    }

    /// What a link is for, if it works.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn link(&self, secret: &SecretHash) -> Result<Option<OpenInvite>, StoreError> {
        let row = sqlx::query(
            "select coalesce(invites.role, users.role) as role, users.email, not exists (select from users) as first \
             from invites left join users on users.id = user_id \
             where secret_sha256 = $1 and closed_at is null and expires_at > now() and users.disabled_at is null",
        )
        .bind(&secret[..])
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let email: Option<String> = row.try_get("email")?;
        let purpose = if email.is_some() { InvitePurpose::Reset } else { InvitePurpose::Join };
        Ok(Some(OpenInvite { purpose, role: read_role(&row)?, email, first: row.try_get("first")? }))
    }

    /// Uses a link: makes the user or replaces their password, and begins a session.
    ///
    /// # Errors
    /// When the database fails; then the link still works.
    pub async fn accept(&self, use_of: &Acceptance<'_>) -> Result<Accepted, StoreError> {
        let mut transaction = self.pool.begin().await?;
        // The update locks the row: of two who use a link at once, one finds it closed.
        let row = sqlx::query(
            "update invites set closed_at = now() where secret_sha256 = $1 and closed_at is null \
             and expires_at > now() returning id, role, user_id",
        )
        .bind(&use_of.link[..])
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(row) = row else {
            return Ok(Accepted::NoLink);
        };
        let by = |user: &User| By {
            user: Some(user.id),
            name: user.email.clone(),
            via: Via::Link,
            request: use_of.request,
        };
        let user = match row.try_get::<Option<uuid::Uuid>, _>("user_id")? {
            Some(id) => {
                let user = sqlx::query("select * from users where id = $1 and disabled_at is null")
                    .bind(id)
                    .fetch_optional(&mut *transaction)
                    .await?;
                let Some(user) = user.map(|row| users::read(&row)).transpose()? else {
                    return Ok(Accepted::NoLink);
                };
                let hash = use_of.password_hash;
                replace_password(&mut transaction, user.id, hash, None, &by(&user)).await?;
                user
            }
            None => {
                let Some(user) = insert_user(&mut transaction, use_of, read_role(&row)?).await? else {
                    return Ok(Accepted::EmailTaken);
                };
                let detail = format!("{} as {}", user.email, user.role);
                let change = Change { action: "user.create", object: Some(user.id.0), detail: &detail };
                note(&mut transaction, &by(&user), change).await?;
                user
            }
        };
        let session = NewSession {
            user: user.id,
            secret: use_of.session,
            client: use_of.client,
            replaces: use_of.replaces,
        };
        sessions::insert(&mut transaction, &session, &by(&user)).await?;
        transaction.commit().await?;
        Ok(Accepted::User(user))
    }

    /// The links for new users that still work, newest first; never more than [`MOST_INVITES`].
    ///
    /// # Errors
    /// When the database fails.
    pub async fn invites(&self) -> Result<Vec<Invite>, StoreError> {
        let rows = sqlx::query(
            "select * from invites where closed_at is null and expires_at > now() and role is not null \
             order by id desc",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(read).collect()
    }

    /// Takes a link for a new user back; whether there was one that still worked.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn revoke_invite(&self, id: InviteId, by: &By) -> Result<bool, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let closed = sqlx::query(
            "update invites set closed_at = now() where id = $1 and closed_at is null and role is not null",
        )
        .bind(id.0)
        .execute(&mut *transaction)
        .await?;
        if closed.rows_affected() == 0 {
            return Ok(false);
        }
        note(&mut transaction, by, Change { action: "invite.revoke", object: Some(id.0), detail: "" })
            .await?;
        transaction.commit().await?;
        Ok(true)
    }
}

/// A new user; `None` when the address is taken.
async fn insert_user(
    connection: &mut PgConnection,
    use_of: &Acceptance<'_>,
    role: Role,
) -> Result<Option<User>, StoreError> {
    let row = sqlx::query(
        "insert into users (id, email, name, role, password_hash) values ($1, $2, $3, $4, $5) \
         on conflict (email) do nothing returning *",
    )
    .bind(UserId::new().0)
    .bind(use_of.email)
    .bind(use_of.name)
    .bind(role.name())
    .bind(use_of.password_hash)
    .fetch_optional(connection)
    .await?;
    row.map(|row| users::read(&row)).transpose()
}

fn read_role(row: &PgRow) -> Result<Role, StoreError> {
    let role: String = row.try_get("role")?;
    role.parse().map_err(|_| StoreError::Unreadable { what: "invites.role", value: role })
}

fn read(row: &PgRow) -> Result<Invite, StoreError> {
    Ok(Invite {
        id: InviteId(row.try_get("id")?),
        role: read_role(row)?,
        note: row.try_get("note")?,
        created_by: row.try_get("created_by")?,
        created_at: rfc3339(row.try_get::<OffsetDateTime, _>("created_at")?),
        expires_at: rfc3339(row.try_get::<OffsetDateTime, _>("expires_at")?),
    })
}
