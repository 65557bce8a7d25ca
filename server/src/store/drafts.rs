//! Work that was saved and not sent. Drafts are their author's alone and are no data yet: they are
//! overwritten, and the audit log does not tell of them.

use qponder_shared::ItemId;
use qponder_shared::study::{Draft, SaveDraft};
use sqlx::Row;
use sqlx::postgres::PgRow;
use sqlx::types::Json;

use super::audit::By;
use super::images::rfc3339;
use super::{Store, StoreError, subjects};

/// What became of a draft.
pub enum Saved {
    /// It is kept.
    Draft(Draft),
    /// Another one was saved meanwhile: another tab, or another machine.
    Conflict(Draft),
    /// The item is not theirs.
    NotAssigned,
}

impl Store {
    /// Keeps a draft, if the caller knows the one before.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn save_draft(&self, item: ItemId, draft: &SaveDraft, by: &By) -> Result<Saved, StoreError> {
        let subject = subjects::of(by);
        let repeat = i16::from(draft.repeat);
        let row = sqlx::query(
            "insert into drafts (item_id, subject_id, repeat, revision, body) \
             select item_id, subject_id, repeat, $4 + 1, $5 from assignments \
             where item_id = $1 and subject_id = $2 and repeat = $3 \
             on conflict (item_id, subject_id, repeat) do update \
             set revision = drafts.revision + 1, body = excluded.body, updated_at = now() \
             where drafts.revision = $4 returning *",
        )
        .bind(item.0)
        .bind(subject.0)
        .bind(repeat)
        .bind(draft.revision)
        .bind(Json(&draft.body))
        .fetch_optional(&self.pool)
        .await?;
        if let Some(row) = row {
            return Ok(Saved::Draft(read(&row)?));
        }
        Ok(self.draft(item, draft.repeat, by).await?.map_or(Saved::NotAssigned, Saved::Conflict))
    }

    /// One's draft of an item.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn draft(&self, item: ItemId, repeat: u8, by: &By) -> Result<Option<Draft>, StoreError> {
        let row = sqlx::query("select * from drafts where item_id = $1 and subject_id = $2 and repeat = $3")
            .bind(item.0)
            .bind(subjects::of(by).0)
            .bind(i16::from(repeat))
            .fetch_optional(&self.pool)
            .await?;
        row.map(|row| read(&row)).transpose()
    }

    /// Throws a draft away.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delete_draft(&self, item: ItemId, repeat: u8, by: &By) -> Result<(), StoreError> {
        sqlx::query("delete from drafts where item_id = $1 and subject_id = $2 and repeat = $3")
            .bind(item.0)
            .bind(subjects::of(by).0)
            .bind(i16::from(repeat))
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

fn read(row: &PgRow) -> Result<Draft, StoreError> {
    Ok(Draft {
        revision: row.try_get("revision")?,
        body: row.try_get::<Json<serde_json::Value>, _>("body")?.0,
        updated_at: rfc3339(row.try_get("updated_at")?),
    })
}
