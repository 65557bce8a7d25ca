//! Rows with a teacher's answer as conversations in a file.

use std::io;
use std::path::{Path, PathBuf};

use qponder_shared::dataset::{Conversation, ConversationFormat};
use qponder_shared::manifest::{Row, Split};

use super::Progress;
use super::manifest::{Manifest, ManifestError};
use crate::files::are_same;

/// Why nothing was exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error("{id}: cannot find {path}: {source}")]
    Image { id: String, path: PathBuf, source: io::Error },
    #[error("{id}: the path {path} is no UTF-8, which JSON needs: rename it")]
    Path { id: String, path: PathBuf },
    #[error(
        "none of the {rows} rows of the split {split} has an answer: `qponder distil` asks a teacher for them"
    )]
    NoAnswers { rows: usize, split: &'static str },
    #[error("{path} is one of the manifests, which would be lost: write to another file")]
    Itself { path: PathBuf },
    #[error("cannot write {path}: {source}")]
    Write { path: PathBuf, source: io::Error },
}

/// What was exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exported {
    pub conversations: usize,
    /// Rows of the split without an answer; they are not in the file.
    pub without_answer: usize,
    /// Rows of other splits; they are not in the file.
    pub other_splits: usize,
}

/// Writes the rows of `split` that have an answer to `out`, with absolute image paths, which both trainers
/// take wherever the file lies.
///
/// # Errors
/// When a manifest or an image is not there, no row has an answer, or the file cannot be written.
pub fn export(
    manifests: &[PathBuf],
    format: ConversationFormat,
    split: Split,
    out: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<Exported, ExportError> {
    if manifests.iter().any(|manifest| are_same(manifest, out)) {
        return Err(ExportError::Itself { path: out.to_owned() });
    }
    let (mut conversations, mut without_answer, mut other_splits) = (Vec::new(), 0, 0);
    let manifests = Manifest::read_all(manifests)?;
    let (mut done, total) = (0, manifests.iter().map(|manifest| manifest.rows.len()).sum());
    for manifest in manifests {
        for row in &manifest.rows {
            match &row.answer {
                _ if row.split != split => other_splits += 1,
                None => without_answer += 1,
                Some(answer) => {
                    conversations.push(Conversation::new(absolute(manifest.dir(), row)?, answer.clone()));
                }
            }
            done += 1;
            progress(Progress { done, total });
        }
    }
    if conversations.is_empty() {
        return Err(ExportError::NoAnswers { rows: without_answer, split: split.name() });
    }
    let written = format.write(&conversations).map_err(io::Error::other);
    written
        .and_then(|text| super::write_whole(out, &text))
        .map_err(|source| ExportError::Write { path: out.to_owned(), source })?;
    Ok(Exported { conversations: conversations.len(), without_answer, other_splits })
}

fn absolute(dir: &Path, row: &Row) -> Result<String, ExportError> {
    let path = dir.join(&row.image);
    let found =
        path.canonicalize().map_err(|source| ExportError::Image { id: row.id.clone(), path, source })?;
    found
        .into_os_string()
        .into_string()
        .map_err(|path| ExportError::Path { id: row.id.clone(), path: path.into() })
}
