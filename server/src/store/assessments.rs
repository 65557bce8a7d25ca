//! Assessments: from the queue to the final answer.

use qponder_shared::api::{Assessment, AssessmentStatus, Mode, Sampling};
use qponder_shared::grammar::{self, Response};
use qponder_shared::{AssessmentId, ImageId, Score};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgConnection, Row};

use super::audit::{By, Change, note};
use super::images::rfc3339;
use super::readings::note_reading;
use super::{Store, StoreError};

/// An assessment that was asked for.
pub struct NewAssessment<'a> {
    /// The image to look at.
    pub image_id: ImageId,
    /// Name of the model that will answer.
    pub model: &'a str,
    /// Hash of its weights.
    pub model_sha256: &'a str,
    /// How it is asked.
    pub mode: Mode,
    /// The prompt that it is asked with.
    pub prompt_version: &'a str,
    /// How tokens are sampled.
    pub sampling: Sampling,
    /// Stop when the last listener has gone.
    pub cancel_on_disconnect: bool,
    /// The client's name for this request.
    pub idempotency_key: Option<&'a str>,
}

/// What became of a [`NewAssessment`].
pub enum Added {
    /// It is queued.
    Created(Assessment),
    /// The same request came before under the same key; this is what it created.
    Repeated(Assessment),
    /// The key came before with another request.
    KeyTaken,
    /// There is no such image.
    NoImage,
}

/// An assessment that no engine has answered yet.
pub struct Unfinished {
    /// Its id.
    pub id: AssessmentId,
    /// The image to look at.
    pub image_id: ImageId,
    /// Name of the model that was asked.
    pub model: String,
    /// How the model is asked.
    pub mode: Mode,
    /// How tokens are sampled.
    pub sampling: Sampling,
    /// How often an engine began to answer it.
    pub attempts: i32,
    /// Stop when the last listener has gone.
    pub cancel_on_disconnect: bool,
}

/// The end of an assessment.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Done, failed or cancelled.
    pub status: AssessmentStatus,
    /// The answer, as far as it came.
    pub text: String,
    /// The score, if one could be read.
    pub score: Option<Score>,
    /// Probabilities of the five levels, worst first; in quick mode.
    pub level_probabilities: Option<[f64; 5]>,
    /// Whether a score could be read; `None` when the answer is not complete.
    pub parse_ok: Option<bool>,
    /// Why it failed.
    pub error: Option<String>,
    /// It failed because of what was asked: asking the same again is of no use.
    pub refused: bool,
    /// `stop`, `length` or `cancelled`.
    pub finish: Option<&'static str>,
    /// The prompt that the model was really asked with.
    pub prompt_version: Option<String>,
    /// Tokens before the answer.
    pub prompt_tokens: Option<usize>,
    /// Tokens of the answer.
    pub new_tokens: Option<usize>,
    /// Time the model took, in milliseconds.
    pub ms: Option<u64>,
}

impl Outcome {
    /// An end without an answer.
    pub fn without_answer(status: AssessmentStatus, text: String, error: Option<String>) -> Self {
        Self {
            status,
            text,
            score: None,
            level_probabilities: None,
            parse_ok: None,
            error,
            refused: false,
            finish: None,
            prompt_version: None,
            prompt_tokens: None,
            new_tokens: None,
            ms: None,
        }
    }
}

macro_rules! select_assessment {
    ($rest:literal) => {
        concat!(
            "select id, image_id, model, mode, prompt_version, sampling, status, text, score, level_probabilities, ",
            "parse_ok, error, ms, created_at from assessments ",
            $rest
        )
    };
}

