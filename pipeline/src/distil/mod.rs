//! Distillation: a teacher behind an endpoint is asked about labelled images, and of its answers those that
//! pass stated checks become a manifest that the cold start learns from.
//!
//! ```text
//! manifests ─▶ plan ─▶ run: calls ─▶ journal (replies.jsonl) ─▶ filter ─▶ manifest.jsonl, report.json
//! ```
//!
//! Every reply is kept as it came in the journal, and everything after it is a function of the journal and
//! the recipe: another filter needs no further call, and an interrupted run repeats none that was answered.

mod duplicate;
mod filter;
mod leak;
mod output;
mod plan;
mod report;
mod run;
mod wording;

use std::path::{Path, PathBuf};

use serde::Serialize;

pub use filter::{Candidate, Reason, filter};
pub use plan::{Estimate, estimate};
pub use report::Report;
pub use run::distil;

use crate::calls::{CallsError, Event};
use crate::train::TrainError;

/// Why a distillation ended early or never began. What was answered is in the journal in any case.
#[derive(Debug, thiserror::Error)]
pub enum DistilError {
    #[error(transparent)]
    Calls(#[from] CallsError),
    #[error(transparent)]
    Manifest(#[from] TrainError),
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error("the manifests have two different images with the id {id}; give each row an id of its own")]
    AmbiguousId { id: String },
    #[error("the image {id} has the label {label}, which is outside 1 to 5; map labels to that scale first")]
    Label { id: String, label: f64 },
}

/// What a distillation tells as it goes.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Progress {
    /// The calls begin. `repeated` rows stand more than once in the manifests and are asked about once;
    /// `torn` says that an earlier run was cut off while it wrote a reply.
    Started { images: usize, wanted: usize, repeated: usize, torn: bool },
    /// The answers were filtered, and manifest and report are safe on disk.
    Filtered { answered: usize, accepted: usize },
    /// Something came of a call.
    #[serde(untagged)]
    Call(Event),
}

/// The journal in a distillation's directory.
fn journal(out: &Path) -> PathBuf {
    out.join("replies.jsonl")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_of_a_call_is_told_like_everything_else() {
        let told = |progress: Progress| serde_json::to_string(&progress).expect("serialises");
        let known = Progress::Call(Event::Known { answered: 3 });
        assert_eq!(told(known), "{\"event\":\"known\",\"answered\":3}");
        let filtered = Progress::Filtered { answered: 3, accepted: 1 };
        assert_eq!(told(filtered), "{\"event\":\"filtered\",\"answered\":3,\"accepted\":1}");
    }
}
