//! What is wrong with single images.

use std::fmt;

use serde::Serialize;

/// An image that has no row; one line of `problems.jsonl`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// As the label file names it.
    pub image: String,
    /// Where it stands there, such as `line 5`.
    pub at: String,
    #[serde(flatten)]
    pub kind: ProblemKind,
}

/// Why it has none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "problem", rename_all = "lowercase")]
pub enum ProblemKind {
    /// No file has its name.
    Missing,
    /// Several files have its name and nothing tells which is meant.
    Ambiguous { files: Vec<String> },
    /// The file is there and does not decode, or its path cannot be written down.
    Unreadable { file: String, reason: String },
}

impl ProblemKind {
    /// The word in the file and in summaries.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Ambiguous { .. } => "ambiguous",
            Self::Unreadable { .. } => "unreadable",
        }
    }
}

impl fmt::Display for ProblemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("no file has this name"),
            Self::Ambiguous { files } => {
                write!(f, "{} files have this name: {}", files.len(), files.join(", "))
            }
            Self::Unreadable { reason, .. } => f.write_str(reason),
        }
    }
}
