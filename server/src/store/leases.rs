//! What workers do to jobs: claim, renew, write, end. Every statement names the attempt that makes it and changes
//! nothing when the job is in another one's hands by now.

use std::time::Duration;

use qponder_shared::job::{
    Artifact, AttemptOutcome, Completion, JobKind, LogLevel, Measured, Metrics, Outcome,
};
use qponder_shared::{JobId, WorkerId};
use sqlx::types::Json;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::batches::{BatchAnswer, add_answers};
use super::jobs::announce;
use super::{Store, StoreError};

/// Failures in a row, without a new checkpoint in between, after which a job is given up.
pub const MAX_FAILURES: i32 = 3;

/// Which jobs a worker takes.
#[derive(Clone, Debug, Default)]
pub struct Takes {
    /// Those of these kinds; all without any.
    pub kinds: Vec<JobKind>,
    /// Those that want no label, or one of these.
    pub labels: Vec<String>,
}

/// A job that a worker holds.
#[derive(Clone, Debug)]
pub struct Lease {
    pub job: JobId,
    /// The token of every write.
    pub attempt: i32,
    pub kind: JobKind,
    pub recipe: String,
    /// Steps whose numbers stand.
    pub step: u64,
    /// The request that made the job.
    pub request: Option<Uuid>,
}

/// What became of a lease that was to be renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewed {
    Held,
    /// Held, and somebody wants the job to end.
    Cancelling,
    /// The job is in other hands, or in none.
    Lost,
}

/// What happened in a job since the last time that it was written down.
#[derive(Clone, Debug, Default)]
pub struct Happenings {
    /// The steps that there are, and the one after which it goes on: what stands of later ones is made anew.
    pub begun: Option<(u64, u64)>,
    pub metrics: Vec<Metrics>,
    pub lines: Vec<(LogLevel, String)>,
    pub completions: Vec<Sampled>,
    pub answers: Vec<BatchAnswer>,
    /// The newest step that was made.
    pub step: Option<u64>,
    /// The newest checkpoint.
    pub saved: Option<u64>,
}

impl Happenings {
    /// Whether nothing happened.
    pub fn is_empty(&self) -> bool {
        self.begun.is_none()
            && self.metrics.is_empty()
            && self.lines.is_empty()
            && self.completions.is_empty()
            && self.answers.is_empty()
            && self.step.is_none()
            && self.saved.is_none()
    }
}

/// An answer that was sampled.
#[derive(Clone, Debug)]
pub struct Sampled {
    pub step: u64,
    /// Within the step.
    pub place: i32,
    /// SHA-256 of the image's file.
    pub sha256: String,
    pub answer: Completion,
}

/// The end of an attempt.
#[derive(Clone, Debug)]
pub enum End {
    /// With what came of it, beside the model that it trained.
    Done(Option<Box<Outcome>>),
    Failed(String),
    /// Failed in a way that another attempt cannot mend.
    Hopeless(String),
    Cancelled,
    Released,
}

/// What a failure makes of a job: it is put off, longer each time, or given up, or ended where that was wanted.
/// A new checkpoint since the last failure begins the count anew.
macro_rules! fail {
    ($error:literal, $rest:literal) => {
        concat!(
            "update jobs set failures = case when safe_step > failed_step then 1 else failures + 1 end, \
             failed_step = safe_step, error = ",
            $error,
            ", state = case when is_cancelling then 'cancelled' when ",
            "case when safe_step > failed_step then 1 else failures + 1 end >= $1 then 'failed' else 'queued' end, \
             finished_at = case when is_cancelling \
             or case when safe_step > failed_step then 1 else failures + 1 end >= $1 then now() end, \
             run_after = now() + interval '5 seconds' * power(3, case when safe_step > failed_step then 0 \
             else least(failures, 5) end), \
             lease_until = null, is_cancelling = false ",
            $rest
        )
    };
}

