//! Votes. They are added and never changed; going back on one adds another.

use qponder_shared::study::{
    CreateVote, Feedback, Given, Preference, Rating, Reveal, StudyTask, Task, VoteReceipt, check,
};
use qponder_shared::{Attribute, ItemId, Level, Score, StudyId, VoteId};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::assessments;
use super::audit::{By, Change, note};
use super::images::rfc3339;
use super::studies::read_task;
use super::tasks::{read_task_row, select_task};
use super::{Store, StoreError, subjects, threads};

/// What became of a vote.
pub enum Cast {
    /// It counts.
    Receipt(VoteReceipt),
    /// It cannot be of such a study.
    Unacceptable(check::Unacceptable),
    /// The key came before with a vote on another item.
    KeyTaken,
    /// The study takes no more votes.
    Closed,
    /// The item is not theirs to rate.
    NotAssigned,
}

/// What became of the wish to see models' answers.
pub enum Revealed {
    /// Here they are; later votes are not blind.
    Reveal(Box<Reveal>),
    /// They have not voted yet.
    VoteFirst,
    /// The study does not show them.
    NotShown,
}

impl Store {
    /// Adds a vote of somebody to whom the item was handed out. A key that came before is the same vote.
    ///
    /// # Errors
    /// When the database fails; then there is no vote.
    pub async fn cast(&self, study: StudyId, vote: &CreateVote, by: &By) -> Result<Cast, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let subject = subjects::of(by);
        // Locked: of two that are sent at once the second finds the first.
        let row = sqlx::query(
            "select task, status, kind, expected, expected_preference, tolerance from assignments \
             join study_items on study_items.id = item_id join studies on studies.id = study_items.study_id \
             where item_id = $1 and subject_id = $2 and repeat = $3 and studies.id = $4 for update of assignments",
        )
        .bind(vote.item.0)
        .bind(subject.0)
        .bind(i16::from(vote.repeat))
        .bind(study.0)
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(row) = row else {
            return Ok(Cast::NotAssigned);
        };
        if let Err(unacceptable) = check::vote(read_task(row.try_get("task")?)?, vote) {
            return Ok(Cast::Unacceptable(unacceptable));
        }
        let feedback = match row.try_get::<String, _>("kind")?.as_str() {
            "training" => Some(Feedback {
                expected: row.try_get::<Option<f64>, _>("expected")?.and_then(Score::clamped),
                expected_preference: row
                    .try_get::<Option<i16>, _>("expected_preference")?
                    .and_then(Preference::of_sign),
                tolerance: row.try_get("tolerance")?,
            }),
            _ => None,
        };
        let earlier: Option<(Uuid, bool, Uuid, i16)> =
            sqlx::query_as("select id, blind, item_id, repeat from votes where subject_id = $1 and key = $2")
                .bind(subject.0)
                .bind(&vote.key)
                .fetch_optional(&mut *transaction)
                .await?;
        if let Some((id, blind, item, repeat)) = earlier {
            if (item, repeat) != (vote.item.0, i16::from(vote.repeat)) {
                return Ok(Cast::KeyTaken);
            }
            return Ok(Cast::Receipt(VoteReceipt { id: VoteId(id), blind, feedback }));
        }
        if row.try_get::<String, _>("status")? != "open" {
            return Ok(Cast::Closed);
        }
        let id = VoteId::new();
        let blind = insert(&mut transaction, id, study, vote, by).await?;
        sqlx::query(
            "update assignments set done_at = coalesce(done_at, now()) \
             where item_id = $1 and subject_id = $2 and repeat = $3",
        )
        .bind(vote.item.0)
        .bind(subject.0)
        .bind(i16::from(vote.repeat))
        .execute(&mut *transaction)
        .await?;
        sqlx::query("delete from drafts where item_id = $1 and subject_id = $2 and repeat = $3")
            .bind(vote.item.0)
            .bind(subject.0)
            .bind(i16::from(vote.repeat))
            .execute(&mut *transaction)
            .await?;
        note(&mut transaction, by, Change { action: "vote.cast", object: Some(vote.item.0), detail: "" })
            .await?;
        transaction.commit().await?;
        Ok(Cast::Receipt(VoteReceipt { id, blind, feedback }))
    }

    /// One's own votes in a study, newest first: `limit` at most, before `before`. Of an item that was
    /// voted on again, the newest.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn votes_of(
        &self,
        study: StudyId,
        before: Option<VoteId>,
        limit: usize,
        by: &By,
    ) -> Result<Vec<Given>, StoreError> {
        let rows = sqlx::query(
            "select * from votes where study_id = $1 and subject_id = $2 and id < $3 and not exists \
             (select from votes newer where newer.item_id = votes.item_id and newer.subject_id = $2 \
              and newer.repeat = votes.repeat and newer.id > votes.id) order by id desc limit $4",
        )
        .bind(study.0)
        .bind(subjects::of(by).0)
        .bind(before.map_or(Uuid::max(), |id| id.0))
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(&self.pool)
        .await?;
        let items = rows.iter().map(|row| row.try_get("item_id")).collect::<Result<Vec<Uuid>, _>>()?;
        let tasks =
            sqlx::query(select_task!("where assignments.item_id = any($1) and assignments.subject_id = $2"))
                .bind(&items)
                .bind(subjects::of(by).0)
                .fetch_all(&self.pool)
                .await?;
        let tasks = tasks.iter().map(read_task_row).collect::<Result<Vec<_>, _>>()?;
        let mut votes = Vec::with_capacity(rows.len());
        for (row, item) in rows.iter().zip(items) {
            let repeat: i16 = row.try_get("repeat")?;
            let is_its = |task: &&Task| task.item.0 == item && i16::from(task.repeat) == repeat;
            // Every vote has one: only assignments without a vote are ever deleted.
            let Some(task) = tasks.iter().find(is_its) else { continue };
            votes.push(Given {
                id: VoteId(row.try_get("id")?),
                rating: read_rating(row)?,
                flag: row.try_get("flag")?,
                created_at: rfc3339(row.try_get("created_at")?),
                task: task.clone(),
            });
        }
        Ok(votes)
    }

    /// Shows models' answers on an item to somebody who has voted, and remembers that they saw them.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn reveal(&self, item: ItemId, by: &By) -> Result<Revealed, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let subject = subjects::of(by);
        let row = sqlx::query(
            "select task, image_id from study_items join studies on studies.id = study_id \
             where study_items.id = $1 and exists (select from votes where item_id = $1 and subject_id = $2)",
        )
        .bind(item.0)
        .bind(subject.0)
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(row) = row else {
            return Ok(Revealed::VoteFirst);
        };
        if read_task(row.try_get("task")?)? != StudyTask::Reasoning {
            return Ok(Revealed::NotShown);
        }
        let first =
            sqlx::query("insert into reveals (item_id, subject_id) values ($1, $2) on conflict do nothing")
                .bind(item.0)
                .bind(subject.0)
                .execute(&mut *transaction)
                .await?;
        if first.rows_affected() > 0 {
            note(&mut transaction, by, Change { action: "item.reveal", object: Some(item.0), detail: "" })
                .await?;
        }
        let rows = sqlx::query(
            "select assessments.* from readings join assessments on assessments.id = assessment_id \
             where readings.image_id = $1 order by readings.model",
        )
        .bind(row.try_get::<Uuid, _>("image_id")?)
        .fetch_all(&mut *transaction)
        .await?;
        let assessments = rows.iter().map(assessments::read).collect::<Result<_, _>>()?;
        let thread = threads::own(&mut transaction, item, subject).await?;
        transaction.commit().await?;
        Ok(Revealed::Reveal(Box::new(Reveal { assessments, thread })))
    }
}

