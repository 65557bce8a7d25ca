//! What jobs can go on from: which pieces of which files are in the object store.
//!
//! Pieces are named here before their bytes are kept, and forgotten before these are deleted. Both take the lock of the
//! hash, so that a piece which two jobs share is not deleted while the second one counts on it.

use std::collections::BTreeSet;
use std::time::Duration;

use qponder_shared::JobId;

use super::images::lock_hash;
use super::leases::{Lease, is_held};
use super::{Store, StoreError};

/// States of a job that are kept: the one before the newest stands in where that one is damaged.
const KEPT: i64 = 2;

/// A piece of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The file.
    pub name: String,
    /// Which of its pieces.
    pub place: i32,
    pub sha256: String,
    pub bytes: i64,
}

/// A state from which a job can go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptState {
    pub step: u64,
    /// In order of files and places.
    pub pieces: Vec<Piece>,
}

impl Store {
    /// Names the pieces of a state before their bytes are kept. Returns the hashes of pieces that may be needless now:
    /// those that this step had before, when an attempt was killed or could not send them. `None` where the job is in
    /// other hands.
    ///
    /// # Errors
    /// When the database fails; then nothing changes.
    pub async fn name_state(
        &self,
        lease: &Lease,
        state: &KeptState,
    ) -> Result<Option<Vec<String>>, StoreError> {
        let mut transaction = self.pool.begin().await?;
        if !is_held(&mut transaction, lease).await? {
            return Ok(None);
        }
        // In order, so that two jobs which share pieces do not wait for each other.
        for sha256 in state.pieces.iter().map(|piece| &piece.sha256).collect::<BTreeSet<_>>() {
            lock_hash(&mut transaction, sha256).await?;
        }
        let step = state.step.cast_signed();
        let replaced = sqlx::query_scalar(
            "with gone as (delete from job_checkpoints where job_id = $1 and step = $2 returning step) \
             select distinct sha256 from job_checkpoint_pieces where job_id = $1 and step in (select step from gone)",
        );
        let replaced = replaced.bind(lease.job.0).bind(step).fetch_all(&mut *transaction).await?;
        sqlx::query("insert into job_checkpoints (job_id, step, attempt) values ($1, $2, $3)")
            .bind(lease.job.0)
            .bind(step)
            .bind(lease.attempt)
            .execute(&mut *transaction)
            .await?;
        sqlx::query(
            "insert into job_checkpoint_pieces (job_id, step, name, place, sha256, bytes) \
             select $1, $2, name, place, sha256, bytes \
             from unnest($3::text[], $4::int4[], $5::text[], $6::int8[]) as t(name, place, sha256, bytes)",
        )
        .bind(lease.job.0)
        .bind(step)
        .bind(state.pieces.iter().map(|piece| piece.name.as_str()).collect::<Vec<_>>())
        .bind(state.pieces.iter().map(|piece| piece.place).collect::<Vec<_>>())
        .bind(state.pieces.iter().map(|piece| piece.sha256.as_str()).collect::<Vec<_>>())
        .bind(state.pieces.iter().map(|piece| piece.bytes).collect::<Vec<_>>())
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(Some(replaced))
    }

    /// Says that a state is kept as a whole, and forgets those that it makes needless: older ones, and later ones,
    /// which could not be gone on from. Returns the hashes of pieces that may be needless now; nothing where the job
    /// is in other hands.
    ///
    /// # Errors
    /// When the database fails; then nothing changes.
    pub async fn complete_state(&self, lease: &Lease, step: u64) -> Result<Vec<String>, StoreError> {
        let mut transaction = self.pool.begin().await?;
        if !is_held(&mut transaction, lease).await? {
            return Ok(Vec::new());
        }
        sqlx::query("update job_checkpoints set is_whole = true where job_id = $1 and step = $2")
            .bind(lease.job.0)
            .bind(step.cast_signed())
            .execute(&mut *transaction)
            .await?;
        let forgotten = sqlx::query_scalar(
            "with gone as (delete from job_checkpoints where job_id = $1 and step not in ( \
             select step from job_checkpoints where job_id = $1 and step <= $2 and is_whole \
             order by step desc limit $3) returning step) \
             select distinct sha256 from job_checkpoint_pieces where job_id = $1 and step in (select step from gone)",
        );
        let forgotten = forgotten.bind(lease.job.0).bind(step.cast_signed()).bind(KEPT);
        let forgotten = forgotten.fetch_all(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(forgotten)
    }

    /// The states that are kept as a whole, the newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn kept_states(&self, job: JobId) -> Result<Vec<KeptState>, StoreError> {
        let steps: Vec<i64> = sqlx::query_scalar(
            "select step from job_checkpoints where job_id = $1 and is_whole order by step desc",
        )
        .bind(job.0)
        .fetch_all(&self.pool)
        .await?;
        let mut states = Vec::with_capacity(steps.len());
        for step in steps {
            let pieces: Vec<(String, i32, String, i64)> = sqlx::query_as(
                "select name, place, sha256, bytes from job_checkpoint_pieces where job_id = $1 and step = $2 \
                 order by name, place",
            )
            .bind(job.0)
            .bind(step)
            .fetch_all(&self.pool)
            .await?;
            let pieces = pieces.into_iter();
            let pieces =
                pieces.map(|(name, place, sha256, bytes)| Piece { name, place, sha256, bytes }).collect();
            states.push(KeptState { step: step.unsigned_abs(), pieces });
        }
        Ok(states)
    }

