//! Imports and exports: what was asked for, how far it is, and what came of it.

use qponder_shared::transfer::{Direction, Report, Transfer, TransferState};
use qponder_shared::{TransferId, UserId};
use sqlx::Row;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use uuid::Uuid;

use super::audit::{By, Change, Via, note};
use super::images::rfc3339;
use super::{Store, StoreError};

/// A transfer that is to be begun.
pub struct NewTransfer<'a> {
    /// Its id; an import's file lies under it already.
    pub id: TransferId,
    /// Which way.
    pub direction: Direction,
    /// What was asked for.
    pub query: serde_json::Value,
    /// The same in words.
    pub title: &'a str,
    /// Name of the file that came, or that will be made.
    pub file_name: &'a str,
    /// Size and SHA-256 of the file that came.
    pub file: Option<(u64, &'a str)>,
    /// The client's name for this request.
    pub idempotency_key: Option<&'a str>,
}

/// What became of a [`NewTransfer`].
pub enum AddedTransfer {
    /// It is queued.
    Created(Transfer),
    /// The same request came before under the same key.
    Repeated(Transfer),
    /// The key came before with another request.
    KeyTaken,
}

/// A transfer that a server has begun.
pub struct Begun {
    /// What it is.
    pub transfer: Transfer,
    /// Who asked.
    pub by: By,
    /// How often it was begun before.
    pub attempts: i32,
}

/// The end of a transfer.
pub enum End {
    /// It is done; an export with the size and the SHA-256 of its file.
    Done { report: Option<Report>, file: Option<(u64, String)> },
    /// It could not be done.
    Failed { error: String, report: Option<Report> },
    /// Somebody did not want it any more.
    Cancelled,
}

impl Store {
    /// Notes a transfer that is to be begun.
    ///
    /// # Errors
    /// When the database fails; then there is none.
    pub async fn add_transfer(&self, new: &NewTransfer<'_>, by: &By) -> Result<AddedTransfer, StoreError> {
        // Keys of two people never meet.
        let key = new.idempotency_key.map(|key| format!("{}:{key}", by.name));
        let mut transaction = self.pool.begin().await?;
        let row = sqlx::query(
            "insert into transfers (id, direction, query, title, file_name, bytes, sha256, created_by_id, \
             created_by, created_via, idempotency_key) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
             on conflict (idempotency_key) do nothing returning *",
        )
        .bind(new.id.0)
        .bind(new.direction.name())
        .bind(Json(&new.query))
        .bind(new.title)
        .bind(new.file_name)
        .bind(new.file.map(|(bytes, _)| i64::try_from(bytes).unwrap_or(i64::MAX)))
        .bind(new.file.map(|(_, sha256)| sha256))
        .bind(by.user.map(|user| user.0))
        .bind(&by.name)
        .bind(by.via.name())
        .bind(&key)
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(row) = row else {
            let earlier = sqlx::query("select * from transfers where idempotency_key = $1")
                .bind(&key)
                .fetch_one(&mut *transaction)
                .await?;
            let earlier = read(&earlier)?;
            let is_same = earlier.query == new.query
                && earlier.direction == new.direction
                && new.file.is_none_or(|(_, sha256)| earlier.sha256.as_deref() == Some(sha256));
            return Ok(if is_same { AddedTransfer::Repeated(earlier) } else { AddedTransfer::KeyTaken });
        };
        let action = match new.direction {
            Direction::Import => "import.create",
            Direction::Export => "export.create",
        };
        note(&mut transaction, by, Change { action, object: Some(new.id.0), detail: new.title }).await?;
        transaction.commit().await?;
        Ok(AddedTransfer::Created(read(&row)?))
    }

