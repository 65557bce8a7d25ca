//! The label file, or PIPAL's or LIVE's folder of them, as text.

use std::fs;
use std::path::{Path, PathBuf};

use qponder_shared::dataset::{Format, Labels};

use super::{ImportError, live_w, mat, spreadsheet};

/// Reads and parses labels.
///
/// # Errors
/// When they cannot be read or are not of the format.
pub(super) fn read(format: Format, path: &Path) -> Result<Labels, ImportError> {
    if !path.is_dir() {
        return file(format, path);
    }
    if format == Format::LiveW {
        return parsed(format, path, &live_w::text(path)?);
    }
    let files = text_files(path)?;
    let (first, others) =
        files.split_first().ok_or_else(|| ImportError::NoLabels { path: path.to_owned() })?;
    let mut labels = file(format, first)?;
    for other in others {
        labels.entries.extend(file(format, other)?.entries);
    }
    Ok(labels)
}

fn file(format: Format, path: &Path) -> Result<Labels, ImportError> {
    parsed(format, path, &text(format, path)?)
}

fn parsed(format: Format, path: &Path, text: &str) -> Result<Labels, ImportError> {
    format.parse(text).map_err(|source| ImportError::Parse { path: path.to_owned(), source })
}

/// The text files of a folder by name.
fn text_files(dir: &Path) -> Result<Vec<PathBuf>, ImportError> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).map_err(ImportError::io("list", dir))? {
        let path = entry.map_err(ImportError::io("list", dir))?.path();
        if path.extension().is_some_and(|extension| extension == "txt") && path.is_file() {
            files.push(path);
        }
    }
    files.sort_unstable();
    Ok(files)
}

fn text(format: Format, path: &Path) -> Result<String, ImportError> {
    let bytes = fs::read(path).map_err(ImportError::io("read", path))?;
    if spreadsheet::is_one(&bytes) {
        let path = path.to_owned();
        return spreadsheet::text(format, bytes).map_err(|reason| ImportError::Spreadsheet { path, reason });
    }
    if mat::is_one(&bytes) {
        let dir = path.parent().unwrap_or(Path::new("."));
        if format == Format::LiveW && live_w::is_folder(dir) {
            return live_w::text(dir);
        }
        let reason = "of these only LIVE in the Wild's are read, AllImages_release.mat, AllMOS_release.mat and \
                      AllStdDev_release.mat together; make a CSV image,mos,std of others";
        return Err(ImportError::Matlab { path: path.to_owned(), reason: reason.to_owned() });
    }
    String::from_utf8(bytes).map_err(|_| ImportError::Encoding { path: path.to_owned() })
}
