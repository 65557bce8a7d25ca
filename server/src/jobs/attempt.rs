//! One attempt at a job: from its claim to its end.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};

use qponder_shared::WorkerId;
use qponder_shared::job::{JobKind, LogLevel, Outcome};
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};

use super::artifacts::{self, ArtifactError};
use super::child::{Child, Word, describe};
use super::hearing::Hearing;
use super::inputs::{Places, Unready};
use super::keeper::Keeper;
use super::outcome;
use super::safe;
use super::worker::stopped;
use crate::store::leases::{End, Happenings, Lease, Renewed};
use crate::store::objects::Objects;
use crate::store::{Store, StoreError};

/// How often what happened is written down.
const RECORDED_EVERY: Duration = Duration::from_millis(500);
/// How often the lease is renewed.
const RENEWED_EVERY: Duration = Duration::from_secs(2);
/// How long a lease holds without being renewed.
pub const LEASE: Duration = Duration::from_secs(15);
/// After how long without a renewal the child is killed: before anybody else can claim the job.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(10);
/// How long the database may take to answer. A network that swallows everything gives no error of itself, and the
/// child must be killed in time all the same.
const ANSWERED_WITHIN: Duration = Duration::from_secs(2);
/// After how long a bucket that is out of reach is asked again. Its client has tried for half a minute by then.
const ASKED_AGAIN_AFTER: Duration = Duration::from_secs(5);
/// How long a child may take to write a checkpoint and end.
const GRACE: Duration = Duration::from_secs(60);

/// What an attempt works with.
pub struct Around {
    pub store: Store,
    pub objects: Objects,
    pub places: Places,
    pub worker: WorkerId,
    pub device: String,
}

/// What is meant to become of the child.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wish {
    GoOn,
    Cancel,
    /// The worker stops.
    Release,
    /// The job is in other hands.
    Abandon,
}

/// Works on a job until it ends, is cancelled, is lost, or `stop` says that the worker stops. `renewed` is when the
/// lease was asked for: it runs from then on at the earliest.
pub async fn run(around: &Arc<Around>, lease: Lease, renewed: Instant, mut stop: watch::Receiver<bool>) {
    let hearing = Hearing::new(&lease, &around.places.output(lease.job));
    let mut holder = Holder { around, lease: lease.clone(), renewed, hearing, keeper: Keeper::default() };
    let (tell, mut told) = mpsc::channel(1);
    let mut prepared = pin!(prepare(around, &lease, tell));
    let prepared = loop {
        tokio::select! {
            prepared = &mut prepared => break prepared,
            Some(line) = told.recv() => {
                holder.hearing.line(LogLevel::Warning, line);
                holder.record().await;
            }
            // Large datasets take longer than a lease.
            wish = holder.keep(&mut stop) => {
                let end = if wish == Wish::Cancel { End::Cancelled } else { End::Released };
                return holder.end(&end).await;
            }
        }
    };
    let Prepared { recipe, models, said } = match prepared {
        Ok(prepared) => prepared,
        Err(Unready::Missing(error)) => return holder.end(&End::Hopeless(error)).await,
        Err(Unready::Failed(error) | Unready::Away(error)) => return holder.end(&End::Failed(error)).await,
    };
    said.into_iter().for_each(|(level, line)| holder.hearing.line(level, line));
    if lease.kind == JobKind::AssessBatch {
        holder.hearing.name_models(models.clone());
    }
    if holder.is_overdue() {
        return holder.end(&End::Released).await;
    }
    if lease.kind.computes() {
        holder.hearing.watch(&around.device);
    }
    let mut child = match Child::start(holder.lease.kind, &recipe, &around.device) {
        Ok(child) => child,
        Err(error) => {
            let error = format!("the process could not be started: {error}");
            return holder.end(&End::Failed(error)).await;
        }
    };
    let (ended, wish) = follow(&mut child, &mut holder, &mut stop).await;
    let is_done = ended.as_ref().is_ok_and(ExitStatus::success);
    if wish != Wish::Abandon && !holder.drain().await {
        return holder.end(&End::Released).await;
    }
    if wish != Wish::Abandon && !is_done {
        holder.keep_last().await;
    }
    let end = match (&ended, wish) {
        (_, Wish::Abandon) => End::Released,
        // It may have come to its end before it heard.
        (Ok(status), _) if status.success() => return holder.finish(&mut stop, models).await,
        (_, Wish::Cancel) => End::Cancelled,
        (_, Wish::Release) => End::Released,
        (Ok(status), Wish::GoOn) => End::Failed(describe(*status, holder.hearing.last_error.as_deref())),
        (Err(error), Wish::GoOn) => End::Failed(format!("nobody knows how the process ended: {error}")),
    };
    holder.end(&end).await;
}

