//! What a model is judged on: labelled images, each with the dataset that it belongs to.

use std::path::{Path, PathBuf};

use qponder_shared::DistortionKind;
use qponder_shared::manifest::Split;

use super::EvaluateError;
use crate::dataset::preflight::preflight;
use crate::train::TrainError;
use crate::train::data::{Item, read_manifests};
use crate::train::grpo::rewards::LevelMap;

/// A labelled image.
#[derive(Clone, Debug)]
pub struct Case {
    /// Name of its manifest: the directory of a `manifest.jsonl`, else the file without its extension. A
    /// manifest is a dataset here; where its rows come from (`source`) may be many places.
    pub dataset: String,
    pub item: Item,
}

impl Case {
    /// Name of the strongest distortion; `none` of an image known to have none, `unknown` where it is not known.
    #[must_use]
    pub fn distortion(&self) -> &'static str {
        let row = &self.item.row;
        match row.distortions.iter().max_by_key(|d| d.level) {
            Some(worst) => DistortionKind::name(worst.kind),
            None if row.distortions_known() => "none",
            None => "unknown",
        }
    }
}

/// The images of some manifests that belong to a split: at most `limit`, spread evenly over all of them.
///
/// # Errors
/// When a manifest cannot be read, has no row of the split, or is given twice, or when a glance shows that a label
/// is none or an image is missing.
pub fn cases(manifests: &[PathBuf], split: Split, limit: Option<usize>) -> Result<Vec<Case>, EvaluateError> {
    let mut all = Vec::new();
    for ((index, manifest), dataset) in manifests.iter().enumerate().zip(names(manifests)) {
        if manifests[..index].contains(manifest) {
            return Err(EvaluateError::Repeated { manifest: manifest.clone() });
        }
        let items = read_manifests(&[manifest], split)?;
        if items.is_empty() {
            return Err(EvaluateError::NoRows { manifest: manifest.clone(), split: split.name() });
        }
        all.extend(items.into_iter().map(|item| Case { dataset: dataset.clone(), item }));
    }
    if let Some(limit) = limit {
        all = spread(&all, limit);
    }
    let rows = all.iter().map(|case| (&case.item.row, case.item.path.as_path()));
    preflight(rows).map_err(TrainError::from)?;
    Ok(all)
}

/// At most `count` cases, spread evenly over all.
#[must_use]
pub fn spread(cases: &[Case], count: usize) -> Vec<Case> {
    let count = count.min(cases.len());
    (0..count).map(|i| cases[i * cases.len() / count].clone()).collect()
}

/// Names of manifests, each another: two of one name get their paths.
pub(super) fn names(manifests: &[PathBuf]) -> Vec<String> {
    let short: Vec<String> = manifests.iter().map(|manifest| name(manifest)).collect();
    let is_unique = |name: &String| short.iter().filter(|&other| other == name).count() == 1;
    let named = short.iter().zip(manifests);
    named
        .map(|(name, path)| if is_unique(name) { name.clone() } else { path.display().to_string() })
        .collect()
}

fn name(manifest: &Path) -> String {
    let stem = manifest.file_stem().unwrap_or_default().to_string_lossy();
    let whole = manifest.canonicalize().unwrap_or_else(|_| manifest.to_owned());
    let dir = whole.parent().and_then(Path::file_name).map(|dir| dir.to_string_lossy().into_owned());
    match dir {
        Some(dir) if stem == "manifest" => dir,
        _ => stem.into_owned(),
    }
}

/// What reasoning and score are held against each other with: the map that GRPO rewards, fitted in the same way.
#[derive(Clone, Copy, Debug)]
pub struct Consistency {
    pub levels: LevelMap,
    /// Training rows that it was fitted to; without any the levels stand for 1 to 5.
    pub rows: usize,
}

/// Fits [`Consistency`] to the training rows of the manifests.
///
/// # Errors
/// When a manifest cannot be read.
pub fn consistency(manifests: &[PathBuf]) -> Result<Consistency, EvaluateError> {
    let items = read_manifests(manifests, Split::Train)?;
    Ok(Consistency { levels: LevelMap::of_items(&items), rows: items.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datasets_have_names_that_tell_them_apart() {
        let paths = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
        assert_eq!(names(&paths(&["d/koniq/manifest.jsonl", "d/spaq.jsonl"])), ["koniq", "spaq"]);
        let same = paths(&["a/set/manifest.jsonl", "b/set/manifest.jsonl"]);
        assert_eq!(names(&same), ["a/set/manifest.jsonl", "b/set/manifest.jsonl"]);
    }
}
