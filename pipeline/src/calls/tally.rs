//! How many calls were made, and what they took.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Entry, Outcome};

/// The calls of all sittings.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Calls {
    /// Calls that were made, repeated ones included.
    pub made: u64,
    /// Calls that failed, by cause; most of them were made again.
    pub failed: BTreeMap<&'static str, u64>,
    /// Requests of this sitting that ended without an answer, after all retries.
    pub unanswered: u64,
    /// Tokens that were read, where the endpoint counts.
    pub prompt_tokens: u64,
    /// Tokens that were written, where the endpoint counts.
    pub completion_tokens: u64,
    /// Cost at the prices that were given. Calls that may have cost something although nobody knows how much, such
    /// as timeouts, are counted at their worst.
    pub cost: f64,
}

impl Calls {
    /// Adds a call.
    pub(super) fn count(&mut self, entry: &Entry) {
        self.made += 1;
        self.cost += entry.cost;
        if let Outcome::Failed { cause, .. } = &entry.outcome {
            *self.failed.entry(cause.name()).or_default() += 1;
        }
        if let Some(usage) = entry.usage {
            self.prompt_tokens += usage.prompt_tokens;
            self.completion_tokens += usage.completion_tokens;
        }
    }
}