impl Store {
    /// Queues an assessment, once for each idempotency key.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn add_assessment(&self, new: &NewAssessment<'_>, by: &By) -> Result<Added, StoreError> {
        let id = AssessmentId::new();
        let mut transaction = self.pool.begin().await?;
        // The image's row is locked, so that it cannot go between the check and the insert.
        let inserted = sqlx::query(
            "insert into assessments (id, image_id, model, model_sha256, mode, prompt_version, sampling, status, \
             cancel_on_disconnect, idempotency_key) \
             select $1, id, $3, $4, $5, $6, $7, 'queued', $8, $9 from images where id = $2 for key share \
             on conflict (idempotency_key) do nothing",
        )
        .bind(id.0)
        .bind(new.image_id.0)
        .bind(new.model)
        .bind(new.model_sha256)
        .bind(new.mode.name())
        .bind(new.prompt_version)
        .bind(Json(new.sampling))
        .bind(new.cancel_on_disconnect)
        .bind(new.idempotency_key)
        .execute(&mut *transaction)
        .await?
        .rows_affected();
        if inserted == 1 {
            let detail = format!("{} by {}, of image {}", new.mode.name(), new.model, new.image_id);
            let change = Change { action: "assessment.create", object: Some(id.0), detail: &detail };
            note(&mut transaction, by, change).await?;
            transaction.commit().await?;
            let created = self.assessment(id).await?;
            return Ok(created.map_or(Added::NoImage, Added::Created));
        }
        drop(transaction);
        let earlier = match new.idempotency_key {
            None => None,
            Some(key) => {
                sqlx::query(select_assessment!("where idempotency_key = $1"))
                    .bind(key)
                    .fetch_optional(&self.pool)
                    .await?
            }
        };
        let Some(earlier) = earlier.map(|row| read(&row)).transpose()? else {
            return Ok(Added::NoImage);
        };
        let same = earlier.image_id == new.image_id
            && earlier.model == new.model
            && earlier.mode == new.mode
            && earlier.sampling == new.sampling;
        Ok(if same { Added::Repeated(earlier) } else { Added::KeyTaken })
    }

    /// The assessment with an id. While it runs, its text is with the engine and not here.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn assessment(&self, id: AssessmentId) -> Result<Option<Assessment>, StoreError> {
        let row =
            sqlx::query(select_assessment!("where id = $1")).bind(id.0).fetch_optional(&self.pool).await?;
        row.map(|row| read(&row)).transpose()
    }

    /// Notes who asked that an assessment stop.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn note_cancellation(&self, id: AssessmentId, by: &By) -> Result<(), StoreError> {
        let mut connection = self.pool.acquire().await?;
        note(&mut connection, by, Change { action: "assessment.cancel", object: Some(id.0), detail: "" })
            .await
    }

    /// Assessments of an image, newest first, `limit` at most, older than `before`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn assessments_of(
        &self,
        image: ImageId,
        before: Option<AssessmentId>,
        limit: usize,
    ) -> Result<Vec<Assessment>, StoreError> {
        let rows =
            sqlx::query(select_assessment!("where image_id = $1 and id < $2 order by id desc limit $3"))
                .bind(image.0)
                .bind(before.map_or(uuid::Uuid::max(), |id| id.0))
                .bind(i64::try_from(limit).unwrap_or(i64::MAX))
                .fetch_all(&self.pool)
                .await?;
        rows.iter().map(read).collect()
    }

    /// Of each model the newest complete assessment of an image in each mode, by the models' names.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn newest_of_each_model(&self, image: ImageId) -> Result<Vec<Assessment>, StoreError> {
        let rows = sqlx::query(select_assessment!(
            "where id in (select distinct on (model, mode) id from assessments \
             where image_id = $1 and status = 'done' order by model, mode, id desc) order by model, mode"
        ))
        .bind(image.0)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(read).collect()
    }

    /// Assessments that an earlier server left unanswered, oldest first. They are queued again.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn requeue(&self) -> Result<Vec<Unfinished>, StoreError> {
        sqlx::query("update assessments set status = 'queued' where status = 'running'")
            .execute(&self.pool)
            .await?;
        let rows = sqlx::query(
            "select id, image_id, model, mode, sampling, attempts, cancel_on_disconnect from assessments \
             where status in ('queued', 'running') order by id",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(Unfinished {
                    id: AssessmentId(row.try_get("id")?),
                    image_id: ImageId(row.try_get("image_id")?),
                    model: row.try_get("model")?,
                    mode: read_mode(row.try_get("mode")?)?,
                    sampling: row.try_get::<Json<Sampling>, _>("sampling")?.0,
                    attempts: row.try_get("attempts")?,
                    cancel_on_disconnect: row.try_get("cancel_on_disconnect")?,
                })
            })
            .collect()
    }

    /// Puts what is running back into the queue: the server stops in good order, so this was no
    /// attempt.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn release(&self) -> Result<(), StoreError> {
        sqlx::query(
            "update assessments set status = 'queued', attempts = greatest(attempts - 1, 0) where status = 'running'",
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Marks assessments as being answered by a model. One of an earlier server may have been
    /// queued for other weights of that name, so the model is written here again.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn start_assessments(
        &self,
        ids: &[AssessmentId],
        model: &str,
        model_sha256: &str,
    ) -> Result<(), StoreError> {
        let ids: Vec<_> = ids.iter().map(|id| id.0).collect();
        sqlx::query(
            "update assessments set status = 'running', attempts = attempts + 1, model = $2, model_sha256 = $3 \
             where id = any($1) and status = 'queued'",
        )
        .bind(ids)
        .bind(model)
        .bind(model_sha256)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Writes the end of an assessment and, when it is done, makes it its image's latest. Returns
    /// the assessment as it now stands; `None` when it was deleted meanwhile. An assessment that
    /// is final already stays as it is.
    ///
    /// # Errors
    /// When the database fails; then nothing is written.
    pub async fn finish_assessment(
        &self,
        id: AssessmentId,
        outcome: &Outcome,
    ) -> Result<Option<Assessment>, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let image: Option<uuid::Uuid> = sqlx::query_scalar(
            "update assessments set status = $2, text = $3, score = $4, level_probabilities = $5, parse_ok = $6, \
             error = $7, finish = $8, prompt_version = coalesce($9, prompt_version), prompt_tokens = $10, \
             new_tokens = $11, ms = $12, finished_at = now() \
             where id = $1 and status in ('queued', 'running') returning image_id",
        )
        .bind(id.0)
        .bind(status_name(outcome.status))
        .bind(&outcome.text)
        .bind(outcome.score.map(Score::get))
        .bind(outcome.level_probabilities.map(|p| p.to_vec()))
        .bind(outcome.parse_ok)
        .bind(&outcome.error)
        .bind(outcome.finish)
        .bind(&outcome.prompt_version)
        .bind(outcome.prompt_tokens.and_then(|n| i32::try_from(n).ok()))
        .bind(outcome.new_tokens.and_then(|n| i32::try_from(n).ok()))
        .bind(outcome.ms.and_then(|ms| i64::try_from(ms).ok()))
        .fetch_optional(&mut *transaction)
        .await?;
        if let (Some(image), AssessmentStatus::Done) = (image, outcome.status) {
            make_latest(&mut transaction, ImageId(image), id, outcome).await?;
        }
        transaction.commit().await?;
        self.assessment(id).await
    }

    /// Ids of the assessments of an image that no engine has answered yet.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn unfinished_of(&self, image: ImageId) -> Result<Vec<AssessmentId>, StoreError> {
        let statement = "select id from assessments where image_id = $1 and status in ('queued', 'running')";
        let ids: Vec<uuid::Uuid> = sqlx::query_scalar(statement).bind(image.0).fetch_all(&self.pool).await?;
        Ok(ids.into_iter().map(AssessmentId).collect())
    }
}

