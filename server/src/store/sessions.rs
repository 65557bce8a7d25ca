//! Sessions: who is signed in, in which browser, and until when.

use qponder_shared::account::{Session, User};
use qponder_shared::{SessionId, UserId};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use super::audit::{By, Change, note};
use super::images::rfc3339;
use super::users;
use super::{Store, StoreError};
use crate::accounts::secret::SecretHash;

/// A session that nobody uses ends after this many seconds: three days, so that it outlives a night and
/// a weekend's first half, not a forgotten browser.
const IDLE: f64 = 3.0 * 86400.0;
/// Every session ends after this many seconds: thirty days.
pub const LONGEST: f64 = 30.0 * 86400.0;
/// How exact `last_seen_at` is, in seconds: not every request writes a row.
const SEEN: f64 = 60.0;

/// A session to begin.
pub struct NewSession<'a> {
    /// Whose it is.
    pub user: UserId,
    /// Hash of its secret.
    pub secret: SecretHash,
    /// The browser, as a person knows it.
    pub client: &'a str,
    /// Hash of the session that this browser had before: it ends.
    pub replaces: Option<SecretHash>,
}

impl Store {
    /// Begins a session.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn begin_session(&self, new: &NewSession<'_>, by: &By) -> Result<SessionId, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let id = insert(&mut transaction, new, by).await?;
        transaction.commit().await?;
        Ok(id)
    }

    /// The session of a secret, if it has not ended, and its user, if they are not disabled.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn session(&self, secret: &SecretHash) -> Result<Option<(SessionId, User)>, StoreError> {
        let row = sqlx::query(
            "select users.*, sessions.id as session_id, \
             sessions.last_seen_at < now() - make_interval(secs => $3) as stale \
             from sessions join users on users.id = sessions.user_id \
             where secret_sha256 = $1 and expires_at > now() \
             and last_seen_at > now() - make_interval(secs => $2) and disabled_at is null",
        )
        .bind(&secret[..])
        .bind(IDLE)
        .bind(SEEN)
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let id = SessionId(row.try_get("session_id")?);
        if row.try_get("stale")? {
            sqlx::query("update sessions set last_seen_at = now() where id = $1")
                .bind(id.0)
                .execute(&self.pool)
                .await?;
        }
        Ok(Some((id, users::read(&row)?)))
    }

    /// The sessions of a user that have not ended, newest first. There are no more than browsers.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sessions_of(&self, user: UserId, current: SessionId) -> Result<Vec<Session>, StoreError> {
        let rows = sqlx::query(
            "select * from sessions where user_id = $1 and expires_at > now() \
             and last_seen_at > now() - make_interval(secs => $2) order by id desc limit 200",
        )
        .bind(user.0)
        .bind(IDLE)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(|row| read(row, current)).collect()
    }

    /// Ends one session.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn end_session(&self, id: SessionId, by: &By) -> Result<(), StoreError> {
        let mut transaction = self.pool.begin().await?;
        sqlx::query("delete from sessions where id = $1").bind(id.0).execute(&mut *transaction).await?;
        note(&mut transaction, by, Change { action: "session.end", object: Some(id.0), detail: "" }).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Ends every session of a user.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn end_sessions(&self, user: UserId, by: &By) -> Result<(), StoreError> {
        let mut transaction = self.pool.begin().await?;
        let ended = sqlx::query("delete from sessions where user_id = $1")
            .bind(user.0)
            .execute(&mut *transaction)
            .await?
            .rows_affected();
        let detail = format!("{ended} ended");
        let change = Change { action: "session.end_all", object: Some(user.0), detail: &detail };
        note(&mut transaction, by, change).await?;
        transaction.commit().await?;
        Ok(())
    }
}

/// Begins a session within the caller's transaction, and sweeps out what ended long ago.
pub(super) async fn insert(
    connection: &mut PgConnection,
    new: &NewSession<'_>,
    by: &By,
) -> Result<SessionId, StoreError> {
    let id = SessionId::new();
    sqlx::query(
        "delete from sessions where secret_sha256 = $1 \
         or (user_id = $2 and (expires_at < now() or last_seen_at < now() - make_interval(secs => $3)))",
    )
    .bind(new.replaces.as_ref().map(|hash| &hash[..]))
    .bind(new.user.0)
    .bind(IDLE)
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "insert into sessions (id, user_id, secret_sha256, client, expires_at) \
         values ($1, $2, $3, $4, now() + make_interval(secs => $5))",
    )
    .bind(id.0)
    .bind(new.user.0)
    .bind(&new.secret[..])
    .bind(new.client)
    .bind(LONGEST)
    .execute(&mut *connection)
    .await?;
    note(connection, by, Change { action: "session.begin", object: Some(id.0), detail: new.client }).await?;
    Ok(id)
}

fn read(row: &PgRow, current: SessionId) -> Result<Session, StoreError> {
    let id = SessionId(row.try_get("id")?);
    Ok(Session {
        id,
        client: row.try_get("client")?,
        current: id == current,
        created_at: rfc3339(row.try_get("created_at")?),
        last_seen_at: rfc3339(row.try_get("last_seen_at")?),
        expires_at: rfc3339(row.try_get("expires_at")?),
    })
}
