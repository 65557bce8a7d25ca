//! What models answered, for exports; and answers that were given elsewhere, from imports.

use futures_util::{Stream, StreamExt as _};
use qponder_shared::api::Mode;
use qponder_shared::transfer::AnswerFilter;
use qponder_shared::{AssessmentId, ImageId, Score};
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::assessments::read_mode;
use super::audit::{By, Change, note};
use super::images::rfc3339;
use super::readings::note_reading;
use super::{Store, StoreError};

/// What an imported answer has in the place of a prompt's version and of a hash of weights.
const IMPORTED: &str = "imported";

/// A finished answer with its image.
pub struct Answer {
    /// Its id.
    pub id: Uuid,
    /// Name, SHA-256 and format of the image.
    pub image: (String, String, String),
    /// Who answered.
    pub model: String,
    /// How it was asked.
    pub mode: Mode,
    /// The prompt that it was asked with.
    pub prompt_version: String,
    /// The score, if one could be read.
    pub score: Option<f64>,
    /// What was written.
    pub text: String,
    /// When it was asked.
    pub created_at: String,
}

/// An answer that was given elsewhere.
pub struct Elsewhere {
    /// The image.
    pub image: ImageId,
    /// What was written.
    pub text: String,
    /// The score, if one could be read.
    pub score: Option<Score>,
}

macro_rules! answer_query {
    ($what:literal, $rest:literal) => {
        concat!(
            "select ",
            $what,
            " from assessments join images on images.id = image_id \
             where status = 'done' and ($1::text is null or model = $1) and ($2::text is null or mode = $2) \
             and ($3::uuid is null or image_id in (select image_id from study_items where study_id = $3 \
             union select other_image_id from study_items where study_id = $3)) \
             and ($4::text is null or assessments.created_at >= $4::date at time zone 'UTC') \
             and ($5::text is null or assessments.created_at < ($5::date + 1) at time zone 'UTC')",
            $rest
        )
    };
}

impl Store {
    /// How many answers a filter leaves.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_answers(&self, filter: &AnswerFilter) -> Result<u64, StoreError> {
        let count: i64 = sqlx::query_scalar(answer_query!("count(*)", ""))
            .bind(&filter.model)
            .bind(filter.mode.map(Mode::name))
            .bind(filter.study.map(|study| study.0))
            .bind(&filter.since)
            .bind(&filter.until)
            .fetch_one(&self.pool)
            .await?;
        Ok(count.unsigned_abs())
    }

    /// Answers in the order in which they were asked for, as they are at this moment, one after the other.
    pub fn answers(&self, filter: &AnswerFilter) -> impl Stream<Item = Result<Answer, StoreError>> {
        sqlx::query(answer_query!(
            "assessments.*, images.name, images.sha256, images.format",
            " order by assessments.id"
        ))
        .bind(filter.model.clone())
        .bind(filter.mode.map(Mode::name))
        .bind(filter.study.map(|study| study.0))
        .bind(filter.since.clone())
        .bind(filter.until.clone())
        .fetch(&self.pool)
        .map(|row| read(&row?))
    }

    /// Keeps answers of a model that were given elsewhere, as if it had answered here. Those that are here
    /// already, word by word, are not added again. Returns how many were added.
    ///
    /// # Errors
    /// When the database fails; then none is.
    pub async fn add_answers(&self, model: &str, answers: &[Elsewhere], by: &By) -> Result<u64, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let mut added = 0;
        for answer in answers {
            let id = AssessmentId::new();
            let inserted = sqlx::query(
                "insert into assessments (id, image_id, model, model_sha256, mode, prompt_version, sampling, \
                 status, text, score, parse_ok, finished_at) \
                 select $1, $2, $3, $4, 'reason', $4, '{}', 'done', $5, $6, $6::float8 is not null, now() \
                 where not exists (select from assessments where image_id = $2 and model = $3 and text = $5)",
            )
            .bind(id.0)
            .bind(answer.image.0)
            .bind(model)
            .bind(IMPORTED)
            .bind(&answer.text)
            .bind(answer.score.map(Score::get))
            .execute(&mut *transaction)
            .await?
            .rows_affected();
            if inserted > 0 {
                note_reading(&mut transaction, answer.image, id, &answer.text).await?;
                added += 1;
            }
        }
        if added > 0 {
            let detail = format!("{added} answers of {model}");
            note(&mut transaction, by, Change { action: "assessment.import", object: None, detail: &detail })
                .await?;
        }
        transaction.commit().await?;
        Ok(added)
    }
}

fn read(row: &PgRow) -> Result<Answer, StoreError> {
    Ok(Answer {
        id: row.try_get("id")?,
        image: (row.try_get("name")?, row.try_get("sha256")?, row.try_get("format")?),
        model: row.try_get("model")?,
        mode: read_mode(row.try_get("mode")?)?,
        prompt_version: row.try_get("prompt_version")?,
        score: row.try_get("score")?,
        text: row.try_get("text")?,
        created_at: rfc3339(row.try_get("created_at")?),
    })
}