/// Makes an assessment that is done its image's latest and its model's reading, unless there is a newer one.
pub(super) async fn make_latest(
    connection: &mut PgConnection,
    image: ImageId,
    id: AssessmentId,
    outcome: &Outcome,
) -> Result<(), StoreError> {
    sqlx::query(
        "update images set latest = $2, latest_score = $3 where id = $1 and (latest is null or latest < $2)",
    )
    .bind(image.0)
    .bind(id.0)
    .bind(outcome.score.map(Score::get))
    .execute(&mut *connection)
    .await?;
    note_reading(connection, image, id, &outcome.text).await
}

pub(super) fn read(row: &PgRow) -> Result<Assessment, StoreError> {
    let mode = read_mode(row.try_get("mode")?)?;
    let text: String = row.try_get("text")?;
    let score = row.try_get::<Option<f64>, _>("score")?.and_then(Score::clamped);
    let level_probabilities: Option<Vec<f64>> = row.try_get("level_probabilities")?;
    Ok(Assessment {
        id: AssessmentId(row.try_get("id")?),
        image_id: ImageId(row.try_get("image_id")?),
        model: row.try_get("model")?,
        mode,
        prompt_version: row.try_get("prompt_version")?,
        sampling: row.try_get::<Json<Sampling>, _>("sampling")?.0,
        status: read_status(row.try_get("status")?)?,
        response: response(mode, &text, score),
        text,
        score,
        level_probabilities: level_probabilities.and_then(|p| p.try_into().ok()),
        parse_ok: row.try_get("parse_ok")?,
        error: row.try_get("error")?,
        ms: row.try_get::<Option<i64>, _>("ms")?.map(i64::unsigned_abs),
        created_at: rfc3339(row.try_get("created_at")?),
    })
}

/// The text as the grammar reads it; a quick answer is a word and has only its score.
pub fn response(mode: Mode, text: &str, score: Option<Score>) -> Response {
    match mode {
        Mode::Reason => grammar::parse(text),
        Mode::Quick => Response { score, ..Response::default() },
    }
}

pub(super) fn read_mode(name: &str) -> Result<Mode, StoreError> {
    [Mode::Reason, Mode::Quick]
        .into_iter()
        .find(|mode| mode.name() == name)
        .ok_or_else(|| StoreError::Unreadable { what: "assessments.mode", value: name.to_owned() })
}

const STATUSES: [(AssessmentStatus, &str); 5] = [
    (AssessmentStatus::Queued, "queued"),
    (AssessmentStatus::Running, "running"),
    (AssessmentStatus::Done, "done"),
    (AssessmentStatus::Failed, "failed"),
    (AssessmentStatus::Cancelled, "cancelled"),
];

pub(super) fn status_name(status: AssessmentStatus) -> &'static str {
    STATUSES.iter().find(|(known, _)| *known == status).map_or("failed", |(_, name)| name)
}

fn read_status(name: &str) -> Result<AssessmentStatus, StoreError> {
    STATUSES
        .iter()
        .find(|(_, known)| *known == name)
        .map(|(status, _)| *status)
        .ok_or_else(|| StoreError::Unreadable { what: "assessments.status", value: name.to_owned() })
}
