//! Imports and exports: work in the background that brings data in or out, with its progress.

mod export;
mod import;
mod votes;

pub use export::{AnswerFilter, CreateExport, ExportFormat, ExportSource, RowFilter, SourceKind, VoteFilter};
pub use import::{CreateImport, ImportContent, MAX_PROBLEMS, Problem, Report};
pub use votes::{MAX_PERSON, VOTE_COLUMNS, VoteLine, VoteLineError, parse_votes};

use serde::{Deserialize, Serialize};

use crate::TransferId;

/// Which way data goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    Import,
    Export,
}

impl Direction {
    /// The name in JSON and in the database.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Direction::Import => "import",
            Direction::Export => "export",
        }
    }

    /// The direction of a name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        [Direction::Import, Direction::Export].into_iter().find(|direction| direction.name() == name)
    }
}

/// How far a transfer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum TransferState {
    Queued,
    Running,
    Done,
    Failed,
    Cancelled,
}

impl TransferState {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Queued, Self::Running, Self::Done, Self::Failed, Self::Cancelled];

    /// The name in JSON, in the database and on the page.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state of a name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Whether nothing will change any more.
    #[must_use]
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }
}

/// An import or an export.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Transfer {
    pub id: TransferId,
    pub direction: Direction,
    pub state: TransferState,
    /// What was asked for, so that it can be asked for again: the body of the request.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub query: serde_json::Value,
    /// In words, such as `votes of Portraits as CSV`.
    pub title: String,
    /// Lines or files that are done.
    pub done: u64,
    /// Lines or files that there are; 0 as long as that is not known.
    pub total: u64,
    /// Name of the file that came or that was made.
    pub file_name: String,
    /// Its size in bytes.
    pub bytes: Option<u64>,
    /// SHA-256 of the file, lower-case hex.
    pub sha256: Option<String>,
    /// Whether the file that was made can be downloaded.
    pub available: bool,
    /// What an import brought, and which lines have problems.
    pub report: Option<Report>,
    /// Why it failed, and what to do.
    pub error: Option<String>,
    pub created_by: String,
    pub created_at: String,
    pub finished_at: Option<String>,
}

impl Transfer {
    /// The share that is done, 0 to 1; `None` as long as it is not known.
    #[must_use]
    pub fn share(&self) -> Option<f64> {
        match self.state {
            TransferState::Done => Some(1.0),
            _ if self.total == 0 => None,
            _ => Some((self.done as f64 / self.total as f64).min(1.0)),
        }
    }
}