/// Adds the row; whether the vote is blind.
async fn insert(
    connection: &mut PgConnection,
    id: VoteId,
    study: StudyId,
    vote: &CreateVote,
    by: &By,
) -> Result<bool, StoreError> {
    let levels = match &vote.rating {
        Rating::Levels { levels, .. } => {
            let level_of = |attribute| {
                let rated = levels.iter().find(|(rated, _)| *rated == attribute);
                rated.map(|(_, level)| *level as i16 + 1)
            };
            Some(Attribute::ALL.map(level_of).to_vec())
        }
        _ => None,
    };
    let (preference, skipped) = match &vote.rating {
        Rating::Preference { preference } => (Some(preference.sign()), None),
        Rating::Skipped { reason } => (None, Some(reason.trim())),
        Rating::Score { .. } | Rating::Levels { .. } => (None, None),
    };
    Ok(sqlx::query_scalar(
        "insert into votes (id, study_id, item_id, subject_id, repeat, score, levels, preference, skipped, flag, \
         blind, zoom, device_pixel_ratio, viewport_width, viewport_height, ms, key) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, \
         not exists (select from reveals where item_id = $3 and subject_id = $4), \
         $11, $12, $13, $14, $15, $16) returning blind",
    )
    .bind(id.0)
    .bind(study.0)
    .bind(vote.item.0)
    .bind(subjects::of(by).0)
    .bind(i16::from(vote.repeat))
    .bind(vote.rating.score().map(Score::get))
    .bind(levels)
    .bind(preference)
    .bind(skipped)
    .bind(vote.flag.as_deref().map(str::trim))
    .bind(vote.conditions.zoom)
    .bind(vote.conditions.device_pixel_ratio)
    .bind(vote.conditions.viewport_width.cast_signed())
    .bind(vote.conditions.viewport_height.cast_signed())
    .bind(i64::try_from(vote.ms).unwrap_or(i64::MAX))
    .bind(&vote.key)
    .fetch_one(connection)
    .await?)
}

/// What a row of `votes` says.
pub(super) fn read_rating(row: &PgRow) -> Result<Rating, StoreError> {
    if let Some(reason) = row.try_get::<Option<String>, _>("skipped")? {
        return Ok(Rating::Skipped { reason });
    }
    if let Some(sign) = row.try_get::<Option<i16>, _>("preference")? {
        let unreadable = StoreError::Unreadable { what: "votes.preference", value: sign.to_string() };
        return Ok(Rating::Preference { preference: Preference::of_sign(sign).ok_or(unreadable)? });
    }
    let score: f64 = row.try_get("score")?;
    let unreadable = StoreError::Unreadable { what: "votes.score", value: score.to_string() };
    let score = Score::clamped(score).ok_or(unreadable)?;
    let Some(levels) = row.try_get::<Option<Vec<Option<i16>>>, _>("levels")? else {
        return Ok(Rating::Score { score });
    };
    let level = |number: i16| Level::ALL.get(usize::try_from(number - 1).ok()?).copied();
    let levels = Attribute::ALL
        .into_iter()
        .zip(levels)
        .filter_map(|(attribute, number)| Some((attribute, level(number?)?)))
        .collect();
    Ok(Rating::Levels { score, levels })
}
