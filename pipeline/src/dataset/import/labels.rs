//! The label file, or PIPAL's folder of them, as text.

use std::fs;
use std::path::{Path, PathBuf};

use qponder_shared::dataset::{Format, Labels};

use super::ImportError;

/// First bytes of the binary files in which labels are published.
const BINARY: [(&[u8], &str); 4] = [
    (b"PK\x03\x04", "a spreadsheet (.xlsx) or an archive"),
    (b"\xd0\xcf\x11\xe0", "a spreadsheet (.xls)"),
    (b"MATLAB 5.0", "a MATLAB file (.mat)"),
    (b"\x89HDF", "a MATLAB file (.mat) of version 7.3"),
];

/// Reads and parses labels.
///
/// # Errors
/// When they cannot be read, are binary, or are not of the format.
pub(super) fn read(format: Format, path: &Path) -> Result<Labels, ImportError> {
    if !path.is_dir() {
        return file(format, path);
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
    let text = text(format, path)?;
    format.parse(&text).map_err(|source| ImportError::Parse { path: path.to_owned(), source })
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
    if let Some((_, found)) = BINARY.iter().find(|(signature, _)| bytes.starts_with(signature)) {
        let conversion = format.conversion();
        return Err(ImportError::Binary { path: path.to_owned(), found, conversion });
    }
    String::from_utf8(bytes).map_err(|_| ImportError::Encoding { path: path.to_owned() })
}
