//! Imports a published dataset: a label file and a folder of images become a manifest.
//!
//! Labels are brought to 1 to 5, higher is better, and their direction is checked where the dataset has
//! anything to check it by. All versions of one reference come into one split, and what would leak from one
//! split into another is refused. Every image is decoded once; those that are missing or cannot be read are
//! listed in `problems.jsonl` and never left out in silence.
//!
//! Parsing lives in `qponder_shared::dataset`.

mod error;
mod images;
mod labels;
mod problem;
mod scale;
mod split;
mod write;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use qponder_shared::dataset::{Counts, Direction, Entry, Evidence, Format, Range, evidence, leaks};
use qponder_shared::manifest::{Label, Row};
use rayon::prelude::*;

pub use error::ImportError;
pub use problem::{Problem, ProblemKind};
pub use scale::{Origin, UsedScale};
pub use split::{Fractions, NoFractions, UsedSplit};

use super::Progress;
use images::{Found, Images};

/// What to import.
#[derive(Clone, Debug)]
pub struct Import {
    pub format: Format,
    /// The label file; for PIPAL perhaps the folder of them.
    pub labels: PathBuf,
    /// The folder of the images, at any depth.
    pub images: PathBuf,
    /// The folder of the manifest.
    pub out: PathBuf,
    /// The dataset's name in rows, ids and references; the format's name when `None`.
    pub source: Option<String>,
    /// Instead of what the format says, or where it says nothing.
    pub direction: Option<Direction>,
    /// Instead of the published range, or where there is none.
    pub range: Option<Range>,
    /// Instead of the official split, or where there is none.
    pub split: Option<Fractions>,
    /// Decides the split where it is not the official one.
    pub seed: u64,
    /// Copy the images to `images` beside the manifest instead of pointing to them.
    pub copy: bool,
    /// Write a manifest of the good images although others have problems.
    pub skip_problems: bool,
    /// Leave the standard deviations out.
    pub ignore_std: bool,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Summary {
    pub source: String,
    /// Images that the label file lists.
    pub listed: usize,
    pub scale: UsedScale,
    pub evidence: Evidence,
    pub split: UsedSplit,
    /// Images found under another extension than the label file's.
    pub converted: usize,
    pub problems: Vec<Problem>,
    /// What the manifest holds, or would hold.
    pub counts: Counts,
    /// The manifest; `None` where problems kept it from being written.
    pub manifest: Option<PathBuf>,
}

/// Imports.
///
/// `progress` is called from several threads after each image.
///
/// # Errors
/// When the labels cannot be read or do not fit their scale, something would leak between splits, or the
/// manifest cannot be written. Problems with single images are no error; see [`Summary::problems`].
pub fn import(import: &Import, progress: &(dyn Fn(Progress) + Sync)) -> Result<Summary, ImportError> {
    write::refuse_existing(&import.out)?;
    let source = import.source.clone().unwrap_or_else(|| import.format.name().to_owned());
    let labels = labels::read(import.format, &import.labels)?;
    let scale = UsedScale::new(&labels, import.direction, import.range)?;
    let opinions = scale.opinions(&labels, import.ignore_std)?;
    let scores: Vec<f64> = opinions.iter().map(|opinion| opinion.mos).collect();
    let entries = &labels.entries;
    let evidence = evidence(entries, &scores, scale.scale.direction)?;
    let (used_split, splits) = split::assign(entries, import.split, import.seed);
    let references = entries.iter().zip(&splits);
    let references = references.map(|(entry, split)| (&entry.reference, *split, entry.image.clone()));
    if let Some(leak) = leaks(references).first() {
        return Err(ImportError::Reference { reference: leak.key.clone(), bearers: leak.bearers() });
    }

    let images = Images::index(&import.images)?;
    let inspected = inspect(&images, entries, progress);
    let mut rows = Vec::new();
    let mut summary = Summary {
        source,
        listed: entries.len(),
        scale,
        evidence,
        split: used_split,
        converted: 0,
        problems: Vec::new(),
        counts: Counts::default(),
        manifest: None,
    };
    for (((entry, opinion), split), found) in entries.iter().zip(opinions).zip(splits).zip(inspected) {
        let found = match found {
            Ok(found) => found,
            Err(kind) => {
                summary.problems.push(Problem {
                    image: entry.image.clone(),
                    at: entry.place.to_string(),
                    kind,
                });
                continue;
            }
        };
        summary.converted += usize::from(found.converted);
        let source = &summary.source;
        let row = Row {
            id: format!("{source}/{}", entry.image),
            image: found.relative.clone(),
            label: Label::Mos(opinion.mos),
            mos_std: opinion.std,
            reference: format!("{source}/{}", entry.reference),
            distortions: entry.distortion.into_iter().collect(),
            split,
            source: source.clone(),
            metrics: None,
            answer: None,
        };
        rows.push((row, found));
    }
    refuse_shared(&rows)?;
    summary.counts = Counts::of(rows.iter().map(|(row, _)| row));
    write::problems(&import.out, &summary.problems)?;
    if summary.problems.is_empty() || (import.skip_problems && !rows.is_empty()) {
        summary.manifest = Some(write::manifest(import, &images, rows)?);
    }
    Ok(summary)
}

/// Finds, decodes and hashes the entries' images, on all threads.
fn inspect(
    images: &Images,
    entries: &[Entry],
    progress: &(dyn Fn(Progress) + Sync),
) -> Vec<Result<Found, ProblemKind>> {
    let (done, total) = (AtomicUsize::new(0), entries.len());
    let inspected = entries.par_iter().map(|entry| {
        let found = images.find(&entry.image).and_then(Found::inspected);
        progress(Progress { done: done.fetch_add(1, Ordering::Relaxed) + 1, total });
        found
    });
    inspected.collect()
}

/// Refuses two labels for one file, and one image in two splits.
fn refuse_shared(rows: &[(Row, Found)]) -> Result<(), ImportError> {
    let mut files: HashMap<&Path, &Row> = HashMap::new();
    for (row, found) in rows {
        if let Some(first) = files.insert(&found.path, row) {
            let (first, second) = (first.id.clone(), row.id.clone());
            return Err(ImportError::SameFile { path: found.path.clone(), first, second });
        }
    }
    let contents = rows.iter().map(|(row, found)| (&found.hash, row.split, row.id.clone()));
    match leaks(contents).first() {
        Some(leak) => Err(ImportError::Bytes { bearers: leak.bearers() }),
        None => Ok(()),
    }
}