impl Store {
    /// Makes a worker known.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn add_worker(
        &self,
        id: WorkerId,
        name: &str,
        device: &str,
        takes: &Takes,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "insert into workers (id, name, device, version, kinds, labels) values ($1, $2, $3, $4, $5, $6)",
        )
        .bind(id.0)
        .bind(name)
        .bind(device)
        .bind(env!("CARGO_PKG_VERSION"))
        .bind(takes.kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>())
        .bind(&takes.labels)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Claims the next job for a worker, who is seen by that; `None` where there is none. Jobs whose worker was not
    /// heard of any more are put back first.
    ///
    /// # Errors
    /// When the database fails; then nothing is claimed.
    pub async fn claim(
        &self,
        worker: WorkerId,
        takes: &Takes,
        lease: Duration,
    ) -> Result<Option<Lease>, StoreError> {
        let mut transaction = self.pool.begin().await?;
        put_back(&mut transaction).await?;
        sqlx::query("update workers set seen_at = now() where id = $1")
            .bind(worker.0)
            .execute(&mut *transaction)
            .await?;
        let row = sqlx::query(
            "with next as (select id from jobs where state = 'queued' and run_after <= now() \
             and (cardinality($3::text[]) = 0 or kind = any($3)) and (label is null or label = any($4)) \
             order by priority desc, id limit 1 for update skip locked) \
             update jobs set state = 'running', attempt = attempt + 1, worker_id = $1, error = null, \
             lease_until = now() + make_interval(secs => $2), started_at = coalesce(started_at, now()) \
             from next where jobs.id = next.id returning jobs.id, attempt, kind, recipe, step, safe_step, request_id",
        )
        .bind(worker.0)
        .bind(lease.as_secs_f64())
        .bind(takes.kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>())
        .bind(&takes.labels)
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(row) = row else {
            transaction.commit().await?;
            return Ok(None);
        };
        let kind: String = row.try_get("kind")?;
        let lease = Lease {
            job: JobId(row.try_get("id")?),
            attempt: row.try_get("attempt")?,
            kind: JobKind::of_name(&kind).ok_or(StoreError::Unreadable { what: "jobs.kind", value: kind })?,
            recipe: row.try_get("recipe")?,
            step: row.try_get::<i64, _>("step")?.unsigned_abs(),
            request: row.try_get("request_id")?,
        };
        let safe: i64 = row.try_get("safe_step")?;
        sqlx::query(
            "insert into job_attempts (job_id, attempt, worker_id, first_step, last_step) values ($1, $2, $3, $4, $4)",
        )
        .bind(lease.job.0)
        .bind(lease.attempt)
        .bind(worker.0)
        .bind(safe)
        .execute(&mut *transaction)
        .await?;
        announce(&mut transaction, lease.job).await?;
        transaction.commit().await?;
        Ok(Some(lease))
    }

    /// Renews a lease; also says that the worker is there.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn renew(
        &self,
        lease: &Lease,
        worker: WorkerId,
        length: Duration,
    ) -> Result<Renewed, StoreError> {
        let is_cancelling: Option<bool> = sqlx::query_scalar(
            "with seen as (update workers set seen_at = now() where id = $4) \
             update jobs set lease_until = now() + make_interval(secs => $3) \
             where id = $1 and attempt = $2 and state = 'running' returning is_cancelling",
        )
        .bind(lease.job.0)
        .bind(lease.attempt)
        .bind(length.as_secs_f64())
        .bind(worker.0)
        .fetch_optional(&self.pool)
        .await?;
        Ok(match is_cancelling {
            None => Renewed::Lost,
            Some(false) => Renewed::Held,
            Some(true) => Renewed::Cancelling,
        })
    }

    /// Writes down what happened; whether the job is still this attempt's. If not, nothing is written.
    ///
    /// # Errors
    /// When the database fails; then nothing is written.
    pub async fn record(&self, lease: &Lease, what: &Happenings) -> Result<bool, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let (steps, from) = what.begun.unzip();
        let to_i64 = |number: Option<u64>| number.map(u64::cast_signed);
        let held = sqlx::query(
            "update jobs set steps = coalesce($3, steps), step = coalesce($5, $4, step), \
             safe_step = coalesce($6, $4, safe_step) where id = $1 and attempt = $2 and state = 'running'",
        )
        .bind(lease.job.0)
        .bind(lease.attempt)
        .bind(to_i64(steps))
        .bind(to_i64(from))
        .bind(to_i64(what.step))
        .bind(to_i64(what.saved))
        .execute(&mut *transaction)
        .await?;
        if held.rows_affected() == 0 {
            return Ok(false);
        }
        sqlx::query(
            "update job_attempts set first_step = coalesce($3, first_step), last_step = coalesce($4, $3, last_step) \
             where job_id = $1 and attempt = $2",
        )
        .bind(lease.job.0)
        .bind(lease.attempt)
        .bind(to_i64(from))
        .bind(to_i64(what.step))
        .execute(&mut *transaction)
        .await?;
        if let Some(from) = to_i64(from) {
            for statement in [
                "delete from job_metrics where job_id = $1 and step > $2",
                "delete from job_completions where job_id = $1 and step > $2",
            ] {
                sqlx::query(statement).bind(lease.job.0).bind(from).execute(&mut *transaction).await?;
            }
        }
        if !what.metrics.is_empty() {
            // A step that was validated at its checkpoint, and again by the attempt after it, stands once.
            sqlx::query(
                "insert into job_metrics (job_id, attempt, part, step, numbers) \
                 select $1, $2, part, step, numbers from unnest($3::text[], $4::int8[], $5::jsonb[]) \
                 as t(part, step, numbers) on conflict (job_id, part, step) do update \
                 set attempt = excluded.attempt, numbers = excluded.numbers",
            )
            .bind(lease.job.0)
            .bind(lease.attempt)
            .bind(what.metrics.iter().map(|row| row.part.name()).collect::<Vec<_>>())
            .bind(what.metrics.iter().map(|row| row.step.cast_signed()).collect::<Vec<_>>())
            .bind(what.metrics.iter().map(|row| Json(&row.numbers)).collect::<Vec<_>>())
            .execute(&mut *transaction)
            .await?;
        }
        if !what.lines.is_empty() {
            sqlx::query(
                "insert into job_logs (job_id, attempt, level, text) \
                 select $1, $2, level, text from unnest($3::text[], $4::text[]) as t(level, text)",
            )
            .bind(lease.job.0)
            .bind(lease.attempt)
            .bind(what.lines.iter().map(|line| line.0.name()).collect::<Vec<_>>())
            .bind(what.lines.iter().map(|line| line.1.replace('\0', "")).collect::<Vec<_>>())
            .execute(&mut *transaction)
            .await?;
        }
        if !what.completions.is_empty() {
            add_completions(&mut transaction, lease, &what.completions).await?;
        }
        add_answers(&mut transaction, lease.job, &what.answers).await?;
        announce(&mut transaction, lease.job).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Names the files that a job made, before their bytes are kept, so that nobody takes these for rubbish; whether
    /// the job is still this attempt's. Those of earlier attempts are forgotten.
    ///
    /// # Errors
    /// When the database fails; then nothing changes.
    pub async fn name_artifacts(&self, lease: &Lease, files: &[Artifact]) -> Result<bool, StoreError> {
        let mut transaction = self.pool.begin().await?;
        if !is_held(&mut transaction, lease).await? {
            return Ok(false);
        }
        sqlx::query("delete from artifacts where job_id = $1")
            .bind(lease.job.0)
            .execute(&mut *transaction)
            .await?;
        sqlx::query(
            "insert into artifacts (id, job_id, name, sha256, bytes) \
             select id, $1, name, sha256, bytes from unnest($2::uuid[], $3::text[], $4::text[], $5::int8[]) \
             as t(id, name, sha256, bytes)",
        )
        .bind(lease.job.0)
        .bind(files.iter().map(|file| file.id.0).collect::<Vec<_>>())
        .bind(files.iter().map(|file| file.name.as_str()).collect::<Vec<_>>())
        .bind(files.iter().map(|file| file.sha256.as_str()).collect::<Vec<_>>())
        .bind(files.iter().map(|file| file.bytes.cast_signed()).collect::<Vec<_>>())
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Ends an attempt; whether the job was still in its hands. Jobs that waited for it are queued.
    ///
    /// # Errors
    /// When the database fails; then it is not ended.
    pub async fn end_attempt(&self, lease: &Lease, end: &End) -> Result<bool, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let (outcome, error) = match end {
            End::Done(_) => (AttemptOutcome::Done, None),
            End::Failed(error) | End::Hopeless(error) => (AttemptOutcome::Failed, Some(error)),
            End::Cancelled => (AttemptOutcome::Cancelled, None),
            End::Released => (AttemptOutcome::Released, None),
        };
        let failures = if matches!(end, End::Hopeless(_)) { 1 } else { MAX_FAILURES };
        let query = match end {
            End::Failed(_) | End::Hopeless(_) => {
                sqlx::query(fail!("$4", "where id = $2 and attempt = $3 and state = 'running'"))
                    .bind(failures)
                    .bind(lease.job.0)
                    .bind(lease.attempt)
                    .bind(error)
            }
            End::Done(_) | End::Cancelled | End::Released => sqlx::query(
                "update jobs set outcome = coalesce($4, outcome), state = case when $3 = 'released' and is_cancelling then 'cancelled' \
                 when $3 = 'released' then 'queued' else $3 end, lease_until = null, is_cancelling = false, \
                 finished_at = case when $3 = 'released' and not is_cancelling then null else now() end \
                 where id = $1 and attempt = $2 and state = 'running'",
            )
            .bind(lease.job.0)
            .bind(lease.attempt)
            .bind(outcome.name())
            .bind(match end {
                End::Done(Some(came)) => Some(Json(came)),
                _ => None,
            }),
        };
        if query.execute(&mut *transaction).await?.rows_affected() == 0 {
            return Ok(false);
        }
        sqlx::query(
            "update job_attempts set ended_at = now(), outcome = $3, error = $4 where job_id = $1 and attempt = $2",
        )
        .bind(lease.job.0)
        .bind(lease.attempt)
        .bind(outcome.name())
        .bind(error)
        .execute(&mut *transaction)
        .await?;
        if let End::Done(Some(came)) = end
            && let Outcome::Evaluated { measured, .. } = &**came
        {
            add_measurements(&mut transaction, lease.job, measured).await?;
        }
        if matches!(end, End::Done(_)) {
            sqlx::query(
                "update jobs set state = 'queued', run_after = now() where state = 'waiting' \
                 and id in (select job_id from job_needs where needs_id = $1) \
                 and not exists (select from job_needs join jobs needed on needed.id = needs_id \
                 where job_id = jobs.id and needed.state <> 'done')",
            )
            .bind(lease.job.0)
            .execute(&mut *transaction)
            .await?;
        }
        announce(&mut transaction, lease.job).await?;
        transaction.commit().await?;
        Ok(true)
    }
}

