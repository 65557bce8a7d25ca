//! Jobs as people see them: made, listed, cancelled, tried again. What workers do is in `leases`.

use qponder_shared::JobId;
use qponder_shared::job::{CreateJob, EditJob, Job, JobKind, JobState, Outcome};
use sqlx::postgres::{PgListener, PgRow};
use sqlx::types::Json;
use sqlx::{PgConnection, Row};
use time::OffsetDateTime;
use uuid::Uuid;

use super::audit::{By, Change, note};
use super::images::rfc3339;
use super::{Store, StoreError};

/// The channel on which jobs that changed are named.
const CHANNEL: &str = "jobs";

/// Which jobs a page shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// Every one.
    All,
    /// Those in a state.
    State(JobState),
    /// Those of a kind.
    Kind(JobKind),
    /// Those with a tag.
    Tag(String),
}

/// What became of the wish for a job.
pub enum MadeJob {
    /// It is there.
    New(Box<Job>),
    /// The same request came before; this is what it made.
    Repeated(Box<Job>),
    /// The key came before with another request.
    KeyTaken,
    /// There is no such job, which this one needs.
    NoJob(JobId),
}

/// What became of the wish to change a job.
pub enum ChangedJob {
    /// This is how it is now.
    Job(Box<Job>),
    /// It is in a state in which that cannot be.
    Refused(JobState),
    /// There is no such job.
    NoJob,
}

macro_rules! select_job {
    ($rest:literal) => {
        concat!(
            "select jobs.*, workers.name as worker, \
             array(select needs_id from job_needs where job_id = jobs.id order by needs_id) as needs, \
             array(select tag from job_tags where job_id = jobs.id order by tag) as tags \
             from jobs left join workers on workers.id = worker_id and state = 'running' ",
            $rest
        )
    };
}
pub(super) use select_job;

