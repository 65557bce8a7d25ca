//! Users: rows, passwords, roles. A user is disabled, never deleted, and one enabled admin always stays.

use qponder_shared::account::{ChangeUser, User};
use qponder_shared::{Role, SessionId, UserId};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use time::OffsetDateTime;

use super::audit::{By, Change, note};
use super::images::rfc3339;
use super::{Store, StoreError};

/// What became of a change of a user.
pub enum Changed {
    /// This is how they are now.
    User(User),
    /// Nobody could administer afterwards, so nothing was changed.
    LastAdmin,
    /// There is no such user.
    NoUser,
}

impl Store {
    /// Whether anybody has an account.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn has_users(&self) -> Result<bool, StoreError> {
        Ok(sqlx::query_scalar("select exists (select from users)").fetch_one(&self.pool).await?)
    }

    /// One page of users in the order in which they joined: `limit` at most, after `after`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn users(&self, after: Option<UserId>, limit: usize) -> Result<Vec<User>, StoreError> {
        let rows = sqlx::query("select * from users where id > $1 order by id limit $2")
            .bind(after.map_or(uuid::Uuid::nil(), |id| id.0))
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(read).collect()
    }

    /// A user, by id.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn user(&self, id: UserId) -> Result<Option<User>, StoreError> {
        let row =
            sqlx::query("select * from users where id = $1").bind(id.0).fetch_optional(&self.pool).await?;
        row.map(|row| read(&row)).transpose()
    }

    /// A user and the hash of their password, by address in lower case.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn credentials(&self, email: &str) -> Result<Option<(User, String)>, StoreError> {
        let row = sqlx::query("select * from users where email = $1")
            .bind(email)
            .fetch_optional(&self.pool)
            .await?;
        row.map(|row| Ok((read(&row)?, row.try_get("password_hash")?))).transpose()
    }

    /// Changes a user's role, or disables or enables them. Disabling ends their sessions.
    ///
    /// # Errors
    /// When the database fails; then nothing is changed.
    pub async fn change_user(&self, id: UserId, change: &ChangeUser, by: &By) -> Result<Changed, StoreError> {
        let mut transaction = self.pool.begin().await?;
        // Locked in one order by everybody: two admins who demote each other wait, and the second is refused.
        let admins: Vec<uuid::Uuid> = sqlx::query_scalar(
            "select id from users where role = 'admin' and disabled_at is null order by id for update",
        )
        .fetch_all(&mut *transaction)
        .await?;
        let row = sqlx::query("select * from users where id = $1 for update")
            .bind(id.0)
            .fetch_optional(&mut *transaction)
            .await?;
        let Some(before) = row.map(|row| read(&row)).transpose()? else {
            return Ok(Changed::NoUser);
        };
        let role = change.role.unwrap_or(before.role);
        let disabled = change.disabled.unwrap_or(before.disabled);
        if admins == [id.0] && (role != Role::Admin || disabled) {
            return Ok(Changed::LastAdmin);
        }
        let row = sqlx::query(
            "update users set role = $2, disabled_at = case when $3 then coalesce(disabled_at, now()) end \
             where id = $1 returning *",
        )
        .bind(id.0)
        .bind(role.name())
        .bind(disabled)
        .fetch_one(&mut *transaction)
        .await?;
        if role != before.role {
            let detail = format!("{}: {} to {role}", before.email, before.role);
            let change = Change { action: "user.role", object: Some(id.0), detail: &detail };
            note(&mut transaction, by, change).await?;
        }
        if disabled != before.disabled {
            let action = if disabled { "user.disable" } else { "user.enable" };
            note(&mut transaction, by, Change { action, object: Some(id.0), detail: &before.email }).await?;
        }
        if disabled {
            sqlx::query("delete from sessions where user_id = $1")
                .bind(id.0)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(Changed::User(read(&row)?))
    }

    /// Gives a user another password and ends all their sessions but one.
    ///
    /// # Errors
    /// When the database fails; then nothing is changed.
    pub async fn set_password(
        &self,
        id: UserId,
        hash: &str,
        kept: Option<SessionId>,
        by: &By,
    ) -> Result<(), StoreError> {
        let mut transaction = self.pool.begin().await?;
        replace_password(&mut transaction, id, hash, kept, by).await?;
        transaction.commit().await?;
        Ok(())
    }
}

/// The same within the caller's transaction.
pub(super) async fn replace_password(
    connection: &mut PgConnection,
    id: UserId,
    hash: &str,
    kept: Option<SessionId>,
    by: &By,
) -> Result<(), StoreError> {
    sqlx::query("update users set password_hash = $2 where id = $1")
        .bind(id.0)
        .bind(hash)
        .execute(&mut *connection)
        .await?;
    sqlx::query("delete from sessions where user_id = $1 and id is distinct from $2")
        .bind(id.0)
        .bind(kept.map(|id| id.0))
        .execute(&mut *connection)
        .await?;
    note(connection, by, Change { action: "user.password", object: Some(id.0), detail: "" }).await
}

/// A row with the columns of `users`.
pub(super) fn read(row: &PgRow) -> Result<User, StoreError> {
    let role: String = row.try_get("role")?;
    Ok(User {
        id: UserId(row.try_get("id")?),
        email: row.try_get("email")?,
        name: row.try_get("name")?,
        role: role.parse().map_err(|_| StoreError::Unreadable { what: "users.role", value: role })?,
        disabled: row.try_get::<Option<OffsetDateTime>, _>("disabled_at")?.is_some(),
        created_at: rfc3339(row.try_get("created_at")?),
    })
}
