//! Using a link: a new user, or a new password, and a session either way; all of it or nothing.

use qponder_shared::account::User;
use qponder_shared::{Role, StudyId, UserId};
use sqlx::{PgConnection, Row};

use super::audit::{By, Change, Via, note};
use super::invites::read_role;
use super::sessions::{self, NewSession};
use super::studies::insert_member;
use super::users::{self, replace_password};
use super::{Store, StoreError};
use crate::accounts::secret::SecretHash;

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
    /// Uses a link: makes the user or replaces their password, and begins a session.
    ///
    /// # Errors
    /// When the database fails; then the link still works.
    pub async fn accept(&self, use_of: &Acceptance<'_>) -> Result<Accepted, StoreError> {
        let mut transaction = self.pool.begin().await?;
        // The update locks the row: of two who use a link at once, one finds it closed.
        let row = sqlx::query(
            "update invites set closed_at = now() where secret_sha256 = $1 and closed_at is null \
             and expires_at > now() returning id, role, user_id, study_id",
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
                if let Some(study) = row.try_get::<Option<uuid::Uuid>, _>("study_id")? {
                    insert_member(&mut transaction, StudyId(study), user.id, &by(&user)).await?;
                }
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
