//! Which photographs a directory holds.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use qponder_kernels::pixels::{Limits, RgbImage, decode};
use qponder_shared::manifest::Split;

use super::DatasetError;
use super::sample::{LARGEST, hash};
use crate::photographs::{self, Photograph};

/// A pristine photograph on disk.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// The file's name without its extension.
    pub id: String,
    pub path: PathBuf,
    /// From the catalogue; a photograph that is not in it gets one by its id: 80 % train, 10 % each
    /// validation and test.
    pub split: Split,
    /// The Debian package, or the name of the directory.
    pub source: String,
    /// The most that a copy keeps of the photograph's sides.
    pub largest: f64,
}

impl Source {
    /// Decodes the photograph.
    ///
    /// # Errors
    /// When the file cannot be read or decoded.
    pub fn image(&self) -> Result<RgbImage, DatasetError> {
        let bytes = fs::read(&self.path).map_err(DatasetError::io("read", &self.path))?;
        let decoded = decode(&bytes, &Limits::default());
        decoded
            .map(|decoded| decoded.image)
            .map_err(|source| DatasetError::Decode { path: self.path.clone(), source })
    }
}

/// The PNG, JPEG and WebP files of a directory, by extension, sorted by id.
///
/// # Errors
/// When the directory cannot be read, holds none, or two files have one id.
pub fn sources(dir: &Path) -> Result<Vec<Source>, DatasetError> {
    let known: HashMap<&str, &Photograph> =
        photographs::catalogue().iter().map(|photograph| (photograph.id.as_str(), photograph)).collect();
    let directory = dir.canonicalize().ok();
    let name =
        directory.as_deref().and_then(Path::file_name).map_or("local".into(), |name| name.to_string_lossy());
    let mut sources: Vec<Source> = Vec::new();
    for entry in fs::read_dir(dir).map_err(DatasetError::io("list", dir))? {
        let path = entry.map_err(DatasetError::io("list", dir))?.path();
        let (Some(id), true) = (path.file_stem().and_then(|stem| stem.to_str()), is_image(&path)) else {
            continue;
        };
        let (split, source, largest) = match known.get(id) {
            Some(photograph) => (photograph.split, photograph.package.clone(), photograph.largest),
            None => (split_of(id), name.to_string(), None),
        };
        sources.push(Source { id: id.to_owned(), split, source, path, largest: largest.unwrap_or(LARGEST) });
    }
    sources.sort_by(|a, b| (&a.id, &a.path).cmp(&(&b.id, &b.path)));
    if let Some([first, second]) = sources.array_windows().find(|[first, second]| first.id == second.id) {
        let (first, second, id) = (first.path.clone(), second.path.clone(), first.id.clone());
        return Err(DatasetError::SameId { id, first, second });
    }
    if sources.is_empty() {
        return Err(DatasetError::Empty { dir: dir.to_owned(), note: "" });
    }
    Ok(sources)
}

fn is_image(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or("");
    ["png", "jpg", "jpeg", "webp"].iter().any(|known| extension.eq_ignore_ascii_case(known)) && path.is_file()
}

fn split_of(id: &str) -> Split {
    match hash(id) % 10 {
        0 => Split::Val,
        1 => Split::Test,
        _ => Split::Train,
    }
}
