//! Asking one endpoint many things.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

use qponder_shared::recipe::{EndpointRecipe, SpendLimits};

use super::budget::Budget;
use super::caller::Caller;
use super::journal::{Entry, answered};
use super::ledger::{Ledger, Teller};
use super::{Calls, CallsError, Event, Limit, Request, Unaskable};
use crate::endpoint::{Endpoint, Pace};
use crate::journal::{Journal, Opened};

/// Asks one endpoint, in the course of one run. What it may spend, how fast it may ask and what it knows go on from
/// one [`Asker::ask`] to the next.
pub struct Asker {
    endpoint: Endpoint,
    settings: EndpointRecipe,
    limits: SpendLimits,
    budget: Budget,
    pace: Pace,
    seed: u64,
    journal: Option<Journal<Entry>>,
    /// Answers of earlier runs by id and digest.
    known: HashMap<(String, String), String>,
    calls: Calls,
}

/// What came of some requests.
#[derive(Debug, Default)]
pub struct Answers {
    /// The answer to each request, in order.
    pub texts: Vec<Option<String>>,
    /// Requests that could not be made.
    pub unaskable: usize,
    /// Why those requests had no answer whose calls failed; the last one's words.
    pub last_failure: Option<String>,
    /// What ended it before all answers were there.
    pub limit: Option<Limit>,
    /// What else did: a stop, an endpoint that is of no use, a disk that refuses.
    pub ended: Option<CallsError>,
}

impl Asker {
    /// An asker that keeps no journal; its key comes from the environment. `seed` decides how long it waits.
    ///
    /// # Errors
    /// When the key is not there.
    pub fn new(settings: &EndpointRecipe, limits: &SpendLimits, seed: u64) -> Result<Self, CallsError> {
        Ok(Self {
            endpoint: Endpoint::new(settings)?,
            settings: settings.clone(),
            limits: limits.clone(),
            budget: Budget::new(limits, 0, 0.0),
            pace: Pace::new(settings.requests_per_minute),
            seed,
            journal: None,
            known: HashMap::new(),
            calls: Calls::default(),
        })
    }

    /// Keeps every call in this journal, and goes on from what it holds: answers are not asked for again, and what
    /// they cost is spent. Also says whether its last line was torn and dropped.
    ///
    /// # Errors
    /// When the journal cannot be read or another run holds it.
    pub fn with_journal(self, path: &Path) -> Result<(Self, bool), CallsError> {
        let Opened { journal, entries, torn } = Journal::open(path)?;
        let mut calls = Calls::default();
        entries.iter().for_each(|entry| calls.count(entry));
        let known = answered(&entries).into_iter();
        let known = known.map(|((id, digest), text)| ((id.to_owned(), digest.to_owned()), text.to_owned()));
        let budget = Budget::new(&self.limits, calls.made, calls.cost);
        Ok((Self { journal: Some(journal), known: known.collect(), calls, budget, ..self }, torn))
    }

    /// Finds out whether the endpoint is there and takes the key, unless a journal already holds answers.
    ///
    /// # Errors
    /// When nobody answers, or the key is not taken.
    pub fn reach(&self) -> Result<(), CallsError> {
        if !self.known.is_empty() {
            return Ok(());
        }
        self.endpoint.reach().map_err(|error| CallsError::Unreachable {
            url: self.settings.base_url.clone(),
            message: error.to_string(),
        })
    }

    /// The calls so far, those of a journal's earlier runs included.
    #[must_use]
    pub fn calls(&self) -> &Calls {
        &self.calls
    }

    /// Puts `count` requests, which `request` makes by their numbers, on as many threads as the endpoint takes.
    ///
    /// When `stop` is set, running calls end and what is there is given.
    pub fn ask(
        &mut self,
        count: usize,
        request: &(dyn Fn(usize) -> Result<Request, Unaskable> + Sync),
        stop: &AtomicBool,
        progress: &mut dyn FnMut(&Event),
    ) -> Answers {
        let caller = Caller {
            settings: &self.settings,
            limits: &self.limits,
            count,
            request,
            seed: self.seed,
            endpoint: &self.endpoint,
            known: &self.known,
            budget: &self.budget,
            pace: &self.pace,
            next: &AtomicUsize::new(0),
            stop,
            halt: &AtomicBool::new(false),
        };
        let mut ledger = Ledger::new(count, &mut self.calls, self.journal.as_mut());
        std::thread::scope(|scope| {
            let (tell, heard) = mpsc::channel();
            for thread in 0..self.settings.concurrency.min(count) {
                let (caller, teller) = (&caller, Teller::new(tell.clone()));
                scope.spawn(move || caller.work(thread as u64, &teller));
            }
            drop(tell);
            for (one, kept) in heard {
                if ledger.take(one, progress) {
                    caller.halt.store(true, Ordering::Relaxed);
                }
                // Its thread waits for this.
                let _ = kept.send(());
            }
        });
        ledger.answers(stop.load(Ordering::Relaxed))
    }
}
