//! What is known about jobs besides how they are: attempts, files, pace, workers, the queue as a whole.

use qponder_shared::job::{Artifact, Attempt, AttemptOutcome, JobKind, Worker};
use qponder_shared::{ArtifactId, JobId, WorkerId};
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::images::rfc3339;
use super::{Store, StoreError};

/// The queue at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct QueueNow {
    pub waiting: i64,
    pub queued: i64,
    pub running: i64,
    /// Seconds that the oldest job has been ready and nobody took it.
    pub oldest: f64,
    pub workers: i64,
}

impl Store {
    /// The attempts of a job, in their order.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn attempts(&self, id: JobId) -> Result<Vec<Attempt>, StoreError> {
        let rows = sqlx::query(
            "select job_attempts.*, workers.name as worker, workers.device from job_attempts \
             join workers on workers.id = worker_id where job_id = $1 order by attempt",
        )
        .bind(id.0)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(read_attempt).collect()
    }

    /// Seconds that a step took in the newest jobs of a kind that are done, the median, and of how many jobs.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn pace(&self, kind: JobKind) -> Result<Option<(f64, u32)>, StoreError> {
        let (pace, count): (Option<f64>, i64) = sqlx::query_as(
            "select percentile_cont(0.5) within group (order by seconds), count(*) from \
             (select extract(epoch from finished_at - started_at)::float8 / steps as seconds from jobs \
             where kind = $1 and state = 'done' and steps > 0 order by id desc limit 20) newest",
        )
        .bind(kind.name())
        .fetch_one(&self.pool)
        .await?;
        Ok(pace.map(|pace| (pace, u32::try_from(count).unwrap_or_default())))
    }

    /// The files that a job made, by name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn artifacts(&self, id: JobId) -> Result<Vec<Artifact>, StoreError> {
        let rows = sqlx::query("select * from artifacts where job_id = $1 order by name")
            .bind(id.0)
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(read_artifact).collect()
    }

    /// A file that a job made.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn artifact(&self, id: ArtifactId) -> Result<Option<Artifact>, StoreError> {
        let row = sqlx::query("select * from artifacts where id = $1")
            .bind(id.0)
            .fetch_optional(&self.pool)
            .await?;
        row.as_ref().map(read_artifact).transpose()
    }

    /// The workers that were heard of in the last minute.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn workers(&self) -> Result<Vec<Worker>, StoreError> {
        let rows = sqlx::query(
            "select workers.*, (select jobs.id from jobs where worker_id = workers.id and state = 'running' limit 1) \
             as job from workers where seen_at > now() - interval '1 minute' order by id",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(Worker {
                    id: WorkerId(row.try_get("id")?),
                    name: row.try_get("name")?,
                    device: row.try_get("device")?,
                    kinds: kinds(row.try_get("kinds")?)?,
                    labels: row.try_get("labels")?,
                    version: row.try_get("version")?,
                    started_at: rfc3339(row.try_get("started_at")?),
                    seen_at: rfc3339(row.try_get("seen_at")?),
                    job: row.try_get::<Option<Uuid>, _>("job")?.map(JobId),
                })
            })
            .collect()
    }

    /// How many jobs are in each state that is not final, how long the oldest one has been in the queue, in seconds,
    /// and how many workers are there.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn queue_now(&self) -> Result<QueueNow, StoreError> {
        let (waiting, queued, running, oldest, workers) = sqlx::query_as(
            "select (select count(*) from jobs where state = 'waiting'), \
             (select count(*) from jobs where state = 'queued'), \
             (select count(*) from jobs where state = 'running'), \
             (select coalesce(extract(epoch from now() - min(greatest(created_at, run_after))), 0)::float8 \
              from jobs where state = 'queued' and run_after <= now()), \
             (select count(*) from workers where seen_at > now() - interval '1 minute')",
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(QueueNow { waiting, queued, running, oldest, workers })
    }
}

fn kinds(names: Vec<String>) -> Result<Vec<JobKind>, StoreError> {
    let read = |name: String| {
        JobKind::of_name(&name).ok_or(StoreError::Unreadable { what: "workers.kinds", value: name })
    };
    names.into_iter().map(read).collect()
}

fn read_artifact(row: &PgRow) -> Result<Artifact, StoreError> {
    Ok(Artifact {
        id: ArtifactId(row.try_get("id")?),
        name: row.try_get("name")?,
        bytes: row.try_get::<i64, _>("bytes")?.unsigned_abs(),
        sha256: row.try_get("sha256")?,
    })
}

fn read_attempt(row: &PgRow) -> Result<Attempt, StoreError> {
    let number = |name: &str| Ok::<_, StoreError>(row.try_get::<i64, _>(name)?.unsigned_abs());
    let outcome = match row.try_get::<Option<String>, _>("outcome")? {
        None => None,
        Some(name) => Some(
            AttemptOutcome::of_name(&name)
                .ok_or(StoreError::Unreadable { what: "job_attempts.outcome", value: name })?,
        ),
    };
    Ok(Attempt {
        attempt: row.try_get::<i32, _>("attempt")?.unsigned_abs(),
        worker: row.try_get("worker")?,
        device: row.try_get("device")?,
        first_step: number("first_step")?,
        last_step: number("last_step")?,
        started_at: rfc3339(row.try_get("started_at")?),
        ended_at: row.try_get::<Option<_>, _>("ended_at")?.map(rfc3339),
        outcome,
        error: row.try_get("error")?,
    })
}
