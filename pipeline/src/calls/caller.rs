//! What each thread does: takes requests, waits its turn, calls, and calls again.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use qponder_shared::recipe::{EndpointRecipe, SpendLimits};

use super::budget::{Budget, Grant};
use super::journal::{Entry, Outcome};
use super::ledger::{Heard, Teller};
use super::{Request, Unaskable};
use crate::endpoint::{Backoff, Endpoint, Pace};

/// How often a waiting thread looks whether it should stop.
const GLANCE: Duration = Duration::from_millis(25);

/// What the threads share.
pub(super) struct Caller<'a> {
    pub(super) settings: &'a EndpointRecipe,
    pub(super) limits: &'a SpendLimits,
    pub(super) count: usize,
    pub(super) request: &'a (dyn Fn(usize) -> Result<Request, Unaskable> + Sync),
    pub(super) seed: u64,
    pub(super) endpoint: &'a Endpoint,
    pub(super) known: &'a HashMap<(String, String), String>,
    pub(super) budget: &'a Budget,
    pub(super) pace: &'a Pace,
    pub(super) next: &'a AtomicUsize,
    /// The caller wants an end.
    pub(super) stop: &'a AtomicBool,
    /// There is no use in going on.
    pub(super) halt: &'a AtomicBool,
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

    /// Takes requests until there are none. Where no more calls are made, what is known already is given all the same.
    pub(super) fn work(&self, thread: u64, teller: &Teller) {
        let settings = self.settings;
        let mut backoff = Backoff::new(
            Duration::from_secs_f64(settings.first_wait),
            Duration::from_secs_f64(settings.longest_wait),
            self.seed,
            thread,
        );
        while !self.stop.load(Ordering::Relaxed) {
            if self.halt.load(Ordering::Relaxed) && self.known.is_empty() {
                return;
            }
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            if index >= self.count {
                return;
            }
            let heard = match (self.request)(index) {
                Err(unaskable) => Heard::Unaskable(unaskable),
                Ok(request) => match self.known.get(&(request.id.clone(), request.digest.clone())) {
                    Some(text) => Heard::Known { index, text: text.clone() },
                    None => {
                        self.ask(index, &request, &mut backoff, teller);
                        continue;
                    }
                },
            };
            teller.tell(heard);
        }
    }

    /// Calls until there is an answer, no hope of one, or no leave to call.
    fn ask(&self, index: usize, request: &Request, backoff: &mut Backoff, teller: &Teller) {
        if self.is_over() {
            return;
        }
        let worst = Budget::price(self.limits, request.worst());
        for attempt in 0..=self.settings.retries {
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
            let (entry, asked_wait) = self.call(request, attempt, worst);
            self.budget.settle(worst, entry.cost);
            let again = match &entry.outcome {
                Outcome::Failed { cause, .. } => cause.may_pass() && attempt < self.settings.retries,
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
    fn call(&self, request: &Request, attempt: u32, worst: f64) -> (Entry, Option<Duration>) {
        let begun = Instant::now();
        let result = self.endpoint.call(&request.question());
        let ms = begun.elapsed().as_millis() as u64;
        let at = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs());
        let (id, digest) = (request.id.clone(), request.digest.clone());
        match result {
            Ok(reply) => {
                let cost = reply.usage.map_or(worst, |usage| Budget::price(self.limits, usage));
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
