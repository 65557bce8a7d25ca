//! Personal API tokens. A token does what its scopes and its owner's role both allow.

use qponder_shared::account::{Token, User};
use qponder_shared::{Scope, TokenId, UserId};
use sqlx::Row;
use sqlx::postgres::PgRow;
use time::OffsetDateTime;

use super::audit::{By, Change, note};
use super::images::rfc3339;
use super::users;
use super::{Store, StoreError};
use crate::accounts::secret::SecretHash;

/// Tokens that one user may have.
pub const MOST_TOKENS: i64 = 50;
/// How exact `last_used_at` is, in seconds: not every request writes a row.
const USED: f64 = 60.0;

/// A token to make.
pub struct NewToken<'a> {
    /// Whose it is.
    pub user: UserId,
    /// What it is for.
    pub name: &'a str,
    /// Hash of its secret.
    pub secret: SecretHash,
    /// What it may do.
    pub scopes: &'a [Scope],
    /// When it ends.
    pub days: Option<u16>,
}

impl Store {
    /// Makes a token; `None` when the user has as many as they may.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn add_token(&self, new: &NewToken<'_>, by: &By) -> Result<Option<Token>, StoreError> {
        let mut transaction = self.pool.begin().await?;
        // Held until the end, so that requests side by side cannot exceed the number.
        sqlx::query("select from users where id = $1 for update")
            .bind(new.user.0)
            .execute(&mut *transaction)
            .await?;
        let scopes: Vec<&str> = new.scopes.iter().map(|scope| scope.name()).collect();
        let row = sqlx::query(
            "insert into api_tokens (id, user_id, name, secret_sha256, scopes, expires_at) \
             select $1, $2, $3, $4, $5, now() + make_interval(days => $6) \
             where (select count(*) from api_tokens where user_id = $2) < $7 returning *",
        )
        .bind(TokenId::new().0)
        .bind(new.user.0)
        .bind(new.name)
        .bind(&new.secret[..])
        .bind(&scopes)
        .bind(new.days.map(i32::from))
        .bind(MOST_TOKENS)
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(token) = row.map(|row| read(&row)).transpose()? else {
            return Ok(None);
        };
        let detail = format!("{}: {}", new.name, scopes.join(", "));
        let change = Change { action: "token.create", object: Some(token.id.0), detail: &detail };
        note(&mut transaction, by, change).await?;
        transaction.commit().await?;
        Ok(Some(token))
    }

    /// The scopes and the owner of a secret, if the token has not ended and the owner is not disabled.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn token(&self, secret: &SecretHash) -> Result<Option<(Vec<Scope>, User)>, StoreError> {
        let row = sqlx::query(
            "select users.*, api_tokens.id as token_id, scopes, \
             coalesce(last_used_at < now() - make_interval(secs => $2), true) as stale \
             from api_tokens join users on users.id = user_id \
             where secret_sha256 = $1 and coalesce(expires_at > now(), true) and disabled_at is null",
        )
        .bind(&secret[..])
        .bind(USED)
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        if row.try_get("stale")? {
            sqlx::query("update api_tokens set last_used_at = now() where id = $1")
                .bind(row.try_get::<uuid::Uuid, _>("token_id")?)
                .execute(&self.pool)
                .await?;
        }
        Ok(Some((read_scopes(&row)?, users::read(&row)?)))
    }

    /// The tokens of a user, newest first; never more than [`MOST_TOKENS`].
    ///
    /// # Errors
    /// When the database fails.
    pub async fn tokens_of(&self, user: UserId) -> Result<Vec<Token>, StoreError> {
        let rows = sqlx::query("select * from api_tokens where user_id = $1 order by id desc")
            .bind(user.0)
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(read).collect()
    }

    /// Deletes a user's token; whether there was one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delete_token(&self, user: UserId, id: TokenId, by: &By) -> Result<bool, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let name: Option<String> =
            sqlx::query_scalar("delete from api_tokens where id = $1 and user_id = $2 returning name")
                .bind(id.0)
                .bind(user.0)
                .fetch_optional(&mut *transaction)
                .await?;
        let Some(name) = name else {
            return Ok(false);
        };
        note(&mut transaction, by, Change { action: "token.delete", object: Some(id.0), detail: &name })
            .await?;
        transaction.commit().await?;
        Ok(true)
    }
}

fn read(row: &PgRow) -> Result<Token, StoreError> {
    Ok(Token {
        id: TokenId(row.try_get("id")?),
        name: row.try_get("name")?,
        scopes: read_scopes(row)?,
        created_at: rfc3339(row.try_get("created_at")?),
        last_used_at: row.try_get::<Option<OffsetDateTime>, _>("last_used_at")?.map(rfc3339),
        expires_at: row.try_get::<Option<OffsetDateTime>, _>("expires_at")?.map(rfc3339),
    })
}

fn read_scopes(row: &PgRow) -> Result<Vec<Scope>, StoreError> {
    let words: Vec<String> = row.try_get("scopes")?;
    let read = |word: String| {
        word.parse().map_err(|_| StoreError::Unreadable { what: "api_tokens.scopes", value: word })
    };
    words.into_iter().map(read).collect()
}
