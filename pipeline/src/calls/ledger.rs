//! What threads tell of their calls, and what is kept of it.

use std::sync::mpsc;
use std::time::Duration;

use super::journal::{Entry, Outcome};
use super::{Answers, Calls, CallsError, Event, Limit, Unaskable};
use crate::endpoint::{Cause, Usage};
use crate::journal::Journal;

/// After so many requests in a row without an answer, each with all its retries, the endpoint is taken to be
/// down.
const GIVE_UP_AFTER: usize = 10;

/// Where a thread tells what it hears. It goes on when that is kept, so that no call is made before the last
/// one is on the disk, or after it showed that there is no use.
pub(super) struct Teller {
    heard: mpsc::Sender<(Heard, mpsc::SyncSender<()>)>,
    keep: mpsc::SyncSender<()>,
    kept: mpsc::Receiver<()>,
}

impl Teller {
    pub(super) fn new(heard: mpsc::Sender<(Heard, mpsc::SyncSender<()>)>) -> Self {
        let (keep, kept) = mpsc::sync_channel(1);
        Self { heard, keep, kept }
    }

    pub(super) fn tell(&self, heard: Heard) {
        // The other side listens as long as a thread runs.
        if self.heard.send((heard, self.keep.clone())).is_ok() {
            let _ = self.kept.recv();
        }
    }
}

/// What a thread has to tell.
pub(super) enum Heard {
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
    Unaskable(Unaskable),
    Spent(Limit),
}

/// What is known so far.
pub(super) struct Ledger<'a> {
    /// The answer to each request.
    answers: Vec<Option<String>>,
    calls: &'a mut Calls,
    journal: Option<&'a mut Journal<Entry>>,
    answered: usize,
    /// Requests in a row that ended without an answer.
    failures: usize,
    /// Requests that could not be made.
    unaskable: usize,
    last_failure: Option<String>,
    limit: Option<Limit>,
    /// Why there is no use in going on.
    ended: Option<CallsError>,
}

impl<'a> Ledger<'a> {
    pub(super) fn new(wanted: usize, calls: &'a mut Calls, journal: Option<&'a mut Journal<Entry>>) -> Self {
        let answers = vec![None; wanted];
        Self {
            answers,
            calls,
            journal,
            answered: 0,
            failures: 0,
            unaskable: 0,
            last_failure: None,
            limit: None,
            ended: None,
        }
    }

    /// Keeps what a thread tells, and says whether there is no use in going on.
    pub(super) fn take(&mut self, heard: Heard, progress: &mut dyn FnMut(&Event)) -> bool {
        if let Err(error) = self.enter(heard, progress) {
            self.ended.get_or_insert(error);
        }
        self.ended.is_some()
    }

    /// What came of it all.
    pub(super) fn answers(self, is_stopped: bool) -> Answers {
        let (answered, wanted) = (self.answered, self.answers.len());
        let stopped =
            || (is_stopped && answered < wanted).then_some(CallsError::Stopped { answered, wanted });
        Answers {
            ended: self.ended.or_else(stopped),
            texts: self.answers,
            unaskable: self.unaskable,
            last_failure: self.last_failure,
            limit: self.limit,
        }
    }

    fn enter(&mut self, heard: Heard, progress: &mut dyn FnMut(&Event)) -> Result<(), CallsError> {
        match heard {
            Heard::Known { index, text } => {
                self.keep(index, text);
                progress(&Event::Known { answered: self.answered });
            }
            Heard::Unaskable(Unaskable { id, reason }) => {
                self.unaskable += 1;
                progress(&Event::Skipped { id, reason });
            }
            Heard::Spent(limit) => {
                if self.limit.replace(limit).is_none() {
                    progress(&Event::LimitReached { limit });
                }
            }
            Heard::Called { index, entry, wait } => {
                if let Some(journal) = &mut self.journal {
                    journal.append([&*entry])?;
                }
                self.calls.count(&entry);
                let Entry { id, outcome, usage, cost, .. } = *entry;
                match (outcome, wait) {
                    (Outcome::Answered { text, .. }, _) => {
                        self.failures = 0;
                        self.keep(index, text);
                        let Usage { prompt_tokens, completion_tokens } = usage.unwrap_or_default();
                        let answered = self.answered;
                        progress(&Event::Answered { id, answered, prompt_tokens, completion_tokens, cost });
                    }
                    (Outcome::Failed { cause, message }, Some(wait)) => {
                        let wait_ms = wait.as_millis() as u64;
                        progress(&Event::Retrying { id, cause, message, wait_ms });
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
        progress: &mut dyn FnMut(&Event),
    ) -> Result<(), CallsError> {
        self.failures += 1;
        self.calls.unanswered += 1;
        self.last_failure = Some(message.clone());
        progress(&Event::Failed { id, cause, message: message.clone() });
        let (answered, wanted, failures) = (self.answered, self.answers.len(), self.failures);
        if cause.concerns_all() {
            return Err(CallsError::Unusable { message, answered, wanted });
        }
        if failures >= GIVE_UP_AFTER {
            return Err(CallsError::GaveUp { failures, message, answered, wanted });
        }
        Ok(())
    }
}
