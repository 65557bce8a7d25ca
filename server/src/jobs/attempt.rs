//! One attempt at a job: from its claim to its end.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};

use qponder_shared::WorkerId;
use qponder_shared::job::{LogLevel, MetricPart, Metrics, Outcome};
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};

use super::answers::Answers;
use super::artifacts::{self, ArtifactError};
use super::child::{Child, Usage, Word, describe};
use super::inputs::{Places, Unready};
use super::keeper::Keeper;
use super::numbers;
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
/// How often it is looked at what the child takes of the machine.
const LOOKED_EVERY: Duration = Duration::from_secs(1);
/// After how long a bucket that is out of reach is asked again. Its client has tried for half a minute by then.
const ASKED_AGAIN_AFTER: Duration = Duration::from_secs(5);
/// How long a child may take to write a checkpoint and end.
const GRACE: Duration = Duration::from_secs(60);
/// Most lines that are kept while the database is away.
const MAX_LINES: usize = 10_000;

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
    let what = Happenings::default();
    let answers = Answers::new(&around.places.output(lease.job));
    let load = Load::default();
    let (last_error, keeper) = (None, Keeper::default());
    let mut holder =
        Holder { around, lease: lease.clone(), what, renewed, last_error, answers, load, keeper };
    let mut said = Vec::new();
    let prepared = tokio::select! {
        prepared = prepare(around, &lease, &mut said) => prepared,
        // Large datasets take longer than a lease.
        wish = holder.keep(&mut stop) => {
            let end = if wish == Wish::Cancel { End::Cancelled } else { End::Released };
            return holder.end(&end).await;
        }
    };
    said.into_iter().for_each(|(level, line)| holder.line(level, line));
    let recipe = match prepared {
        Ok(recipe) => recipe,
        Err(Unready::Missing(error)) => return holder.end(&End::Hopeless(error)).await,
        Err(Unready::Failed(error) | Unready::Away(error)) => return holder.end(&End::Failed(error)).await,
    };
    if holder.is_overdue() {
        return holder.end(&End::Released).await;
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
    if wish != Wish::Abandon && !is_done {
        holder.keep_last().await;
    }
    let end = match (&ended, wish) {
        (_, Wish::Abandon) => End::Released,
        // It may have come to its end before it heard.
        (Ok(status), _) if status.success() => return holder.finish(&mut stop).await,
        (_, Wish::Cancel) => End::Cancelled,
        (_, Wish::Release) => End::Released,
        (Ok(status), Wish::GoOn) => End::Failed(describe(*status, holder.last_error.as_deref())),
        (Err(error), Wish::GoOn) => End::Failed(format!("nobody knows how the process ended: {error}")),
    };
    holder.end(&end).await;
}

/// Makes everything ready for the child; the path of its recipe. What is to be told of it goes into `said`. Waits for a
/// bucket that is out of reach: jobs that fail while it is would soon be given up, all of them.
async fn prepare(
    around: &Around,
    lease: &Lease,
    said: &mut Vec<(LogLevel, String)>,
) -> Result<PathBuf, Unready> {
    loop {
        said.clear();
        match try_to_prepare(around, lease, said).await {
            Err(Unready::Away(error)) if around.objects.is_remote() => {
                tracing::warn!(error, job = %lease.job, "what a job needs is out of reach; it is tried again");
                tokio::time::sleep(ASKED_AGAIN_AFTER).await;
            }
            prepared => return prepared,
        }
    }
}

async fn try_to_prepare(
    around: &Around,
    lease: &Lease,
    said: &mut Vec<(LogLevel, String)>,
) -> Result<PathBuf, Unready> {
    let Around { store, objects, places, .. } = around;
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
    Ok(recipe)
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
                        holder.look(child);
                        holder.hear(line);
                    }
                    Word::Error(line) => holder.hear_error(line),
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
    what: Happenings,
    renewed: Instant,
    last_error: Option<String>,
    answers: Answers,
    load: Load,
    keeper: Keeper,
}

/// What the child takes of the machine, as it was looked at last.
#[derive(Default)]
struct Load {
    looked: Option<(Instant, Usage)>,
    /// Processors that were busy for it between the last two looks.
    processors: Option<f64>,
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

    /// Looks, once in a while, at what the child takes of the machine.
    fn look(&mut self, child: &Child) {
        let before = self.load.looked;
        if before.is_some_and(|(at, _)| at.elapsed() < LOOKED_EVERY) {
            return;
        }
        let Some(now) = child.usage() else { return };
        if let Some((at, then)) = before {
            let busy = (now.processor_seconds - then.processor_seconds).max(0.0);
            self.load.processors = Some(busy / at.elapsed().as_secs_f64());
        }
        self.load.looked = Some((Instant::now(), now));
    }

    /// The numbers of an event, with what the child takes of the machine.
    fn numbers(&self, event: &serde_json::Map<String, Value>) -> Option<Metrics> {
        let mut row = numbers::of(event)?;
        if row.part == MetricPart::Train {
            let memory = self.load.looked.map(|(_, usage)| usage.memory as f64 / 1e9);
            row.numbers.extend(memory.map(|gigabytes| ("memory_gb".to_owned(), gigabytes)));
            row.numbers.extend(self.load.processors.map(|busy| ("processors".to_owned(), busy)));
        }
        Some(row)
    }

