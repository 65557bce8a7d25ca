//! What administrators see of a running server: storage and health.

use serde::{Deserialize, Serialize};

/// Where the bytes are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Storage {
    /// The file system of the data directory.
    pub disk: Disk,
    /// All of the database, in bytes.
    pub database_bytes: u64,
    /// Its tables with their indexes, the largest first.
    pub tables: Vec<TableSize>,
    /// The last count of the files, or the one under way.
    pub files: Option<FileCount>,
}

/// A file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Disk {
    /// Bytes that there are.
    pub total: u64,
    /// Bytes that are left.
    pub free: u64,
}

/// One table with its indexes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TableSize {
    pub name: String,
    pub bytes: u64,
    /// Rows, about: Postgres' own estimate, once it has one.
    pub rows: Option<u64>,
}

/// The files of the object store, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FileCount {
    pub started_at: String,
    /// None while it is under way.
    pub finished_at: Option<String>,
    /// Why it ended early.
    pub error: Option<String>,
    /// By what they are: originals, thumbnails, renderings, exports.
    pub kinds: Vec<KindCount>,
    /// Files that no row names: left by a crash, or lost by a restored database.
    pub orphans: KindCount,
}

/// How many files of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct KindCount {
    pub kind: String,
    pub files: u64,
    pub bytes: u64,
}

/// How well something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    Ok,
    /// It works, and somebody should look at it.
    Attention,
    /// It does not work.
    Broken,
}

impl Condition {
    /// What the page calls it.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Condition::Ok => "OK",
            Condition::Attention => "Attention",
            Condition::Broken => "Broken",
        }
    }
}

/// One part of the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Check {
    pub name: String,
    pub condition: Condition,
    /// What was found, with numbers.
    pub detail: String,
    /// What to do; nothing where all is well.
    pub advice: Option<String>,
}

/// How the server is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Health {
    pub version: String,
    pub started_at: String,
    /// Seconds since then.
    pub uptime: u64,
    pub checks: Vec<Check>,
}

impl Health {
    /// The worst of all parts.
    #[must_use]
    pub fn condition(&self) -> Condition {
        self.checks.iter().map(|check| check.condition).max().unwrap_or(Condition::Ok)
    }
}
