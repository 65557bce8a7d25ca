//! Who rates what next.
//!
//! Items are handed out a few at a time. Training comes first, then everything else in an order that
//! follows from the study's seed and the person: no two people see the images in the same order. An item
//! goes to as many people as the study asks for; gold goes to everybody. Items that are repeated come a
//! second time after some others.

use qponder_shared::study::{Draft, Progress, Task, TaskImage};
use qponder_shared::{ImageId, ItemId, StudyId, SubjectId};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgConnection, Row};

use super::audit::By;
use super::images::rfc3339;
use super::studies::read_task;
use super::{Store, StoreError, subjects, threads};

/// Items between the first and the second time, as long as there are others.
const GAP: i32 = 8;
/// Items handed out at a time. More would keep them from others who are faster.
const BATCH: i64 = 10;

/// The columns that [`read_task_row`] wants, and where they come from. `$2` is the subject.
macro_rules! select_task {
    ($rest:literal) => {
        concat!(
            "select items.study_id, items.id as item_id, assignments.repeat, studies.task, items.kind, \
             one.id as one_id, one.width as one_width, one.height as one_height, \
             two.id as two_id, two.width as two_width, two.height as two_height, \
             drafts.revision as draft_revision, drafts.body as draft_body, drafts.updated_at as draft_at \
             from assignments \
             join study_items items on items.id = assignments.item_id \
             join studies on studies.id = items.study_id \
             join images one on one.id = items.image_id \
             left join images two on two.id = items.other_image_id \
             left join drafts on drafts.item_id = items.id and drafts.subject_id = assignments.subject_id \
             and drafts.repeat = assignments.repeat ",
            $rest
        )
    };
}
pub(super) use select_task;

impl Store {
    /// What somebody does next in a study, `limit` at most: first what a reviewer sent back, then what they
    /// rated and did not correct, then what they rate.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn tasks(&self, study: StudyId, limit: usize, by: &By) -> Result<Vec<Task>, StoreError> {
        let wanted = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut transaction = self.pool.begin().await?;
        let subject = subjects::ensure(&mut transaction, by).await?;
        let open: i64 = sqlx::query_scalar(
            "select count(*) from assignments where study_id = $1 and subject_id = $2 and done_at is null",
        )
        .bind(study.0)
        .bind(subject.0)
        .fetch_one(&mut *transaction)
        .await?;
        if open < wanted {
            let handed = hand_out(&mut transaction, study, subject, GAP).await?;
            if open == 0 && handed == 0 {
                // Nothing else is left to put between.
                hand_out(&mut transaction, study, subject, 0).await?;
            }
        }
        let returned = threads::returned_to(&mut transaction, study, subject).await?;
        let mut tasks = Vec::new();
        for thread in returned {
            let row = sqlx::query(select_task!(
                "where assignments.item_id = $1 and assignments.subject_id = $2 and assignments.repeat = 0"
            ))
            .bind(thread.item.0)
            .bind(subject.0)
            .fetch_optional(&mut *transaction)
            .await?;
            if let Some(row) = row {
                tasks.push(Task { returned: Some(thread), is_rated: true, ..read_task_row(&row)? });
            }
        }
        // Rated, and left before the correction: the page was closed, or the model had not answered yet.
        let rows = sqlx::query(select_task!(
            "where assignments.study_id = $1 and assignments.subject_id = $2 and done_at is not null \
             and assignments.repeat = 0 and studies.task = 'reasoning' and items.kind <> 'training' \
             and not exists (select from annotation_threads threads where threads.item_id = items.id \
             and threads.subject_id = $2) \
             and exists (select from votes where votes.item_id = items.id and votes.subject_id = $2 \
             and skipped is null) \
             and exists (select from readings where readings.image_id = items.image_id) order by position limit $3"
        ))
        .bind(study.0)
        .bind(subject.0)
        .bind(wanted)
        .fetch_all(&mut *transaction)
        .await?;
        for row in &rows {
            tasks.push(Task { is_rated: true, ..read_task_row(row)? });
        }
        let rows = sqlx::query(select_task!(
            "where assignments.study_id = $1 and assignments.subject_id = $2 and done_at is null \
             order by position limit $3"
        ))
        .bind(study.0)
        .bind(subject.0)
        .bind(wanted)
        .fetch_all(&mut *transaction)
        .await?;
        for row in &rows {
            tasks.push(read_task_row(row)?);
        }
        transaction.commit().await?;
        tasks.truncate(limit);
        Ok(tasks)
    }

    /// How far somebody is in a study.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn progress(&self, study: StudyId, by: &By) -> Result<Progress, StoreError> {
        let subject = subjects::of(by);
        let row = sqlx::query(
            "select (select count(*) from assignments where study_id = $1 and subject_id = $2 \
             and done_at is not null) as done, \
             (select count(*) from assignments where study_id = $1 and subject_id = $2 and done_at is null) \
             + (select coalesce(sum(case when repeated and kind <> 'training' then 2 else 1 end), 0) from study_items items \
                join studies on studies.id = items.study_id \
                where items.study_id = $1 and not exists (select from assignments where item_id = items.id \
                and subject_id = $2) and (kind <> 'rated' or (select count(*) from assignments \
                where item_id = items.id and repeat = 0 and (done_at is not null \
                or assigned_at > now() - interval '1 day')) < overlap)) \
             + (select count(*) from assignments first join study_items items on items.id = item_id \
                where first.study_id = $1 and subject_id = $2 and repeat = 0 and repeated \
                and kind <> 'training' and not exists (select from assignments again \
                where again.item_id = first.item_id and again.subject_id = $2 and again.repeat = 1)) as left_over, \
             (select count(*) from annotation_threads where study_id = $1 and subject_id = $2 \
              and state = 'returned') as returned",
        )
        .bind(study.0)
        .bind(subject.0)
        .fetch_one(&self.pool)
        .await?;
        let count = |name| Ok::<_, StoreError>(row.try_get::<i64, _>(name)?.unsigned_abs());
        let done = count("done")?;
        Ok(Progress { done, total: done + count("left_over")?, returned: count("returned")? })
    }
}

