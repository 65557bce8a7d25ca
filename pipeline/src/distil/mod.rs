//! Distillation: a teacher behind an endpoint is asked about labelled images, and of its answers those that
//! pass stated checks become a manifest that the cold start learns from.
//!
//! ```text
//! manifests ─▶ plan ─▶ run: calls ─▶ journal (replies.jsonl) ─▶ filter ─▶ manifest.jsonl, report.json
//! ```
//!
//! Every reply is kept as it came in the journal, and everything after it is a function of the journal and
//! the recipe: another filter needs no further call, and an interrupted run repeats none that was answered.

mod budget;
mod duplicate;
mod filter;
mod journal;
mod leak;
mod output;
mod plan;
mod report;
mod run;
mod wording;

use std::path::PathBuf;

use serde::Serialize;

pub use budget::Limit;
pub use filter::{Candidate, Reason, judge};
pub use journal::{Entry, Outcome};
pub use plan::{Estimate, estimate};
pub use report::{Calls, Report};
pub use run::distil;

use crate::endpoint::{Cause, EndpointError};
use crate::train::TrainError;

/// Why a distillation ended early or never began. What was answered is in the journal in any case.
#[derive(Debug, thiserror::Error)]
pub enum DistilError {
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    #[error(transparent)]
    Manifest(#[from] TrainError),
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{path} line {line} is no reply ({reason}); move the file away to begin anew")]
    Journal { path: PathBuf, line: usize, reason: String },
    #[error("{path} is in use by another distillation; wait for it, or choose another `out`")]
    InUse { path: PathBuf },
    #[error("the manifests have two different images with the id {id}; give each row an id of its own")]
    AmbiguousId { id: String },
    #[error("the image {id} has the label {label}, which is outside 1 to 5; map labels to that scale first")]
    Label { id: String, label: f64 },
    #[error("stopped after {answered} of {wanted} answers; the same command goes on from there")]
    Stopped { answered: usize, wanted: usize },
    #[error("the endpoint does not take our calls: {message}; {answered} of {wanted} answers are kept")]
    Unusable { message: String, answered: usize, wanted: usize },
    #[error(
        "{failures} requests in a row had no answer, the last because: {message}; {answered} of {wanted} \
         answers are kept, the same command goes on from there"
    )]
    GaveUp { failures: usize, message: String, answered: usize, wanted: usize },
}

/// What a distillation tells as it goes.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Progress {
    /// The calls begin. `repeated` rows stand more than once in the manifests and are asked about once;
    /// `torn` says that an earlier run was cut off while it wrote a reply.
    Started { images: usize, wanted: usize, repeated: usize, torn: bool },
    /// The journal of an earlier run has the answer.
    Known { answered: usize },
    /// An answer came and is safe on disk.
    Answered { id: String, answered: usize, prompt_tokens: u64, completion_tokens: u64, cost: f64 },
    /// A call failed and is made again after a wait.
    Retrying { id: String, cause: Cause, message: String, wait_ms: u64 },
    /// A request ended without an answer; the next run makes it again.
    Failed { id: String, cause: Cause, message: String },
    /// An image cannot be read, so nothing was asked.
    Skipped { id: String, reason: String },
    /// Nothing more may be spent.
    LimitReached { limit: Limit },
    /// The answers were filtered, and manifest and report are safe on disk.
    Filtered { answered: usize, accepted: usize },
}
