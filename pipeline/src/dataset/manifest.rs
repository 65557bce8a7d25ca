//! A manifest on disk.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use qponder_shared::manifest::Row;

/// Why a manifest could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    #[error("cannot read {path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{path} line {line} is no row of a manifest: {reason}")]
    Row { path: PathBuf, line: usize, reason: String },
}

/// A manifest's rows and where they lie.
#[derive(Clone, Debug)]
pub struct Manifest {
    pub path: PathBuf,
    /// In the file's order.
    pub rows: Vec<Row>,
}

impl Manifest {
    /// Reads a manifest; blank lines are allowed.
    ///
    /// # Errors
    /// Names the line that is no row.
    pub fn read(path: &Path) -> Result<Self, ManifestError> {
        let text =
            fs::read_to_string(path).map_err(|source| ManifestError::Io { path: path.to_owned(), source })?;
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let rows = lines.map(|(index, line)| {
            serde_json::from_str(line).map_err(|error| ManifestError::Row {
                path: path.to_owned(),
                line: index + 1,
                reason: error.to_string(),
            })
        });
        Ok(Self { path: path.to_owned(), rows: rows.collect::<Result<_, _>>()? })
    }

    /// Reads several.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_all(paths: &[PathBuf]) -> Result<Vec<Self>, ManifestError> {
        paths.iter().map(|path| Self::read(path)).collect()
    }

    /// The folder that the rows' images are relative to.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }
}