    /// Begins to keep what there is to go on from, if it is time for that.
    async fn keep_safe(&mut self) {
        let said = self.keeper.tick(self.around, &self.lease).await;
        said.into_iter().for_each(|line| self.line(LogLevel::Warning, line));
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
        said.into_iter().for_each(|line| self.line(LogLevel::Warning, line));
    }

    /// Takes in a line of the child's output.
    fn hear(&mut self, line: String) {
        match serde_json::from_str(&line) {
            Ok(Value::Object(event)) => self.note(event),
            _ => self.line(LogLevel::Info, line),
        }
    }

    fn hear_error(&mut self, line: String) {
        self.last_error = Some(line.clone());
        self.line(LogLevel::Error, line);
    }

    fn line(&mut self, level: LogLevel, line: String) {
        if self.what.lines.len() < MAX_LINES {
            self.what.lines.push((level, line));
        }
    }

    /// Takes in an event.
    fn note(&mut self, event: serde_json::Map<String, Value>) {
        let number = |name: &str| event.get(name).and_then(Value::as_u64);
        let step = number("step").unwrap_or_default();
        self.what.metrics.extend(self.numbers(&event));
        match event.get("event").and_then(Value::as_str) {
            // A distillation counts answers.
            Some("started") if number("wanted").is_some() => {
                self.what.begun = number("wanted").map(|wanted| (wanted, 0));
                let of = |name: &str| number(name).unwrap_or_default();
                self.line(LogLevel::Info, format!("{} images, {} answers", of("images"), of("wanted")));
            }
            Some("known") => {
                let answered = number("answered").unwrap_or_default();
                self.what.begun = self.what.begun.map(|(wanted, _)| (wanted, answered));
                self.what.step = Some(answered);
                self.what.saved = Some(answered);
                self.keeper.reach(answered);
            }
            Some("answered") => {
                // Each is in the journal by now.
                self.what.step = number("answered");
                self.what.saved = number("answered");
                number("answered").into_iter().for_each(|answered| self.keeper.reach(answered));
            }
            Some("retrying" | "failed" | "skipped" | "limit_reached") => {
                let of = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default();
                let what = [of("id"), of("cause"), of("message"), of("reason"), of("limit")];
                let what: Vec<&str> = what.into_iter().filter(|word| !word.is_empty()).collect();
                let kind = of("event").replace('_', " ");
                self.line(LogLevel::Warning, format!("{kind}: {}", what.join(", ")));
            }
            Some("progress") => {
                self.what.step = Some(step);
                self.keeper.reach(step);
            }
            Some("started") => {
                self.what.begun = number("steps").map(|steps| (steps, step));
                let known = self.lease.step.min(step);
                self.answers.begin(known);
                if step > 0 {
                    self.catch_up(known, step);
                }
                if !self.lease.kind.trains() {
                    return;
                }
                let of = |name: &str| number(name).unwrap_or_default();
                let from = if step > 0 { format!(", going on after step {step}") } else { String::new() };
                let line = format!(
                    "{} steps, {} of {} parameters, {} images, {} for validation{from}",
                    of("steps"),
                    of("trained"),
                    of("parameters"),
                    of("images"),
                    of("validation_images")
                );
                self.line(LogLevel::Info, line);
            }
            Some("step" | "policy") => {
                self.what.step = Some(step);
                match self.answers.read() {
                    Ok(read) => self.what.completions.extend(read),
                    Err(error) => {
                        tracing::warn!(%error, job = %self.lease.job, "sampled answers could not be read")
                    }
                }
            }
            Some("saved") => {
                self.what.saved = Some(step);
                self.keeper.reach(step);
                self.line(LogLevel::Info, format!("checkpoint after step {step}"));
            }
            Some("damaged") => {
                let error = event.get("error").and_then(Value::as_str).unwrap_or_default();
                self.line(LogLevel::Warning, format!("{error}; going on from the checkpoint before it"));
            }
            _ => {}
        }
    }

    /// Takes in the numbers of steps `known` to `step` that attempts before this one could not write down.
    fn catch_up(&mut self, known: u64, step: u64) {
        match numbers::kept(&self.around.places.output(self.lease.job), known, step) {
            Ok(kept) => self.what.metrics.extend(kept),
            Err(error) => tracing::warn!(%error, job = %self.lease.job, "earlier numbers could not be read"),
        }
    }

    /// Writes down what happened; whether the job is still ours. While the database is away it is kept.
    async fn record(&mut self) -> bool {
        if self.what.is_empty() {
            return true;
        }
        match in_time(self.around.store.record(&self.lease, &self.what)).await {
            Ok(held) => {
                self.what = Happenings::default();
                held
            }
            Err(error) => {
                tracing::warn!(%error, job = %self.lease.job, "what a job did could not be written down yet");
                true
            }
        }
    }

    /// Keeps what the job made, and ends the attempt. The lease is kept meanwhile: large models take a while, and a
    /// bucket that is out of reach is waited for.
    async fn finish(mut self, stop: &mut watch::Receiver<bool>) {
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
                outcome::read(lease.kind, &lease.recipe, &out).map(Some)
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
                    self.line(LogLevel::Warning, line);
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
            self.line(LogLevel::Error, error.clone());
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
