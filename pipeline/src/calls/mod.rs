//! Many calls to one endpoint: so many at once, no faster and no dearer than is allowed, made again where that may
//! help, and each kept in a journal before the next is made.
//!
//! An [`Asker`] turns [`Request`]s into answers. What is asked, and what becomes of the answers, is the business of
//! [`crate::distil`] and [`crate::judge`].

mod asker;
mod budget;
mod caller;
mod journal;
mod ledger;
mod request;
mod tally;

use serde::Serialize;

pub use asker::{Answers, Asker};
pub(crate) use budget::Budget;
pub use budget::Limit;
pub use journal::{Entry, Outcome, answered, peek};
pub use request::{Request, Unaskable};
pub use tally::Calls;

use crate::endpoint::{Cause, EndpointError};
use crate::journal::JournalError;

/// Why calls ended early or never began. What was answered before is in the journal, where there is one.
#[derive(Debug, thiserror::Error)]
pub enum CallsError {
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(
        "{url} cannot be asked: {message}; nothing was done yet, see that it runs, its address and its key"
    )]
    Unreachable { url: String, message: String },
    #[error("stopped after {answered} of {wanted} answers; the same command goes on from there")]
    Stopped { answered: usize, wanted: usize },
    #[error("the endpoint does not take our calls: {message}; {answered} of {wanted} answers are there")]
    Unusable { message: String, answered: usize, wanted: usize },
    #[error(
        "{failures} requests in a row had no answer, the last because: {message}; {answered} of {wanted} \
         answers are there, the same command goes on"
    )]
    GaveUp { failures: usize, message: String, answered: usize, wanted: usize },
}

/// What an [`Asker`] tells as it goes.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The journal of an earlier run has the answer.
    Known { answered: usize },
    /// An answer came and is safe on disk.
    Answered { id: String, answered: usize, prompt_tokens: u64, completion_tokens: u64, cost: f64 },
    /// A call failed and is made again after a wait.
    Retrying { id: String, cause: Cause, message: String, wait_ms: u64 },
    /// A request ended without an answer; the next run makes it again.
    Failed { id: String, cause: Cause, message: String },
    /// There is nothing to ask about: an image cannot be read.
    Skipped { id: String, reason: String },
    /// Nothing more may be spent.
    LimitReached { limit: Limit },
}