    /// One page of transfers, newest first: `limit` at most, before `before`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn transfers(
        &self,
        before: Option<TransferId>,
        limit: usize,
    ) -> Result<Vec<Transfer>, StoreError> {
        let rows = sqlx::query("select * from transfers where id < $1 order by id desc limit $2")
            .bind(before.map_or(Uuid::max(), |id| id.0))
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(read).collect()
    }

    /// A transfer.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn transfer(&self, id: TransferId) -> Result<Option<Transfer>, StoreError> {
        let row = sqlx::query("select * from transfers where id = $1")
            .bind(id.0)
            .fetch_optional(&self.pool)
            .await?;
        row.map(|row| read(&row)).transpose()
    }

    /// Queues again what an earlier server left running; the server holds the database for itself.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn requeue_transfers(&self) -> Result<u64, StoreError> {
        let requeued =
            sqlx::query("update transfers set state = 'queued' where state = 'running'").execute(&self.pool);
        Ok(requeued.await?.rows_affected())
    }

    /// Begins the oldest transfer that is queued; `None` where there is none.
    ///
    /// # Errors
    /// When the database fails; then none is begun.
    pub async fn begin_transfer(&self) -> Result<Option<Begun>, StoreError> {
        let row = sqlx::query(
            "update transfers set state = 'running', attempts = attempts + 1, done = 0, total = 0 \
             where id = (select id from transfers where state = 'queued' order by id limit 1 \
             for update skip locked) returning *",
        )
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let via: String = row.try_get("created_via")?;
        let by = By {
            user: row.try_get::<Option<Uuid>, _>("created_by_id")?.map(UserId),
            name: row.try_get("created_by")?,
            via: Via::of_name(&via)
                .ok_or(StoreError::Unreadable { what: "transfers.created_via", value: via })?,
            request: None,
        };
        Ok(Some(Begun { transfer: read(&row)?, by, attempts: row.try_get("attempts")? }))
    }

    /// Notes how far a transfer is; whether it is still wanted.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn note_progress(&self, id: TransferId, done: u64, total: u64) -> Result<bool, StoreError> {
        let noted =
            sqlx::query("update transfers set done = $2, total = $3 where id = $1 and state = 'running'")
                .bind(id.0)
                .bind(i64::try_from(done).unwrap_or(i64::MAX))
                .bind(i64::try_from(total).unwrap_or(i64::MAX))
                .execute(&self.pool)
                .await?;
        Ok(noted.rows_affected() > 0)
    }

    /// Ends a transfer that runs; whether it did. One that was cancelled stays so.
    ///
    /// # Errors
    /// When the database fails; then it runs on.
    pub async fn end_transfer(&self, id: TransferId, end: &End, by: &By) -> Result<bool, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let (state, report, error, file) = match end {
            End::Done { report, file } => (TransferState::Done, report.as_ref(), None, file.as_ref()),
            End::Failed { error, report } => (TransferState::Failed, report.as_ref(), Some(error), None),
            End::Cancelled => (TransferState::Cancelled, None, None, None),
        };
        let row: Option<(String, String)> = sqlx::query_as(
            "update transfers set state = $2, report = $3, error = $4, finished_at = now(), \
             bytes = coalesce($5, bytes), sha256 = coalesce($6, sha256), available = $5 is not null, \
             done = case when $2 = 'done' then greatest(done, total) else done end \
             where id = $1 and state in ('queued', 'running') returning direction, title",
        )
        .bind(id.0)
        .bind(state.name())
        .bind(report.map(Json))
        .bind(error)
        .bind(file.map(|(bytes, _)| i64::try_from(*bytes).unwrap_or(i64::MAX)))
        .bind(file.map(|(_, sha256)| sha256))
        .fetch_optional(&mut *transaction)
        .await?;
        let Some((direction, title)) = row else { return Ok(false) };
        let action = match (direction.as_str(), state) {
            ("import", TransferState::Done) => "import.done",
            ("import", TransferState::Failed) => "import.fail",
            ("import", _) => "import.cancel",
            (_, TransferState::Done) => "export.done",
            (_, TransferState::Failed) => "export.fail",
            (_, _) => "export.cancel",
        };
        let detail = match (end, file) {
            (_, Some((_, sha256))) => format!("{title}: SHA-256 {sha256}"),
            (End::Done { report: Some(report), .. }, None) => {
                format!("{title}: {} lines, {} new images", report.lines, report.images)
            }
            (End::Failed { error, .. }, None) => format!("{title}: {error}"),
            _ => title,
        };
        note(&mut transaction, by, Change { action, object: Some(id.0), detail: &detail }).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Notes that the file of an export is removed; whether there was one.
    ///
    /// # Errors
    /// When the database fails; then it is still noted as there.
    pub async fn remove_file(&self, id: TransferId, by: &By) -> Result<bool, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let title: Option<String> = sqlx::query_scalar(
            "update transfers set available = false where id = $1 and available returning title",
        )
        .bind(id.0)
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(title) = title else { return Ok(false) };
        let change = Change { action: "export.remove", object: Some(id.0), detail: &title };
        note(&mut transaction, by, change).await?;
        transaction.commit().await?;
        Ok(true)
    }
}

fn read(row: &PgRow) -> Result<Transfer, StoreError> {
    let number = |name: &str| Ok::<_, StoreError>(row.try_get::<i64, _>(name)?.unsigned_abs());
    let (direction, state): (String, String) = (row.try_get("direction")?, row.try_get("state")?);
    Ok(Transfer {
        id: TransferId(row.try_get("id")?),
        direction: Direction::of_name(&direction)
            .ok_or(StoreError::Unreadable { what: "transfers.direction", value: direction })?,
        state: TransferState::of_name(&state)
            .ok_or(StoreError::Unreadable { what: "transfers.state", value: state })?,
        query: row.try_get::<Json<serde_json::Value>, _>("query")?.0,
        title: row.try_get("title")?,
        done: number("done")?,
        total: number("total")?,
        file_name: row.try_get("file_name")?,
        bytes: row.try_get::<Option<i64>, _>("bytes")?.map(i64::unsigned_abs),
        sha256: row.try_get("sha256")?,
        available: row.try_get("available")?,
        report: row.try_get::<Option<Json<Report>>, _>("report")?.map(|report| report.0),
        error: row.try_get("error")?,
        created_by: row.try_get("created_by")?,
        created_at: rfc3339(row.try_get("created_at")?),
        finished_at: row.try_get::<Option<_>, _>("finished_at")?.map(rfc3339),
    })
}