impl Store {
    /// Makes a job. It waits for the jobs that it needs, as far as they are not done.
    ///
    /// # Errors
    /// When the database fails; then there is none.
    pub async fn add_job(
        &self,
        new: &CreateJob,
        needs: &[JobId],
        key: Option<&str>,
        by: &By,
    ) -> Result<MadeJob, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let made = add(&mut transaction, new, needs, key, by).await?;
        if matches!(made, MadeJob::New(_)) {
            transaction.commit().await?;
        }
        Ok(made)
    }

    /// Makes jobs of which later ones may need earlier ones, all or none. `next` gets those that are made, and gives
    /// the next one with the jobs that it needs, until there is none.
    ///
    /// # Errors
    /// When the database fails; then there is none.
    pub async fn add_jobs(
        &self,
        key: Option<&str>,
        by: &By,
        mut next: impl FnMut(&[Job]) -> Option<(CreateJob, Vec<JobId>)>,
    ) -> Result<Result<Vec<Job>, MadeJob>, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let mut made = Vec::new();
        let mut is_repeated = false;
        while let Some((new, needs)) = next(&made) {
            let key = key.map(|key| format!("{key}/{}", made.len() + 1));
            match add(&mut transaction, &new, &needs, key.as_deref(), by).await? {
                MadeJob::New(job) => made.push(*job),
                MadeJob::Repeated(job) => {
                    is_repeated = true;
                    made.push(*job);
                }
                refused => return Ok(Err(refused)),
            }
        }
        if !is_repeated {
            transaction.commit().await?;
        }
        Ok(Ok(made))
    }

    /// A job.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn job(&self, id: JobId) -> Result<Option<Job>, StoreError> {
        let mut connection = self.pool.acquire().await?;
        let Some(mut job) = find(&mut connection, id).await? else { return Ok(None) };
        if job.state == JobState::Queued {
            let before: i64 = sqlx::query_scalar(
                "select count(*) from jobs where state = 'queued' and (priority > $1 or (priority = $1 and id < $2))",
            )
            .bind(job.priority)
            .bind(id.0)
            .fetch_one(&mut *connection)
            .await?;
            job.position = Some(u32::try_from(before).unwrap_or(u32::MAX));
        }
        Ok(Some(job))
    }

    /// One page of jobs, newest first, of those that `which` names: `limit` at most, before `before`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn jobs(
        &self,
        which: &Which,
        before: Option<JobId>,
        limit: usize,
    ) -> Result<Vec<Job>, StoreError> {
        let (statement, named) = match which {
            Which::All => (select_job!("where jobs.id < $1 order by jobs.id desc limit $2"), None),
            Which::State(state) => (
                select_job!("where state = $3 and jobs.id < $1 order by jobs.id desc limit $2"),
                Some(state.name()),
            ),
            Which::Kind(kind) => (
                select_job!("where kind = $3 and jobs.id < $1 order by jobs.id desc limit $2"),
                Some(kind.name()),
            ),
            // The page of tags first: few jobs have a rare one.
            Which::Tag(tag) => (
                select_job!(
                    "where jobs.id in (select job_id from job_tags where tag = $3 and job_id < $1 \
                     order by job_id desc limit $2) order by jobs.id desc"
                ),
                Some(tag.as_str()),
            ),
        };
        let query = sqlx::query(statement)
            .bind(before.map_or(Uuid::max(), |id| id.0))
            .bind(i64::try_from(limit).unwrap_or(i64::MAX));
        let query = match named {
            Some(named) => query.bind(named),
            None => query,
        };
        query.fetch_all(&self.pool).await?.iter().map(read).collect()
    }

    /// Changes what people call a job and want to remember of it; `None` where there is none.
    ///
    /// # Errors
    /// When the database fails; then it stays as it is.
    pub async fn edit_job(&self, id: JobId, change: &EditJob, by: &By) -> Result<Option<Job>, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let name: Option<String> = sqlx::query_scalar(
            "update jobs set name = coalesce($2, name), notes = coalesce($3, notes) where id = $1 returning name",
        )
        .bind(id.0)
        .bind(&change.name)
        .bind(&change.notes)
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(name) = name else { return Ok(None) };
        if let Some(tags) = &change.tags {
            sqlx::query("delete from job_tags where job_id = $1")
                .bind(id.0)
                .execute(&mut *transaction)
                .await?;
            sqlx::query("insert into job_tags (tag, job_id) select distinct unnest($2::text[]), $1")
                .bind(id.0)
                .bind(tags)
                .execute(&mut *transaction)
                .await?;
        }
        note(&mut transaction, by, Change { action: "job.edit", object: Some(id.0), detail: &name }).await?;
        announce(&mut transaction, id).await?;
        let job = find(&mut transaction, id).await?;
        transaction.commit().await?;
        Ok(job)
    }

    /// Cancels a job. One that runs is asked to end.
    ///
    /// # Errors
    /// When the database fails; then it goes on.
    pub async fn cancel_job(&self, id: JobId, by: &By) -> Result<ChangedJob, StoreError> {
        let statement = "update jobs set is_cancelling = state = 'running', \
             state = case state when 'running' then state else 'cancelled' end, \
             finished_at = case state when 'running' then finished_at else now() end \
             where id = $1 and state in ('waiting', 'queued', 'running') and not is_cancelling returning name";
        let (job, is_changed) = self.change_job(id, statement, "job.cancel", by).await?;
        Ok(match job {
            None => ChangedJob::NoJob,
            Some(job) if is_changed || job.is_cancelling => ChangedJob::Job(Box::new(job)),
            Some(job) => ChangedJob::Refused(job.state),
        })
    }

    /// Queues a job again that failed or was cancelled. It goes on from its newest checkpoint.
    ///
    /// # Errors
    /// When the database fails; then it stays as it is.
    pub async fn retry_job(&self, id: JobId, by: &By) -> Result<ChangedJob, StoreError> {
        let statement = "update jobs set state = case when exists \
             (select from job_needs join jobs needed on needed.id = needs_id \
             where job_id = jobs.id and needed.state <> 'done') then 'waiting' else 'queued' end, \
             failures = 0, run_after = now(), finished_at = null, is_cancelling = false \
             where id = $1 and state in ('failed', 'cancelled') returning name";
        let (job, is_changed) = self.change_job(id, statement, "job.retry", by).await?;
        Ok(match job {
            None => ChangedJob::NoJob,
            Some(job) if is_changed => ChangedJob::Job(Box::new(job)),
            Some(job) => ChangedJob::Refused(job.state),
        })
    }

    /// Runs a statement that changes a job or not, and notes it if it did; the job as it is then, and whether it did.
    async fn change_job(
        &self,
        id: JobId,
        statement: &'static str,
        action: &'static str,
        by: &By,
    ) -> Result<(Option<Job>, bool), StoreError> {
        let mut transaction = self.pool.begin().await?;
        let name: Option<String> =
            sqlx::query_scalar(statement).bind(id.0).fetch_optional(&mut *transaction).await?;
        if let Some(name) = &name {
            note(&mut transaction, by, Change { action, object: Some(id.0), detail: name }).await?;
            announce(&mut transaction, id).await?;
        }
        let job = find(&mut transaction, id).await?;
        transaction.commit().await?;
        Ok((job, name.is_some()))
    }

    /// Listens for jobs that change.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn listen_for_jobs(&self) -> Result<JobListener, StoreError> {
        let mut listener = PgListener::connect_with(&self.pool).await?;
        listener.listen(CHANNEL).await?;
        Ok(JobListener { listener })
    }
}

/// Hears of jobs that change.
pub struct JobListener {
    listener: PgListener,
}

impl JobListener {
    /// The next job that changed; `None` when the connection was lost meanwhile and any may have.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn next(&mut self) -> Result<Option<JobId>, StoreError> {
        let heard = self.listener.try_recv().await?;
        Ok(heard.and_then(|heard| heard.payload().parse().ok()))
    }
}