/// Assigns the next items to somebody; returns how many. Hand-outs of one study wait for each other, so
/// that no item goes to more people than it should. What nobody answered within a day is free again.
async fn hand_out(
    connection: &mut PgConnection,
    study: StudyId,
    subject: SubjectId,
    gap: i32,
) -> Result<u64, StoreError> {
    sqlx::query("select pg_advisory_xact_lock(hashtextextended($1::text, 1))")
        .bind(study.0)
        .execute(&mut *connection)
        .await?;
    let handed = sqlx::query(
        "with mine as materialized ( \
             select item_id, repeat, position, done_at from assignments where study_id = $1 and subject_id = $2 \
         ), last as (select coalesce(max(position), 0) as position from mine), \
         free as ( \
             select items.id as item_id, 0::smallint as repeat, kind <> 'training' as is_later, \
             hashtextextended(items.id::text || $2::text, seed) as place \
             from study_items items join studies on studies.id = items.study_id \
             where items.study_id = $1 and studies.status = 'open' \
             and not exists (select from mine where mine.item_id = items.id) \
             and (kind <> 'rated' or (select count(*) from assignments where item_id = items.id and repeat = 0 \
                  and (done_at is not null or assigned_at > now() - interval '1 day')) < overlap) \
             union all \
             select items.id, 1::smallint, true, hashtextextended(items.id::text || $2::text, seed + 1) \
             from mine join study_items items on items.id = mine.item_id \
             join studies on studies.id = items.study_id, last \
             where repeated and kind <> 'training' and studies.status = 'open' and repeat = 0 \
             and done_at is not null and last.position - mine.position >= $3 \
             and not exists (select from mine again where again.item_id = items.id and again.repeat = 1) \
         ), chosen as (select * from free order by is_later, place limit $4) \
         insert into assignments (study_id, item_id, subject_id, repeat, position) \
         select $1, item_id, $2, repeat, last.position + row_number() over (order by is_later, place) \
         from chosen, last",
    )
    .bind(study.0)
    .bind(subject.0)
    .bind(gap)
    .bind(BATCH)
    .execute(connection)
    .await?;
    Ok(handed.rows_affected())
}

/// A row with the columns of [`select_task`].
pub(super) fn read_task_row(row: &PgRow) -> Result<Task, StoreError> {
    let image = |id: &str, width: &str, height: &str| {
        let id: Option<uuid::Uuid> = row.try_get(id)?;
        let Some(id) = id else { return Ok(None) };
        Ok::<_, StoreError>(Some(TaskImage {
            id: ImageId(id),
            width: row.try_get::<i32, _>(width)?.unsigned_abs(),
            height: row.try_get::<i32, _>(height)?.unsigned_abs(),
        }))
    };
    let one = image("one_id", "one_width", "one_height")?;
    let two = image("two_id", "two_width", "two_height")?;
    let draft = match row.try_get::<Option<i64>, _>("draft_revision")? {
        None => None,
        Some(revision) => Some(Draft {
            revision,
            body: row.try_get::<Json<serde_json::Value>, _>("draft_body")?.0,
            updated_at: rfc3339(row.try_get("draft_at")?),
        }),
    };
    let kind: String = row.try_get("kind")?;
    Ok(Task {
        study: StudyId(row.try_get("study_id")?),
        item: ItemId(row.try_get("item_id")?),
        repeat: u8::try_from(row.try_get::<i16, _>("repeat")?).unwrap_or_default(),
        task: read_task(row.try_get("task")?)?,
        is_training: kind == "training",
        is_rated: false,
        images: one.into_iter().chain(two).collect(),
        draft,
        returned: None,
    })
}
