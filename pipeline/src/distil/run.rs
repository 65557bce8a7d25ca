//! The calls: threads that ask, and one that keeps what they hear.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime};

use qponder_shared::recipe::DistilRecipe;

use super::budget::{Budget, Grant};
use super::journal::{Entry, Journal, Opened, Outcome};
use super::plan::{Asked, Plan, Wanted, answered};
use super::report::{Calls, Report};
use super::{DistilError, Limit, Progress, output};
use crate::endpoint::{Backoff, Cause, Endpoint, Pace, Usage};

/// After so many requests in a row without an answer, each with all its retries, the endpoint is taken to be
/// down.
const GIVE_UP_AFTER: usize = 10;
/// How often a waiting thread looks whether it should stop.
const GLANCE: Duration = Duration::from_millis(25);

/// Where a thread tells what it hears. It goes on when that is kept, so that no call is made before the last
/// one is on the disk, or after it showed that there is no use.
struct Teller {
    heard: mpsc::Sender<(Heard, mpsc::SyncSender<()>)>,
    keep: mpsc::SyncSender<()>,
    kept: mpsc::Receiver<()>,
}

impl Teller {
    fn new(heard: mpsc::Sender<(Heard, mpsc::SyncSender<()>)>) -> Self {
        let (keep, kept) = mpsc::sync_channel(1);
        Self { heard, keep, kept }
    }

    fn tell(&self, heard: Heard) {
        // The other side listens as long as a thread runs.
        if self.heard.send((heard, self.keep.clone())).is_ok() {
            let _ = self.kept.recv();
        }
    }
}

/// What a thread has to tell.
enum Heard {
    /// The journal has the answer already.
    Known {
        index: usize,
        text: String,
    },
    /// A call ended; `wait` says that it will be made again.
    Called {
        index: usize,
        entry: Box<Entry>,
        wait: Option<Duration>,
    },
    /// There is nothing to ask about.
    Unreadable {
        id: String,
        reason: String,
    },
    Spent(Limit),
}

/// Asks for what is missing, filters all answers, and writes the manifest and the report.
///
/// When `stop` is set, running calls end, what is there is saved, and the error says how to go on.
///
/// # Errors
/// What is wrong with the recipe's files or the endpoint, or that it was stopped. Whatever was answered is
/// kept, and the manifest of it is written.
pub fn distil(
    recipe: &DistilRecipe,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(&Progress),
) -> Result<Report, DistilError> {
    let plan = Plan::read(recipe)?;
    let endpoint = Endpoint::new(&recipe.endpoint)?;
    let out = Path::new(&recipe.out);
    std::fs::create_dir_all(out).map_err(|source| DistilError::Io { path: out.to_owned(), source })?;
    let Opened { mut journal, entries, torn } = Journal::open(out)?;
    let wanted = plan.wanted(recipe);
    let (images, repeated) = (plan.items.len(), plan.repeated);
    progress(&Progress::Started { images, wanted: wanted.len(), repeated, torn });

    let mut calls = Calls::default();
    entries.iter().for_each(|entry| calls.count(entry));
    let caller = Caller {
        recipe,
        plan: &plan,
        wanted: &wanted,
        endpoint: &endpoint,
        known: &answered(&entries),
        budget: &Budget::new(&recipe.limits, calls.made, calls.cost),
        pace: &Pace::new(recipe.endpoint.requests_per_minute),
        next: &AtomicUsize::new(0),
        stop,
        halt: &AtomicBool::new(false),
    };
    let mut ledger = Ledger::new(wanted.len(), calls);
    std::thread::scope(|scope| {
        let (tell, heard) = mpsc::channel();
        for thread in 0..recipe.endpoint.concurrency.min(wanted.len()) {
            let (caller, teller) = (&caller, Teller::new(tell.clone()));
            scope.spawn(move || caller.work(thread as u64, &teller));
        }
        drop(tell);
        for (one, kept) in heard {
            if let Err(error) = ledger.take(one, &mut journal, progress) {
                ledger.ended.get_or_insert(error);
            }
            if ledger.ended.is_some() {
                caller.halt.store(true, Ordering::Relaxed);
            }
            // Its thread waits for this.
            let _ = kept.send(());
        }
    });
    let Ledger { answers, calls, answered, limit, unreadable, ended, .. } = ledger;
    let mut report = output::write(recipe, &plan, &wanted, &answers)?;
    report.calls = calls;
    report.limit = limit;
    report.unreadable_images = unreadable;
    output::write_report(out, &report)?;
    progress(&Progress::Filtered { answered, accepted: report.accepted });
    match ended {
        Some(error) => Err(error),
        None if stop.load(Ordering::Relaxed) && answered < wanted.len() => {
            Err(DistilError::Stopped { answered, wanted: wanted.len() })
        }
        None => Ok(report),
    }
}