/// What is ready for the child.
struct Prepared {
    recipe: PathBuf,
    /// What the models of the recipe are called.
    models: Vec<String>,
    /// What is to be told of it.
    said: Vec<(LogLevel, String)>,
}

/// Makes everything ready for the child. Waits for a bucket that is out of reach, and tells it: jobs that fail while it
/// is would soon be given up, all of them.
async fn prepare(around: &Around, lease: &Lease, tell: mpsc::Sender<String>) -> Result<Prepared, Unready> {
    let mut is_told = false;
    loop {
        match try_to_prepare(around, lease).await {
            Err(Unready::Away(error)) if around.objects.is_remote() => {
                tracing::warn!(error, job = %lease.job, "what a job needs is out of reach; it is tried again");
                if !std::mem::replace(&mut is_told, true) {
                    let _ = tell
                        .try_send(format!("what the job needs is out of reach; it is tried again: {error}"));
                }
                tokio::time::sleep(ASKED_AGAIN_AFTER).await;
            }
            prepared => return prepared,
        }
    }
}

async fn try_to_prepare(around: &Around, lease: &Lease) -> Result<Prepared, Unready> {
    let Around { store, objects, places, .. } = around;
    let mut said = Vec::new();
    let models = places.names(lease, store).await?;
    let recipe = places.prepare(lease, store, objects).await?;
    if objects.is_remote() {
        let mut damaged = Vec::new();
        let out = places.output(lease.job);
        let brought = safe::bring(lease, &out, (store, objects), &mut damaged).await?;
        said.extend(damaged.into_iter().map(|what| (LogLevel::Warning, what)));
        said.extend(
            brought.map(|step| (LogLevel::Info, format!("what was kept after step {step} was brought here"))),
        );
    }
    Ok(Prepared { recipe, models, said })
}

/// Follows a child to its end: how it ended, and what was meant to become of it.
async fn follow(
    child: &mut Child,
    holder: &mut Holder<'_>,
    stop: &mut watch::Receiver<bool>,
) -> (io::Result<ExitStatus>, Wish) {
    let [mut recording, mut renewing] = [RECORDED_EVERY, RENEWED_EVERY].map(|period| {
        let mut ticks = interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks
    });
    let (mut wish, mut asked) = (Wish::GoOn, None::<Instant>);
    loop {
        let wanted = tokio::select! {
            word = child.next() => {
                match word {
                    Word::Ended(ended) => return (ended, wish),
                    Word::Line(line) => {
                        holder.hearing.look(child);
                        holder.hearing.hear(line);
                        if let Some(step) = holder.hearing.reached.take() {
                            holder.keeper.reach(step);
                        }
                    }
                    Word::Error(line) => holder.hearing.hear_error(line),
                }
                Wish::GoOn
            }
            _ = recording.tick() => {
                holder.keep_safe().await;
                if holder.record().await { Wish::GoOn } else { Wish::Abandon }
            }
            _ = renewing.tick() => holder.renew().await,
            () = stopped(stop), if wish == Wish::GoOn => Wish::Release,
        };
        if wanted == Wish::Abandon || holder.is_overdue() {
            // What was trained since the last checkpoint is trained again.
            child.kill();
            wish = Wish::Abandon;
        } else if wanted != Wish::GoOn && wish == Wish::GoOn {
            child.stop();
            (wish, asked) = (wanted, Some(Instant::now()));
        } else if asked.is_some_and(|asked| asked.elapsed() > GRACE) {
            child.kill();
        }
    }
}

