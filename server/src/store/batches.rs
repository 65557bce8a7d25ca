//! Answers of jobs that assess batches: assessments like any other, once for each job, model and image.

use qponder_shared::api::{AssessmentStatus, Mode, Sampling};
use qponder_shared::job::Base;
use qponder_shared::{AssessmentId, ImageId, JobId, Score};
use sqlx::PgConnection;
use sqlx::types::Json;

use super::assessments::{Outcome, make_latest, status_name};
use super::{Store, StoreError};

/// What a model says of an image, or why it says nothing.
#[derive(Clone, Debug)]
pub struct BatchAnswer {
    /// SHA-256 of the image's file.
    pub sha256: String,
    /// What the model is called.
    pub model: String,
    /// Hash of its weights.
    pub model_sha256: String,
    pub mode: Mode,
    pub sampling: Sampling,
    /// The mode's prompt, where the outcome names none.
    pub prompt_version: String,
    /// Done or failed.
    pub outcome: Outcome,
}

impl Store {
    /// What the answers of models are listed under: what a job trained has the name that it was given first, or else
    /// the job's own.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn names_of(&self, bases: &[Base]) -> Result<Vec<String>, StoreError> {
        let mut names = Vec::new();
        for base in bases {
            let job = match base {
                Base::Model(name) => {
                    names.push(name.clone());
                    continue;
                }
                Base::Job(job) => *job,
            };
            let name: Option<String> = sqlx::query_scalar(
                "select coalesce((select name from models where job_id = jobs.id order by id limit 1), \
                 jobs.name || ' #' || right(jobs.id::text, 6)) from jobs where id = $1",
            )
            .bind(job.0)
            .fetch_optional(&self.pool)
            .await?;
            names.push(name.unwrap_or_else(|| base.to_string()));
        }
        Ok(names)
    }
}

/// Adds answers as assessments of their images, but for those that are there. Images that are gone get none.
pub(super) async fn add_answers(
    connection: &mut PgConnection,
    job: JobId,
    answers: &[BatchAnswer],
) -> Result<(), StoreError> {
    for answer in answers {
        let (id, outcome) = (AssessmentId::new(), &answer.outcome);
        let image: Option<uuid::Uuid> = sqlx::query_scalar(
            "insert into assessments (id, image_id, job_id, model, model_sha256, mode, prompt_version, sampling, \
             status, text, score, level_probabilities, parse_ok, error, finish, prompt_tokens, new_tokens, ms, \
             finished_at) \
             select $1, images.id, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, now() \
             from images where sha256 = $18 for key share \
             on conflict (job_id, image_id, model_sha256) where job_id is not null do nothing returning image_id",
        )
        .bind(id.0)
        .bind(job.0)
        .bind(&answer.model)
        .bind(&answer.model_sha256)
        .bind(answer.mode.name())
        .bind(outcome.prompt_version.as_ref().unwrap_or(&answer.prompt_version))
        .bind(Json(answer.sampling))
        .bind(status_name(outcome.status))
        .bind(&outcome.text)
        .bind(outcome.score.map(Score::get))
        .bind(outcome.level_probabilities.map(|p| p.to_vec()))
        .bind(outcome.parse_ok)
        .bind(&outcome.error)
        .bind(outcome.finish)
        .bind(outcome.prompt_tokens.and_then(|n| i32::try_from(n).ok()))
        .bind(outcome.new_tokens.and_then(|n| i32::try_from(n).ok()))
        .bind(outcome.ms.and_then(|ms| i64::try_from(ms).ok()))
        .bind(&answer.sha256)
        .fetch_optional(&mut *connection)
        .await?;
        if let (Some(image), AssessmentStatus::Done) = (image, outcome.status) {
            make_latest(connection, ImageId(image), id, outcome).await?;
        }
    }
    Ok(())
}