/// What the threads share.
struct Caller<'a> {
    recipe: &'a DistilRecipe,
    plan: &'a Plan,
    wanted: &'a [Wanted],
    endpoint: &'a Endpoint,
    known: &'a HashMap<(&'a str, &'a str), &'a str>,
    budget: &'a Budget,
    pace: &'a Pace,
    next: &'a AtomicUsize,
    /// The caller wants an end.
    stop: &'a AtomicBool,
    /// There is no use in going on.
    halt: &'a AtomicBool,
}

impl Caller<'_> {
    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.halt.load(Ordering::Relaxed)
    }

    /// Sleeps, unless it is over before.
    fn rest(&self, wait: Duration) {
        let end = Instant::now() + wait;
        while !self.is_over() {
            match end.checked_duration_since(Instant::now()) {
                Some(left) if !left.is_zero() => std::thread::sleep(left.min(GLANCE)),
                _ => return,
            }
        }
    }

    /// Takes requests until there are none.
    fn work(&self, thread: u64, teller: &Teller) {
        let settings = &self.recipe.endpoint;
        let mut backoff = Backoff::new(
            Duration::from_secs_f64(settings.first_wait),
            Duration::from_secs_f64(settings.longest_wait),
            self.recipe.ask.seed,
            thread,
        );
        while !self.is_over() {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(&Wanted { item, answer }) = self.wanted.get(index) else { return };
            let heard = match Asked::new(self.recipe, &self.plan.items[item], answer) {
                Err(reason) => Heard::Unreadable { id: self.plan.items[item].row.id.clone(), reason },
                Ok(asked) => match self.known.get(&(asked.id.as_str(), asked.digest.as_str())) {
                    Some(text) => Heard::Known { index, text: (*text).to_owned() },
                    None => {
                        self.ask(index, &asked, &mut backoff, teller);
                        continue;
                    }
                },
            };
            teller.tell(heard);
        }
    }

    /// Calls until there is an answer, no hope of one, or no leave to call.
    fn ask(&self, index: usize, asked: &Asked, backoff: &mut Backoff, teller: &Teller) {
        let worst = Budget::price(&self.recipe.limits, asked.worst());
        for attempt in 0..=self.recipe.endpoint.retries {
            self.rest(self.pace.take(Instant::now()));
            loop {
                if self.is_over() {
                    return;
                }
                match self.budget.reserve(worst) {
                    Grant::Granted => break,
                    Grant::Wait => self.rest(GLANCE),
                    Grant::Spent(limit) => {
                        self.halt.store(true, Ordering::Relaxed);
                        teller.tell(Heard::Spent(limit));
                        return;
                    }
                }
            }
            let (entry, asked_wait) = self.call(asked, attempt, worst);
            self.budget.settle(worst, entry.cost);
            let again = match &entry.outcome {
                Outcome::Failed { cause, .. } => cause.may_pass() && attempt < self.recipe.endpoint.retries,
                Outcome::Answered { .. } => false,
            };
            let wait = again.then(|| backoff.wait(attempt, asked_wait));
            teller.tell(Heard::Called { index, entry: Box::new(entry), wait });
            match wait {
                Some(wait) => self.rest(wait),
                None => return,
            }
        }
    }

    /// One call as the journal keeps it, and how long the endpoint asks to wait.
    fn call(&self, asked: &Asked, attempt: u32, worst: f64) -> (Entry, Option<Duration>) {
        let begun = Instant::now();
        let result = self.endpoint.call(&asked.question());
        let ms = begun.elapsed().as_millis() as u64;
        let at = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs());
        let (id, digest) = (asked.id.clone(), asked.digest.clone());
        match result {
            Ok(reply) => {
                let cost = reply.usage.map_or(worst, |usage| Budget::price(&self.recipe.limits, usage));
                let outcome = Outcome::Answered { text: reply.text, finish: reply.finish };
                let (usage, body) = (reply.usage, reply.body);
                (Entry { id, digest, attempt, at, ms, status: Some(200), outcome, usage, cost, body }, None)
            }
            Err(error) => {
                let cost = if error.cause.may_cost() { worst } else { 0.0 };
                let outcome = Outcome::Failed { cause: error.cause, message: error.message };
                let (status, body) = (error.status, error.body);
                (Entry { id, digest, attempt, at, ms, status, outcome, usage: None, cost, body }, error.wait)
            }
        }
    }
}

