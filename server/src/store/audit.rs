//! The audit log: who changed what, when. Rows are added in the transaction of the change and never
//! touched again; triggers refuse it.

use qponder_shared::account::AuditEntry;
use qponder_shared::{AuditId, UserId};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
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
    /// One page of the log, newest first: `limit` lines at most, before `before`, of one object where one
    /// is named.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn audit(
        &self,
        object: Option<Uuid>,
        before: Option<AuditId>,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        let before = before.map_or(Uuid::max(), |id| id.0);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = match object {
            None => sqlx::query("select * from audit_log where id < $1 order by id desc limit $2"),
            Some(_) => {
                sqlx::query("select * from audit_log where id < $1 and object = $3 order by id desc limit $2")
            }
        };
        let rows = rows.bind(before).bind(limit);
        let rows = match object {
            None => rows,
            Some(object) => rows.bind(object),
        };
        rows.fetch_all(&self.pool).await?.iter().map(read).collect()
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
