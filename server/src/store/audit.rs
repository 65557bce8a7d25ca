//! The audit log: who changed what, when. Rows are added in the transaction of the change and never
//! touched again; triggers refuse it.

use qponder_shared::account::AuditEntry;
use qponder_shared::{AuditId, UserId};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, QueryBuilder, Row};
use uuid::Uuid;

use super::images::rfc3339;
use super::{Store, StoreError};

/// By what right something was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// Signed in on the page.
    Session,
    /// A personal API token.
    Token,
    /// A link that works once.
    Link,
    /// Being on this machine, in local mode.
    Local,
    /// The command line, with access to the database.
    Command,
}

impl Via {
    /// Reads [`Via::name`].
    pub(super) fn of_name(name: &str) -> Option<Self> {
        [Via::Session, Via::Token, Via::Link, Via::Local, Via::Command]
            .into_iter()
            .find(|via| via.name() == name)
    }

    /// The name in the database.
    pub(super) fn name(self) -> &'static str {
        match self {
            Via::Session => "session",
            Via::Token => "token",
            Via::Link => "link",
            Via::Local => "local",
            Via::Command => "command",
        }
    }
}

/// Who changes something.
#[derive(Clone, Debug)]
pub struct By {
    /// The user, where there is one.
    pub user: Option<UserId>,
    /// What the log calls them: users by their address, which a later change does not touch.
    pub name: String,
    /// By what right.
    pub via: Via,
    /// The request that asks for it.
    pub request: Option<Uuid>,
}

/// One change to note.
pub(super) struct Change<'a> {
    /// Noun and verb, such as `image.delete`.
    pub action: &'static str,
    /// Id of what is changed.
    pub object: Option<Uuid>,
    /// What changed, for people. Never a secret.
    pub detail: &'a str,
}

/// Adds a line to the log, within the caller's transaction.
pub(super) async fn note(
    connection: &mut PgConnection,
    by: &By,
    change: Change<'_>,
) -> Result<(), StoreError> {
    sqlx::query(
        "insert into audit_log (id, actor_id, actor, via, action, object, detail, request_id) \
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(AuditId::new().0)
    .bind(by.user.map(|user| user.0))
    .bind(&by.name)
    .bind(by.via.name())
    .bind(change.action)
    .bind(change.object)
    .bind(change.detail)
    .bind(by.request)
    .execute(connection)
    .await?;
    Ok(())
}

impl Store {
    /// Notes that files without a row were removed.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn note_removed_files(&self, files: u64, bytes: u64, by: &By) -> Result<(), StoreError> {
        let mut connection = self.pool.acquire().await?;
        let detail = format!("{files} files, {bytes} bytes");
        note(&mut connection, by, Change { action: "storage.remove_orphans", object: None, detail: &detail })
            .await
    }
}

/// Which lines of the log.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Of this object alone.
    pub object: Option<Uuid>,
    /// By this actor alone.
    pub actor: Option<String>,
    /// Actions of this noun alone, such as `study`.
    pub noun: Option<String>,
    /// Not before, in milliseconds since 1970.
    pub since: Option<u64>,
    /// Before, in milliseconds since 1970.
    pub until: Option<u64>,
}

impl Store {
    /// One page of the log, newest first: `limit` lines at most, before `before`. Each filter is an index.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn audit(
        &self,
        filter: &AuditFilter,
        before: Option<AuditId>,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        // Ids begin with their time, so a time is a range of ids.
        let at = |ms: u64| Uuid::from_u128(u128::from(ms) << 80);
        let until = filter.until.map_or(Uuid::max(), at);
        let mut query = QueryBuilder::new("select * from audit_log where id < ");
        query.push_bind(before.map_or(Uuid::max(), |id| id.0).min(until));
        if let Some(since) = filter.since {
            query.push(" and id >= ").push_bind(at(since));
        }
        if let Some(object) = filter.object {
            query.push(" and object = ").push_bind(object);
        }
        if let Some(actor) = &filter.actor {
            query.push(" and actor = ").push_bind(actor);
        }
        if let Some(noun) = &filter.noun {
            query.push(" and split_part(action, '.', 1) = ").push_bind(noun);
        }
        query.push(" order by id desc limit ").push_bind(i64::try_from(limit).unwrap_or(i64::MAX));
        query.build().fetch_all(&self.pool).await?.iter().map(read).collect()
    }
}

fn read(row: &PgRow) -> Result<AuditEntry, StoreError> {
    Ok(AuditEntry {
        id: AuditId(row.try_get("id")?),
        at: rfc3339(row.try_get("at")?),
        actor_id: row.try_get::<Option<Uuid>, _>("actor_id")?.map(UserId),
        actor: row.try_get("actor")?,
        via: row.try_get("via")?,
        action: row.try_get("action")?,
        object: row.try_get::<Option<Uuid>, _>("object")?.map(|id| id.to_string()),
        detail: row.try_get("detail")?,
        request_id: row.try_get::<Option<Uuid>, _>("request_id")?.map(|id| id.to_string()),
    })
}