    /// Forgets all states of a job that is not under way; the hashes of pieces that may be needless now.
    ///
    /// # Errors
    /// When the database fails; then nothing changes.
    pub async fn forget_states(&self, job: JobId) -> Result<Vec<String>, StoreError> {
        let forgotten = sqlx::query_scalar(
            "with gone as (delete from job_checkpoints where job_id = $1 and exists (select from jobs \
             where id = $1 and state in ('done', 'failed', 'cancelled')) returning step) \
             select distinct sha256 from job_checkpoint_pieces where job_id = $1 and step in (select step from gone)",
        );
        Ok(forgotten.bind(job.0).fetch_all(&self.pool).await?)
    }

    /// Jobs that failed or were cancelled so long ago, and still have files in the object store.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn given_up(&self, ago: Duration) -> Result<Vec<JobId>, StoreError> {
        let jobs: Vec<uuid::Uuid> = sqlx::query_scalar(
            "select id from jobs where state in ('failed', 'cancelled') \
             and finished_at < now() - make_interval(secs => $1) \
             and (exists (select from job_checkpoints where job_id = jobs.id) \
             or exists (select from artifacts where job_id = jobs.id))",
        )
        .bind(ago.as_secs_f64())
        .fetch_all(&self.pool)
        .await?;
        Ok(jobs.into_iter().map(JobId).collect())
    }

    /// Forgets the files that a job had made when it failed or was cancelled. Their bytes have no row any more then.
    ///
    /// # Errors
    /// When the database fails; then nothing changes.
    pub async fn forget_artifacts(&self, job: JobId) -> Result<Vec<String>, StoreError> {
        let forgotten = sqlx::query_scalar(
            "delete from artifacts where job_id = $1 \
             and exists (select from jobs where id = $1 and state in ('failed', 'cancelled')) returning sha256",
        );
        Ok(forgotten.bind(job.0).fetch_all(&self.pool).await?)
    }

    /// Of these jobs those that failed or were cancelled so long ago.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn given_up_of(&self, jobs: &[JobId], ago: Duration) -> Result<Vec<JobId>, StoreError> {
        let ids: Vec<uuid::Uuid> = sqlx::query_scalar(
            "select id from jobs where id = any($1) and state in ('failed', 'cancelled') \
             and finished_at < now() - make_interval(secs => $2)",
        )
        .bind(jobs.iter().map(|job| job.0).collect::<Vec<_>>())
        .bind(ago.as_secs_f64())
        .fetch_all(&self.pool)
        .await?;
        Ok(ids.into_iter().map(JobId).collect())
    }

    /// Which of these hashes are of pieces.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn named_pieces(&self, hashes: &[String]) -> Result<BTreeSet<String>, StoreError> {
        let named: Vec<String> =
            sqlx::query_scalar("select distinct sha256 from job_checkpoint_pieces where sha256 = any($1)")
                .bind(hashes)
                .fetch_all(&self.pool)
                .await?;
        Ok(named.into_iter().collect())
    }

    /// Runs `delete` if no job needs this piece, and keeps any from coming to need it meanwhile.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn with_unused_piece(
        &self,
        sha256: &str,
        delete: impl Future<Output = ()>,
    ) -> Result<(), StoreError> {
        let used = "select exists (select from job_checkpoint_pieces where sha256 = $1)";
        self.unless_used(used, sha256, delete).await
    }
}
