//! The journal of calls: every one that was made and what came of it.

use std::collections::HashMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::CallsError;
use crate::endpoint::{Cause, Usage};
use crate::journal;

/// One call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// What is asked about and the prompt's version, such as `a-jpeg-3/0@distil-blind-1`.
    pub id: String,
    /// SHA-256 of everything that was asked: model, words, sampling and the image's bytes. Another
    /// question under the same id is another request.
    pub digest: String,
    /// Calls for this request before this one, in its sitting.
    pub attempt: u32,
    /// When the call ended, in seconds since 1970.
    pub at: u64,
    /// How long it took, in milliseconds.
    pub ms: u64,
    /// Status of the answer, where one came.
    pub status: Option<u16>,
    #[serde(flatten)]
    pub outcome: Outcome,
    /// As the endpoint counts; `None` where it does not.
    pub usage: Option<Usage>,
    /// What it cost, or may have cost where that is not known.
    pub cost: f64,
    /// What the endpoint sent, as far as it came.
    pub body: String,
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    Answered { text: String, finish: String },
    Failed { cause: Cause, message: String },
}

/// The calls of a journal without claiming it; none where there is no journal.
///
/// # Errors
/// When it cannot be read.
pub fn peek(path: &Path) -> Result<Vec<Entry>, CallsError> {
    Ok(journal::peek(path)?)
}

/// The answers of a journal by id and digest.
#[must_use]
pub fn answered(entries: &[Entry]) -> HashMap<(&str, &str), &str> {
    let answers = entries.iter().filter_map(|entry| match &entry.outcome {
        Outcome::Answered { text, .. } => Some(((entry.id.as_str(), entry.digest.as_str()), text.as_str())),
        Outcome::Failed { .. } => None,
    });
    answers.collect()
}
