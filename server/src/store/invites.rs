//! Links that work once: for the first admin, for a new user of some role, for a new password. How they are
//! used is in [`super::acceptance`].

use qponder_shared::account::{Invite, InvitePurpose, OpenInvite};
use qponder_shared::{InviteId, Role, StudyId, UserId};
use sqlx::Row;
use sqlx::postgres::PgRow;
use time::OffsetDateTime;

use super::audit::{By, Change, note};
use super::images::rfc3339;
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
        /// The study of which they become a member.
        study: Option<StudyId>,
    },
    /// A new password for a user. Earlier such links of theirs stop working.
    Reset(UserId),
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
        let (role, user, seconds, words, study) = match purpose {
            Purpose::First => {
                let statement = "update invites set closed_at = now() \
                     where closed_at is null and not exists (select from users)";
                sqlx::query(statement).execute(&mut *transaction).await?;
                (Some(Role::Admin), None, SOON, "the first admin", None)
            }
            Purpose::Join { role, note, study } => (Some(role), None, JOIN, note, study),
            Purpose::Reset(user) => {
                let statement =
                    "update invites set closed_at = now() where closed_at is null and user_id = $1";
                sqlx::query(statement).bind(user.0).execute(&mut *transaction).await?;
                (None, Some(user), SOON, "", None)
            }
        };
        let row = sqlx::query(
            "insert into invites (id, secret_sha256, role, user_id, note, created_by, expires_at, study_id) \
             select $1, $2, $3, $4, $5, $6, now() + make_interval(secs => $7), $9 \
             where ($4 is null or exists (select from users where id = $4)) \
             and ($9 is null or exists (select from studies where id = $9)) \
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
        .bind(study.map(|study| study.0))
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let id = InviteId(row.try_get("id")?);
        let (action, object, detail) = match purpose {
            Purpose::First => ("invite.create", id.0, "for the first admin".to_owned()),
            Purpose::Join { role, note: "", .. } => ("invite.create", id.0, role.to_string()),
            Purpose::Join { role, note, .. } => ("invite.create", id.0, format!("{role}: {note}")),
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

/// The role that a row names.
pub(super) fn read_role(row: &PgRow) -> Result<Role, StoreError> {
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
