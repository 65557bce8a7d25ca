//! Finding the images that a label file names.
//!
//! Label files name images with folders or without, in another case (CSIQ), or with the extension that
//! they had before they were converted (PIPAL's and LIVE's are BMP, which is not decoded). So images are
//! looked up by name below the folder, at any depth.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::{ImportError, ProblemKind};
use crate::dataset::hashes::is_plain;
use crate::dataset::inspect::inspect;

/// Extensions of files that are decoded.
const DECODED: [&str; 4] = ["png", "jpg", "jpeg", "webp"];

/// All files below a folder.
pub(super) struct Images {
    /// The folder, without links and dots.
    pub root: PathBuf,
    /// Paths below the folder, by file name without extension in lower case.
    stems: HashMap<String, Vec<String>>,
}

/// An image's file.
pub(super) struct Found {
    pub path: PathBuf,
    /// Below the folder of images, with slashes; [`super::write`] makes it relative to the manifest.
    pub relative: String,
    /// Whether its extension is another than the label file's.
    pub converted: bool,
    /// See [`inspect`]; empty until [`Found::inspected`].
    pub hash: String,
}

impl Images {
    /// Lists the files below `root`. Files whose path is no plain UTF-8 text are left out, since no label
    /// file and no manifest can name them.
    pub fn index(root: &Path) -> Result<Self, ImportError> {
        let root = root.canonicalize().map_err(ImportError::io("find", root))?;
        let mut images = Self { stems: HashMap::new(), root: root.clone() };
        images.walk(&root)?;
        for files in images.stems.values_mut() {
            files.sort_unstable();
        }
        Ok(images)
    }

    fn walk(&mut self, dir: &Path) -> Result<(), ImportError> {
        for entry in fs::read_dir(dir).map_err(ImportError::io("list", dir))? {
            let path = entry.map_err(ImportError::io("list", dir))?.path();
            // A link to a folder could lead in circles; a link to a file is a file.
            if path.is_dir() && !path.is_symlink() {
                self.walk(&path)?;
            } else if let Some(relative) = path.strip_prefix(&self.root).ok().and_then(Path::to_str)
                && is_plain(relative)
            {
                let relative = relative.to_owned();
                self.stems.entry(stem(&relative)).or_default().push(relative);
            }
        }
        Ok(())
    }

    /// The file that a label file means: one of the same name that can be decoded, or else a converted
    /// one, or else one of the same name whatever it is. Where folders have files of the same name, the
    /// folders in the label file decide.
    pub fn find(&self, image: &str) -> Result<Found, ProblemKind> {
        let image = image.replace('\\', "/");
        let same_stem = self.stems.get(&stem(&image)).map_or(&[][..], Vec::as_slice);
        let same_name = |file: &&String| name(file).eq_ignore_ascii_case(name(&image));
        let decoded = |file: &&String| DECODED.contains(&extension(file).as_str());
        let choices: [Vec<&String>; 3] = [
            same_stem.iter().filter(same_name).filter(decoded).collect(),
            same_stem.iter().filter(decoded).collect(),
            same_stem.iter().filter(same_name).collect(),
        ];
        let candidates = choices.into_iter().find(|choice| !choice.is_empty()).unwrap_or_default();
        let nearest: Vec<_> = candidates.iter().copied().filter(|file| is_below(file, &image)).collect();
        let relative = match (&candidates[..], &nearest[..]) {
            ([], _) => return Err(ProblemKind::Missing),
            ([only], _) | (_, [only]) => (*only).clone(),
            _ => return Err(ProblemKind::Ambiguous { files: candidates.into_iter().cloned().collect() }),
        };
        let converted = extension(&relative) != extension(&image);
        Ok(Found { path: self.root.join(&relative), relative, converted, hash: String::new() })
    }
}

impl Found {
    /// The same once its file was decoded.
    pub fn inspected(self) -> Result<Self, ProblemKind> {
        match inspect(&self.path) {
            Ok(hash) => Ok(Self { hash, ..self }),
            Err(error) => Err(ProblemKind::Unreadable { file: self.relative, reason: error.to_string() }),
        }
    }
}

/// Whether one path ends with the other, apart from the extension.
fn is_below(file: &str, image: &str) -> bool {
    let [file, image] = [file, image].map(|path| {
        let whole = path.trim_start_matches("./").trim_start_matches('/');
        let stem = whole.rsplit_once('.').map_or(whole, |(stem, _)| stem);
        format!("/{}", stem.to_lowercase())
    });
    file.ends_with(&image) || image.ends_with(&file)
}

fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn stem(path: &str) -> String {
    let name = name(path);
    name.rsplit_once('.').map_or(name, |(stem, _)| stem).to_lowercase()
}

fn extension(path: &str) -> String {
    name(path).rsplit_once('.').map_or("", |(_, extension)| extension).to_lowercase()
}