/// Whether a job is still this attempt's; if so, it stays that until the transaction ends.
pub(super) async fn is_held(connection: &mut PgConnection, lease: &Lease) -> Result<bool, StoreError> {
    let held = sqlx::query(
        "select from jobs where id = $1 and attempt = $2 and state = 'running' for no key update",
    )
    .bind(lease.job.0)
    .bind(lease.attempt)
    .fetch_optional(connection)
    .await?;
    Ok(held.is_some())
}

async fn add_measurements(
    connection: &mut PgConnection,
    job: JobId,
    measured: &[Measured],
) -> Result<(), StoreError> {
    sqlx::query(
        "insert into measurements (job_id, place, model, numbers) \
         select $1, place, model, numbers from unnest($2::text[], $3::jsonb[]) with ordinality \
         as t(model, numbers, place) on conflict (job_id, place) do nothing",
    )
    .bind(job.0)
    .bind(measured.iter().map(|one| one.model.as_str()).collect::<Vec<_>>())
    .bind(measured.iter().map(Json).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

async fn add_completions(
    connection: &mut PgConnection,
    lease: &Lease,
    completions: &[Sampled],
) -> Result<(), StoreError> {
    let column =
        |of: fn(&Completion) -> f64| completions.iter().map(|one| of(&one.answer)).collect::<Vec<_>>();
    sqlx::query(
        "insert into job_completions \
         (job_id, attempt, step, place, image_id, label, text, reward, advantage, rewards) \
         select $1, $2, step, place, images.id, label, text, reward, advantage, rewards \
         from unnest($3::int8[], $4::int4[], $5::text[], $6::float8[], $7::text[], $8::float8[], $9::float8[], \
         $10::jsonb[]) as t(step, place, hash, label, text, reward, advantage, rewards) \
         left join images on images.sha256 = hash on conflict (job_id, step, place) do nothing",
    )
    .bind(lease.job.0)
    .bind(lease.attempt)
    .bind(completions.iter().map(|one| one.step.cast_signed()).collect::<Vec<_>>())
    .bind(completions.iter().map(|one| one.place).collect::<Vec<_>>())
    .bind(completions.iter().map(|one| one.sha256.as_str()).collect::<Vec<_>>())
    .bind(completions.iter().map(|one| one.answer.label).collect::<Vec<_>>())
    .bind(completions.iter().map(|one| one.answer.text.replace('\0', "")).collect::<Vec<_>>())
    .bind(column(|answer| answer.reward))
    .bind(column(|answer| answer.advantage))
    .bind(completions.iter().map(|one| Json(&one.answer.rewards)).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

/// Puts back the jobs whose worker was not heard of any more.
async fn put_back(connection: &mut PgConnection) -> Result<(), StoreError> {
    let lost: Vec<(Uuid, i32)> = sqlx::query_as(fail!(
        "'its worker was not heard of any more'",
        "where id in (select id from jobs where state = 'running' and lease_until < now() for update skip locked) \
         returning id, attempt"
    ))
    .bind(MAX_FAILURES)
    .fetch_all(&mut *connection)
    .await?;
    for (job, attempt) in lost {
        sqlx::query(
            "update job_attempts set ended_at = now(), outcome = 'lost' where job_id = $1 and attempt = $2",
        )
        .bind(job)
        .bind(attempt)
        .execute(&mut *connection)
        .await?;
        announce(connection, JobId(job)).await?;
    }
    Ok(())
}