/// What is known so far.
struct Ledger {
    /// The answer to each request.
    answers: Vec<Option<String>>,
    calls: Calls,
    answered: usize,
    /// Requests in a row that ended without an answer.
    failures: usize,
    unreadable: usize,
    limit: Option<Limit>,
    ended: Option<DistilError>,
}

impl Ledger {
    fn new(wanted: usize, calls: Calls) -> Self {
        let answers = vec![None; wanted];
        Self { answers, calls, answered: 0, failures: 0, unreadable: 0, limit: None, ended: None }
    }

    /// Keeps what a thread tells.
    fn take(
        &mut self,
        heard: Heard,
        journal: &mut Journal,
        progress: &mut dyn FnMut(&Progress),
    ) -> Result<(), DistilError> {
        match heard {
            Heard::Known { index, text } => {
                self.keep(index, text);
                progress(&Progress::Known { answered: self.answered });
            }
            Heard::Unreadable { id, reason } => {
                self.unreadable += 1;
                progress(&Progress::Skipped { id, reason });
            }
            Heard::Spent(limit) => {
                if self.limit.replace(limit).is_none() {
                    progress(&Progress::LimitReached { limit });
                }
            }
            Heard::Called { index, entry, wait } => {
                journal.append(&entry)?;
                self.calls.count(&entry);
                let Entry { id, outcome, usage, cost, .. } = *entry;
                match (outcome, wait) {
                    (Outcome::Answered { text, .. }, _) => {
                        self.failures = 0;
                        self.keep(index, text);
                        let Usage { prompt_tokens, completion_tokens } = usage.unwrap_or_default();
                        let answered = self.answered;
                        progress(&Progress::Answered {
                            id,
                            answered,
                            prompt_tokens,
                            completion_tokens,
                            cost,
                        });
                    }
                    (Outcome::Failed { cause, message }, Some(wait)) => {
                        let wait_ms = wait.as_millis() as u64;
                        progress(&Progress::Retrying { id, cause, message, wait_ms });
                    }
                    (Outcome::Failed { cause, message }, None) => self.fail(id, cause, message, progress)?,
                }
            }
        }
        Ok(())
    }

    fn keep(&mut self, index: usize, text: String) {
        if let Some(place) = self.answers.get_mut(index) {
            *place = Some(text);
            self.answered += 1;
        }
    }

    /// A request ended without an answer: is there use in going on?
    fn fail(
        &mut self,
        id: String,
        cause: Cause,
        message: String,
        progress: &mut dyn FnMut(&Progress),
    ) -> Result<(), DistilError> {
        self.failures += 1;
        self.calls.unanswered += 1;
        progress(&Progress::Failed { id, cause, message: message.clone() });
        let (answered, wanted, failures) = (self.answered, self.answers.len(), self.failures);
        if cause.concerns_all() {
            return Err(DistilError::Unusable { message, answered, wanted });
        }
        if failures >= GIVE_UP_AFTER {
            return Err(DistilError::GaveUp { failures, message, answered, wanted });
        }
        Ok(())
    }
}
