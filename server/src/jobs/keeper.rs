//! When what a job can go on from is kept (`safe.rs` says how): beside the work on it, and once more at its end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use super::attempt::Around;
use super::safe::{self, SafeError, Sent};
use crate::store::leases::Lease;

/// How often what was answered is kept in the object store, and what could not be kept is tried again. Trainings say
/// when they have written a checkpoint.
const KEPT_EVERY: Duration = Duration::from_secs(30);

/// A state that is being kept; it ends with what is sent by then, or with nothing where the job is in other hands.
type Keeping = JoinHandle<Result<Option<Sent>, SafeError>>;

/// What another machine could go on from, where the object store is all that it shares with this one. Elsewhere it
/// does nothing. What its methods return is to be told to whoever reads the job's log.
#[derive(Default)]
pub struct Keeper {
    /// Newest checkpoint, or number of answers, that there is here.
    reached: Option<u64>,
    /// That which is kept, and when that was.
    kept: Option<(u64, Instant)>,
    /// When it could not be kept, since it last could.
    failed: Option<Instant>,
    sent: Sent,
    /// What is being kept.
    task: Option<(u64, Keeping)>,
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if let Some((_, task)) = &self.task {
            task.abort();
        }
    }
}

impl Keeper {
    /// Takes note of a checkpoint, or of a number of answers, that can be gone on from.
    pub fn reach(&mut self, step: u64) {
        self.reached = Some(step);
    }

    /// Begins to keep what is new, if it is time for that and nothing else is being kept.
    pub async fn tick(&mut self, around: &Arc<Around>, lease: &Lease) -> Option<String> {
        if !around.objects.is_remote() {
            return None;
        }
        let is_ended = self.task.as_ref().is_some_and(|(_, task)| task.is_finished());
        let said = if is_ended { self.settle(lease).await } else { None };
        let is_old = |(kept, at): (u64, Instant)| {
            Some(kept) != self.reached && (lease.kind.trains() || at.elapsed() >= KEPT_EVERY)
        };
        let is_new = self.kept.is_none_or(is_old);
        let is_time = self.failed.is_none_or(|at| at.elapsed() >= KEPT_EVERY);
        if self.task.is_none() && is_new && is_time {
            self.begin(around, lease);
        }
        said
    }

    /// Keeps the last that there is to go on from, whatever time it is. Takes as long as the object store takes.
    pub async fn keep_last(&mut self, around: &Arc<Around>, lease: &Lease) -> Option<String> {
        if !around.objects.is_remote() {
            return None;
        }
        if lease.kind.trains() {
            self.reached = safe::newest(&around.places.output(lease.job));
        }
        let said = self.settle(lease).await;
        if self.kept.map(|(kept, _)| kept) == self.reached {
            return said;
        }
        self.begin(around, lease);
        said.or(self.settle(lease).await)
    }

    fn begin(&mut self, around: &Arc<Around>, lease: &Lease) {
        let Some(reached) = self.reached else { return };
        let (around, lease, sent) = (Arc::clone(around), lease.clone(), self.sent.clone());
        let task = tokio::spawn(async move {
            let out = around.places.output(lease.job);
            safe::keep(&lease, &out, reached, &sent, (&around.store, &around.objects)).await
        });
        self.task = Some((reached, task));
    }

    /// Waits for what is being kept.
    async fn settle(&mut self, lease: &Lease) -> Option<String> {
        let (step, task) = self.task.as_mut()?;
        let (step, ended) = (*step, task.await);
        self.task = None;
        let error = match ended {
            Ok(Ok(Some(sent))) => {
                (self.kept, self.failed, self.sent) = (Some((step, Instant::now())), None, sent);
                return None;
            }
            // The next renewal of the lease says the same.
            Ok(Ok(None)) => return None,
            Ok(Err(error)) => error.to_string(),
            Err(error) => {
                tracing::error!(%error, job = %lease.job, "keeping a checkpoint ended early");
                error.to_string()
            }
        };
        // Told once, although it is tried again and again.
        let is_first = self.failed.replace(Instant::now()).is_none();
        let what = "what the job could go on from elsewhere is not kept; it is tried again";
        is_first.then(|| format!("{what}: {error}"))
    }
}
