//! The images below a folder.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::names::{Names, extension};
use super::{ImportError, ProblemKind, bitmap};
use crate::dataset::hashes::is_plain;
use crate::dataset::inspect::inspect;

/// All files below a folder.
pub(super) struct Images {
    /// The folder, without links and dots.
    pub root: PathBuf,
    /// Paths below the folder.
    names: Names,
}

/// An image's file.
pub(super) struct Found {
    pub path: PathBuf,
    /// Below the folder of images, with slashes; [`super::write`] makes it relative to the manifest.
    pub relative: String,
    /// Whether its extension is another than the label file's.
    pub converted: bool,
    /// Whether it is a BMP, of which a PNG will be used; known from [`Found::inspected`] on.
    pub is_bitmap: bool,
    /// See [`inspect`], of the PNG where it is a BMP; empty until [`Found::inspected`].
    pub hash: String,
}

impl Images {
    /// Lists the files below `root`. Files whose path is no plain UTF-8 text are left out, since no label
    /// file and no manifest can name them.
    pub fn index(root: &Path) -> Result<Self, ImportError> {
        let root = root.canonicalize().map_err(ImportError::io("find", root))?;
        let mut files = Vec::new();
        walk(&root, &root, &mut files)?;
        Ok(Self { names: Names::new(files), root })
    }

    /// The file that a label file means (see [`Names::find`]).
    pub fn find(&self, image: &str) -> Result<Found, ProblemKind> {
        let relative = self.names.find(image)?.to_owned();
        let converted = extension(&relative) != extension(image);
        Ok(Found {
            path: self.root.join(&relative),
            relative,
            converted,
            is_bitmap: false,
            hash: String::new(),
        })
    }
}

impl Found {
    /// The same once its file was decoded.
    pub fn inspected(self) -> Result<Self, ProblemKind> {
        let is_bitmap = bitmap::is_one(&self.path).unwrap_or(false);
        let hash = match is_bitmap {
            true => bitmap::png(&self.path).map(|png| format!("{:x}", Sha256::digest(&png))),
            false => inspect(&self.path).map_err(|error| error.to_string()),
        };
        match hash {
            Ok(hash) => Ok(Self { hash, is_bitmap, ..self }),
            Err(reason) => Err(ProblemKind::Unreadable { file: self.relative, reason }),
        }
    }
}

/// Adds the files below `dir` as paths below `root`, with slashes.
fn walk(root: &Path, dir: &Path, files: &mut Vec<String>) -> Result<(), ImportError> {
    for entry in fs::read_dir(dir).map_err(ImportError::io("list", dir))? {
        let path = entry.map_err(ImportError::io("list", dir))?.path();
        // A link to a folder could lead in circles; a link to a file is a file.
        if path.is_dir() && !path.is_symlink() {
            walk(root, &path, files)?;
        } else if let Some(relative) = path.strip_prefix(root).ok().and_then(Path::to_str)
            && is_plain(relative)
        {
            files.push(relative.to_owned());
        }
    }
    Ok(())
}