/// Tells whoever listens that a job changed, once the transaction stands.
pub(super) async fn announce(connection: &mut PgConnection, id: JobId) -> Result<(), StoreError> {
    sqlx::query("select pg_notify($1, $2::text)").bind(CHANNEL).bind(id.0).execute(connection).await?;
    Ok(())
}

async fn add(
    connection: &mut PgConnection,
    new: &CreateJob,
    needs: &[JobId],
    key: Option<&str>,
    by: &By,
) -> Result<MadeJob, StoreError> {
    // Keys of two people never meet.
    let key = key.map(|key| format!("{}:{key}", by.name));
    let needs: Vec<Uuid> = needs.iter().map(|id| id.0).collect();
    // Locked, so that none of them ends between this look at them and the new job.
    let known: Vec<(Uuid, String)> =
        sqlx::query_as("select id, state from jobs where id = any($1) order by id for share")
            .bind(&needs)
            .fetch_all(&mut *connection)
            .await?;
    if let Some(missing) = needs.iter().find(|id| known.iter().all(|(known, _)| known != *id)) {
        return Ok(MadeJob::NoJob(JobId(*missing)));
    }
    let is_ready = known.iter().all(|(_, state)| state == JobState::Done.name());
    let state = if is_ready { JobState::Queued } else { JobState::Waiting };
    let id = JobId::new();
    let added = sqlx::query(
        "insert into jobs (id, kind, name, recipe, state, priority, label, created_by, idempotency_key, request_id) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) on conflict (idempotency_key) do nothing",
    )
    .bind(id.0)
    .bind(new.kind.name())
    .bind(&new.name)
    .bind(&new.recipe)
    .bind(state.name())
    .bind(new.priority)
    .bind(&new.label)
    .bind(&by.name)
    .bind(&key)
    .bind(by.request)
    .execute(&mut *connection)
    .await?;
    if added.rows_affected() == 0 {
        let row = sqlx::query(select_job!("where idempotency_key = $1"))
            .bind(&key)
            .fetch_one(&mut *connection)
            .await?;
        let earlier = read(&row)?;
        let is_same = earlier.kind == new.kind && earlier.name == new.name && earlier.recipe == new.recipe;
        return Ok(if is_same { MadeJob::Repeated(Box::new(earlier)) } else { MadeJob::KeyTaken });
    }
    sqlx::query("insert into job_needs (job_id, needs_id) select $1, unnest($2::uuid[])")
        .bind(id.0)
        .bind(&needs)
        .execute(&mut *connection)
        .await?;
    note(connection, by, Change { action: "job.create", object: Some(id.0), detail: &new.name }).await?;
    announce(connection, id).await?;
    let job = find(connection, id).await?.ok_or(StoreError::Database(sqlx::Error::RowNotFound))?;
    Ok(MadeJob::New(Box::new(job)))
}

async fn find(connection: &mut PgConnection, id: JobId) -> Result<Option<Job>, StoreError> {
    let row = sqlx::query(select_job!("where jobs.id = $1")).bind(id.0).fetch_optional(connection).await?;
    row.map(|row| read(&row)).transpose()
}

pub(super) fn read(row: &PgRow) -> Result<Job, StoreError> {
    let number = |name: &str| Ok::<_, StoreError>(row.try_get::<i64, _>(name)?.unsigned_abs());
    let small = |name: &str| Ok::<_, StoreError>(row.try_get::<i32, _>(name)?.unsigned_abs());
    let (kind, state): (String, String) = (row.try_get("kind")?, row.try_get("state")?);
    let state =
        JobState::of_name(&state).ok_or(StoreError::Unreadable { what: "jobs.state", value: state })?;
    let run_after: OffsetDateTime = row.try_get("run_after")?;
    let is_put_off = state == JobState::Queued && run_after > OffsetDateTime::now_utc();
    Ok(Job {
        id: JobId(row.try_get("id")?),
        kind: JobKind::of_name(&kind).ok_or(StoreError::Unreadable { what: "jobs.kind", value: kind })?,
        name: row.try_get("name")?,
        recipe: row.try_get("recipe")?,
        state,
        needs: row.try_get::<Vec<Uuid>, _>("needs")?.into_iter().map(JobId).collect(),
        priority: row.try_get("priority")?,
        position: None,
        label: row.try_get("label")?,
        notes: row.try_get("notes")?,
        tags: row.try_get("tags")?,
        attempt: small("attempt")?,
        failures: small("failures")?,
        step: number("step")?,
        steps: number("steps")?,
        outcome: row.try_get::<Option<Json<Outcome>>, _>("outcome")?.map(|outcome| outcome.0),
        worker: row.try_get("worker")?,
        is_cancelling: row.try_get("is_cancelling")?,
        error: row.try_get("error")?,
        run_after: is_put_off.then(|| rfc3339(run_after)),
        created_by: row.try_get("created_by")?,
        created_at: rfc3339(row.try_get("created_at")?),
        started_at: row.try_get::<Option<_>, _>("started_at")?.map(rfc3339),
        finished_at: row.try_get::<Option<_>, _>("finished_at")?.map(rfc3339),
    })
}
