//! Finding the images that a label file names.
//!
//! Label files name images with folders or without, in another case (CSIQ), or with the extension that
//! they had before somebody converted them (PIPAL's and LIVE's are BMP). So images are looked up by name, in a
//! folder or an archive, at any depth.

use std::collections::HashMap;

use super::ProblemKind;

/// Extensions of files that are decoded.
const DECODED: [&str; 4] = ["png", "jpg", "jpeg", "webp"];

/// Paths of files, with slashes.
pub struct Names {
    /// By file name without extension in lower case.
    stems: HashMap<String, Vec<String>>,
}

impl Names {
    /// Paths, in any order.
    #[must_use]
    pub fn new(paths: impl IntoIterator<Item = String>) -> Self {
        let mut stems: HashMap<String, Vec<String>> = HashMap::new();
        for path in paths {
            stems.entry(stem(&path)).or_default().push(path);
        }
        for files in stems.values_mut() {
            files.sort_unstable();
        }
        Self { stems }
    }

    /// The file that a label file means: one of the same name that can be decoded, or else a converted
    /// one, or else one of the same name whatever it is. Where folders have files of the same name, the
    /// folders in the label file decide.
    ///
    /// # Errors
    /// When there is none, or nothing tells which of several is meant.
    pub fn find(&self, image: &str) -> Result<&str, ProblemKind> {
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
        match (&candidates[..], &nearest[..]) {
            ([], _) => Err(ProblemKind::Missing),
            ([only], _) | (_, [only]) => Ok(only),
            _ => Err(ProblemKind::Ambiguous { files: candidates.into_iter().cloned().collect() }),
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
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

fn stem(path: &str) -> String {
    let name = name(path);
    name.rsplit_once('.').map_or(name, |(stem, _)| stem).to_lowercase()
}

/// The extension of a path in lower case.
pub(super) fn extension(path: &str) -> String {
    name(path).rsplit_once('.').map_or("", |(_, extension)| extension).to_lowercase()
}
