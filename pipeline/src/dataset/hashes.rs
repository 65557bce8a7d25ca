//! `hashes.sha256` beside a manifest: the SHA-256 of every image, as `sha256sum` writes it, so that
//! `sha256sum --check hashes.sha256` in that folder checks them too.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The file's name.
pub const FILE: &str = "hashes.sha256";

/// Why hashes could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum HashesError {
    #[error("cannot {action} {path}: {source}")]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("{path} line {line} is no SHA-256 with two spaces and a path")]
    Line { path: PathBuf, line: usize },
    #[error("`{image}` has a character that a list of hashes has no place for: rename the file")]
    Name { image: String },
}

/// Lower-case hexadecimal SHA-256 by image path, relative to the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hashes(pub BTreeMap<String, String>);

impl Hashes {
    /// Reads the hashes in `dir`; `None` where there are none.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn read(dir: &Path) -> Result<Option<Self>, HashesError> {
        let path = dir.join(FILE);
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(HashesError::Io { action: "read", path, source }),
            Ok(text) => text,
        };
        let mut hashes = BTreeMap::new();
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
            let (hash, image) =
                parts(line).ok_or_else(|| HashesError::Line { path: path.clone(), line: index + 1 })?;
            hashes.insert(image.to_owned(), hash.to_ascii_lowercase());
        }
        Ok(Some(Self(hashes)))
    }

    /// Writes the hashes to `dir`.
    ///
    /// # Errors
    /// When a path holds a character that the layout would have to escape, or the file cannot be written.
    pub fn write(&self, dir: &Path) -> Result<(), HashesError> {
        let mut text = String::new();
        for (image, hash) in &self.0 {
            if !is_plain(image) {
                return Err(HashesError::Name { image: image.escape_default().to_string() });
            }
            text += &format!("{hash}  {image}\n");
        }
        let path = dir.join(FILE);
        super::write_whole(&path, &text).map_err(|source| HashesError::Io { action: "write", path, source })
    }
}

/// Whether a path can stand in the file as it is.
pub(super) fn is_plain(image: &str) -> bool {
    !image.contains(|letter: char| letter.is_control() || letter == '\\')
}

/// The hash and the path of a line; an asterisk before the path marks binary mode, which is the same.
fn parts(line: &str) -> Option<(&str, &str)> {
    let (hash, image) = line.split_once(' ')?;
    let image = image.strip_prefix([' ', '*'])?;
    let hexadecimal = hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    (hexadecimal && !image.is_empty()).then_some((hash, image))
}