/// Why a distillation of which nothing is left cannot be gone on with.
fn nothing_accepted(answered: u64, refused: &BTreeMap<String, u64>) -> String {
    let mut refused: Vec<_> = refused.iter().filter(|(_, count)| **count > 0).collect();
    refused.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let refused: Vec<String> =
        refused.iter().map(|(name, count)| format!("{name} refused {count}")).collect();
    format!(
        "none of {answered} answers passed the filters, so there is nothing to learn from ({}); rejected.jsonl has \
         the answers. Choose another prompt or other filters",
        refused.join(", ")
    )
}

/// An answer of the database, or that it did not come in time.
async fn in_time<T>(answer: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let late = StoreError::Database(sqlx::Error::PoolTimedOut);
    tokio::time::timeout(ANSWERED_WITHIN, answer).await.unwrap_or(Err(late))
}

/// Who holds the lease, and what is still to be written down.
struct Holder<'a> {
    around: &'a Arc<Around>,
    lease: Lease,
    renewed: Instant,
    hearing: Hearing,
    keeper: Keeper,
}

impl Holder<'_> {
    /// Keeps the lease until something else is wanted than to go on.
    async fn keep(&mut self, stop: &mut watch::Receiver<bool>) -> Wish {
        loop {
            tokio::select! {
                () = tokio::time::sleep(RENEWED_EVERY) => {}
                () = stopped(stop) => return Wish::Release,
            }
            match self.renew().await {
                Wish::GoOn => {}
                wish => return wish,
            }
        }
    }

    /// Renews the lease; what is wanted now.
    async fn renew(&mut self) -> Wish {
        // Before the question: the answer may have been long on its way.
        let asked = Instant::now();
        match in_time(self.around.store.renew(&self.lease, self.around.worker, LEASE)).await {
            Ok(renewed) => {
                self.renewed = asked;
                match renewed {
                    Renewed::Held => Wish::GoOn,
                    Renewed::Cancelling => Wish::Cancel,
                    Renewed::Lost => Wish::Abandon,
                }
            }
            Err(error) => {
                tracing::warn!(%error, job = %self.lease.job, "a lease could not be renewed");
                if self.is_overdue() { Wish::Abandon } else { Wish::GoOn }
            }
        }
    }

    /// Whether somebody else may soon claim the job.
    fn is_overdue(&self) -> bool {
        self.renewed.elapsed() > GIVEN_UP_AFTER
    }

    /// Begins to keep what there is to go on from, if it is time for that.
    async fn keep_safe(&mut self) {
        let said = self.keeper.tick(self.around, &self.lease).await;
        said.into_iter().for_each(|line| self.hearing.line(LogLevel::Warning, line));
    }

    /// Keeps the last that there is to go on from, and the lease meanwhile.
    async fn keep_last(&mut self) {
        let (mut keeper, around, lease) = (std::mem::take(&mut self.keeper), self.around, self.lease.clone());
        let mut kept = pin!(keeper.keep_last(around, &lease));
        let said = loop {
            tokio::select! {
                said = &mut kept => break said,
                () = tokio::time::sleep(RENEWED_EVERY) => {
                    if self.renew().await == Wish::Abandon {
                        return;
                    }
                }
            }
        };
        said.into_iter().for_each(|line| self.hearing.line(LogLevel::Warning, line));
    }

    /// Writes down what happened; whether the job is still ours. While the database is away it is kept.
    async fn record(&mut self) -> bool {
        self.hearing.take_answers();
        if self.hearing.what.is_empty() {
            return true;
        }
        match in_time(self.around.store.record(&self.lease, &self.hearing.what)).await {
            Ok(held) => {
                self.hearing.what = Happenings::default();
                held
            }
            Err(error) => {
                tracing::warn!(%error, job = %self.lease.job, "what a job did could not be written down yet");
                true
            }
        }
    }

    /// Writes down what a child that has ended still said, and keeps the lease; whether the job is still ours.
    async fn drain(&mut self) -> bool {
        while self.hearing.take_answers() {
            if !self.record().await {
                return false;
            }
            let is_away = !self.hearing.what.answers.is_empty();
            if is_away {
                tokio::time::sleep(RENEWED_EVERY).await;
            }
            if (is_away || self.renewed.elapsed() > RENEWED_EVERY) && self.renew().await == Wish::Abandon {
                return false;
            }
        }
        true
    }

    /// Keeps what the job made, and ends the attempt. The lease is kept meanwhile: large models take a while, and a
    /// bucket that is out of reach is waited for.
    async fn finish(mut self, stop: &mut watch::Receiver<bool>, models: Vec<String>) {
        let out = self.around.places.output(self.lease.job);
        let (tell, mut told) = mpsc::channel(1);
        let mut kept = pin!({
            let (around, lease) = (self.around, self.lease.clone());
            async move {
                let folder = out.clone();
                let made = tokio::task::spawn_blocking(move || artifacts::made(&folder)).await;
                let made = made.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
                if !around.store.name_artifacts(&lease, &made).await.map_err(|error| error.to_string())? {
                    return Ok(None);
                }
                while let Err(error) = artifacts::keep(&out, &made, &around.objects).await {
                    if !matches!(error, ArtifactError::Objects(_)) || !around.objects.is_remote() {
                        return Err(error.to_string());
                    }
                    // Told once, although it is tried again and again.
                    let _ = tell
                        .try_send(format!("what the job made is not kept yet; it is tried again: {error}"));
                    tokio::time::sleep(ASKED_AGAIN_AFTER).await;
                }
                outcome::read((lease.kind, &lease.recipe), &out, models).map(Some)
            }
        });
        // The worker may be told to stop: this is soon done, and doing it again takes longer. Unless it has to wait.
        let (_never, mut never) = watch::channel(false);
        let mut waits = false;
        let end = loop {
            tokio::select! {
                kept = &mut kept => break match kept {
                    Ok(Some(Some(Outcome::Distilled { accepted: 0, answered, refused, .. }))) => {
                        End::Hopeless(nothing_accepted(answered, &refused))
                    }
                    Ok(Some(outcome)) => End::Done(outcome.map(Box::new)),
                    Ok(None) => End::Released,
                    Err(error) => End::Failed(format!("what the job made could not be kept: {error}")),
                },
                Some(line) = told.recv(), if !waits => {
                    waits = true;
                    self.hearing.line(LogLevel::Warning, line);
                    self.record().await;
                }
                wish = self.keep(if waits { stop } else { &mut never }) => {
                    break if wish == Wish::Cancel { End::Cancelled } else { End::Released };
                }
            }
        };
        self.end(&end).await;
    }

    /// Ends the attempt. The database may be away for a while; what was done must not be lost by that.
    async fn end(mut self, end: &End) {
        if !self.is_ended(end).await || !matches!(end, End::Done(_)) {
            return;
        }
        // What is done is not gone on with; what it made is kept.
        let job = self.lease.job;
        let Around { store, objects, places, .. } = &**self.around;
        if let Err(error) = places.tidy(job) {
            tracing::warn!(%error, %job, "checkpoints and inputs of a job that is done could not be removed");
        }
        if objects.is_remote()
            && let Err(error) = safe::forget(job, store, objects).await
        {
            tracing::warn!(%error, %job, "kept checkpoints of a job that is done could not be removed");
        }
    }

    /// Ends the attempt; whether it was still ours to end.
    async fn is_ended(&mut self, end: &End) -> bool {
        if let End::Failed(error) | End::Hopeless(error) = end {
            self.hearing.line(LogLevel::Error, error.clone());
        }
        let begun = Instant::now();
        loop {
            let held = self.record().await;
            let ended = if held { self.around.store.end_attempt(&self.lease, end).await } else { Ok(false) };
            match ended {
                Ok(true) => {
                    tracing::info!(job = %self.lease.job, attempt = self.lease.attempt, ?end, "a job's attempt ended");
                    return true;
                }
                Ok(false) => {
                    tracing::warn!(job = %self.lease.job, attempt = self.lease.attempt, "the job is in other hands");
                    return false;
                }
                Err(error) if begun.elapsed() > GRACE => {
                    tracing::error!(%error, job = %self.lease.job, "the end of a job's attempt could not be written down");
                    return false;
                }
                Err(error) => {
                    tracing::warn!(%error, job = %self.lease.job, "the end of a job's attempt waits for the database")
                }
            }
            tokio::time::sleep(RENEWED_EVERY).await;
        }
    }
}
