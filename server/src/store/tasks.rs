//! Who rates what next.
//!
//! Items are handed out a few at a time. Training comes first, then everything else in an order that
//! follows from the study's seed and the person: no two people see the images in the same order. An item
//! goes to as many people as the study asks for; gold goes to everybody. Items that are repeated come a
//! second time after some others.

use qponder_shared::study::{Draft, Progress, StudyTask, Task, TaskImage};
use qponder_shared::{ImageId, ItemId, StudyId, SubjectId};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::audit::By;
use super::images::rfc3339;
use super::studies::read_task;
use super::{Store, StoreError, subjects, threads};

/// Items between the first and the second time, as long as there are others.
const GAP: i32 = 8;
/// Items handed out at a time. More would keep them from others who are faster.
const BATCH: i64 = 10;
/// Free items among which the next ones are chosen. Reading them is most of what a hand-out costs.
const WINDOW: usize = 512;

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
        let returned = threads::returned_to(&mut transaction, study, subject, wanted).await?;
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
        if is_reasoning(&mut transaction, study).await? {
            for row in &uncorrected(&mut transaction, study, subject, wanted).await? {
                tasks.push(Task { is_rated: true, ..read_task_row(row)? });
            }
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
        // What is left: items that are not full, without those that they have and those that others are rating;
        // what they have in hand; second times to come.
        let row = sqlx::query(
            "select coalesce(votes + training, 0) as done, \
             ((select coalesce(sum(items * item_weight(kind, repeated)), 0) from study_item_counts \
                where study_id = $1 and not is_full) \
             - coalesce(with_room, 0) \
             - (select coalesce(sum((select item_weight(kind, repeated) from study_items \
                where id = item_id and kind = 'rated' and not is_full and raters + people >= overlap)), 0) from \
                (select item_id, count(*) as people from assignments where study_id = $1 and repeat = 0 \
                 and done_at is null and assigned_at > now() - interval '1 day' group by item_id) held \
                where not exists (select from assignments mine where mine.item_id = held.item_id and subject_id = $2)) \
             + (select count(*) from assignments where study_id = $1 and subject_id = $2 and done_at is null) \
             + coalesce(to_repeat, 0))::bigint as left_over, \
             (select count(*) from annotation_threads where study_id = $1 and subject_id = $2 \
              and state = 'returned') as returned \
             from studies left join study_rater_counts on study_id = id and subject_id = $2 where id = $1",
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

async fn is_reasoning(connection: &mut PgConnection, study: StudyId) -> Result<bool, StoreError> {
    let task: Option<String> = sqlx::query_scalar("select task from studies where id = $1")
        .bind(study.0)
        .fetch_optional(connection)
        .await?;
    Ok(task.map(read_task).transpose()? == Some(StudyTask::Reasoning))
}

/// What somebody rated and left before the correction: the page was closed, or the model had not answered yet.
async fn uncorrected(
    connection: &mut PgConnection,
    study: StudyId,
    subject: SubjectId,
    limit: i64,
) -> Result<Vec<PgRow>, StoreError> {
    let rows = sqlx::query(select_task!(
        "where assignments.study_id = $1 and assignments.subject_id = $2 and done_at is not null \
         and assignments.repeat = 0 and items.kind <> 'training' \
         and not exists (select from annotation_threads threads where threads.item_id = items.id \
         and threads.subject_id = $2) \
         and exists (select from votes where votes.item_id = items.id and votes.subject_id = $2 and skipped is null) \
         and exists (select from readings where readings.image_id = items.image_id) order by position limit $3"
    ));
    Ok(rows.bind(study.0).bind(subject.0).bind(limit).fetch_all(connection).await?)
}

/// A statement for items of a kind that somebody does not have, from a place on (`>=`) or up to one (`<`).
///
/// `$1` is the study, `$2` the subject, `$3` the place, `$4` how many, and `$5` the study's overlap.
macro_rules! select_free {
    ($which:literal, $side:literal) => {
        concat!(
            "select id from study_items items where study_id = $1 and place ",
            $side,
            " $3 and ",
            $which,
            " and not exists (select from assignments where item_id = items.id and subject_id = $2) \
             and (kind <> 'rated' or raters + (select count(*) from assignments where item_id = items.id \
             and repeat = 0 and done_at is null and assigned_at > now() - interval '1 day') < $5) \
             order by place limit $4"
        )
    };
}

const TO_LEARN: [&str; 2] = [select_free!("kind = 'training'", ">="), select_free!("kind = 'training'", "<")];
const TO_RATE: [&str; 2] = [
    select_free!("not is_full and kind <> 'training'", ">="),
    select_free!("not is_full and kind <> 'training'", "<"),
];

/// Assigns the next items to somebody; returns how many. Hand-outs of one study wait for each other, so
/// that no item goes to more people than it should. What nobody answered within a day is free again.
///
/// They are chosen among [`WINDOW`] free items from a place on that follows from the seed, the person and how
/// much they have: all of them where there are no more, so that the order is any order with equal chance.
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
    let row = sqlx::query(
        "select seed, overlap, position, hashtextextended($2::text, seed + position) as place \
         from studies, (select coalesce(max(position), 0) as position from assignments \
         where study_id = $1 and subject_id = $2) last where id = $1 and status = 'open'",
    )
    .bind(study.0)
    .bind(subject.0)
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = row else { return Ok(0) };
    let (seed, position): (i64, i32) = (row.try_get("seed")?, row.try_get("position")?);
    let place: i64 = row.try_get("place")?;
    let mut free = Vec::new();
    for (statements, is_later) in [(TO_LEARN, false), (TO_RATE, true)] {
        let mut items: Vec<Uuid> = Vec::new();
        // Places are a ring: after the last comes the first.
        for statement in statements {
            let found = sqlx::query_scalar(statement)
                .bind(study.0)
                .bind(subject.0)
                .bind(place)
                .bind(i64::try_from(WINDOW.saturating_sub(items.len())).unwrap_or(i64::MAX))
                .bind(row.try_get::<i32, _>("overlap")?)
                .fetch_all(&mut *connection)
                .await?;
            items.extend::<Vec<Uuid>>(found);
        }
        free.extend(items.into_iter().map(|item| (item, 0, is_later)));
    }
    // Of what they had once, second times too: of a part again, unless nothing else is left.
    let due = position - gap;
    let span = WINDOW as i32;
    let from = if gap > 0 && due > span { (place.unsigned_abs() % (due - span) as u64) as i32 } else { 0 };
    let again = sqlx::query_scalar(
        "select item_id from assignments first where study_id = $1 and subject_id = $2 and repeat = 0 \
         and done_at is not null and position > $3 and position <= $4 \
         and exists (select from study_rater_counts where study_id = $1 and subject_id = $2 and to_repeat > 0) \
         and (select item_weight(kind, repeated) from study_items where id = item_id) = 2 \
         and not exists (select from assignments again where again.item_id = first.item_id \
         and again.subject_id = $2 and again.repeat = 1)",
    )
    .bind(study.0)
    .bind(subject.0)
    .bind(from)
    .bind(if from > 0 { from + span } else { due })
    .fetch_all(&mut *connection)
    .await?;
    free.extend(again.into_iter().map(|item: Uuid| (item, 1_i16, true)));
    let handed = sqlx::query(
        "insert into assignments (study_id, item_id, subject_id, repeat, position) \
         select $1, item, $2, repeat, $3 + row_number() over (order by is_later, place) from \
         (select item, repeat, is_later, hashtextextended(item::text || $2::text, $4 + repeat) as place \
          from unnest($5::uuid[], $6::int2[], $7::bool[]) as free (item, repeat, is_later) \
          order by is_later, place limit $8) chosen",
    )
    .bind(study.0)
    .bind(subject.0)
    .bind(position)
    .bind(seed)
    .bind(free.iter().map(|free| free.0).collect::<Vec<_>>())
    .bind(free.iter().map(|free| free.1).collect::<Vec<_>>())
    .bind(free.iter().map(|free| free.2).collect::<Vec<_>>())
    .bind(BATCH)
    .execute(connection)
    .await?;
    Ok(handed.rows_affected())
}

/// A row with the columns of [`select_task`].
pub(super) fn read_task_row(row: &PgRow) -> Result<Task, StoreError> {
    let image = |id: &str, width: &str, height: &str| {
        let id: Option<Uuid> = row.try_get(id)?;
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
