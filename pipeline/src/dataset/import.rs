//! Imports a published dataset: a label file and a folder of images become a manifest.
//!
//! Labels are brought to 1 to 5, higher is better, and their direction is checked where the dataset has
//! anything to check it by. All versions of one reference come into one split, and what would leak from one
//! split into another is refused. Every image is decoded once; those that are missing or cannot be read are
//! listed in `problems.jsonl` and never left out in silence.
//!
//! Parsing lives in `qponder_shared::dataset`.

mod bitmap;
mod error;
mod images;
mod labels;
mod live_w;
mod mat;
mod names;
mod plan;
mod problem;
mod scale;
mod split;
mod spreadsheet;
mod write;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use qponder_shared::dataset::{Counts, Evidence, Format, leaks};
use qponder_shared::manifest::Row;
use rayon::prelude::*;

pub use error::ImportError;
pub use names::Names;
pub use plan::{Plan, Planned, Reading, plan};
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
    /// How labels are understood.
    pub reading: Reading,
    /// Copy the images to `images` beside the manifest instead of pointing to them. PNGs of BMP files are
    /// always written there.
    pub copy: bool,
    /// Write a manifest of the good images although others have problems.
    pub skip_problems: bool,
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
    /// Images that are BMP files, of which the manifest has PNGs.
    pub bitmaps: usize,
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
    let plan = plan(labels, &source, &import.reading)?;
    let images = Images::index(&import.images)?;
    let inspected = inspect(&images, &plan.rows, progress);
    let mut rows = Vec::new();
    let mut summary = Summary {
        source,
        listed: plan.rows.len(),
        scale: plan.scale,
        evidence: plan.evidence,
        split: plan.split,
        converted: 0,
        bitmaps: 0,
        problems: Vec::new(),
        counts: Counts::default(),
        manifest: None,
    };
    for (Planned { place, row }, found) in plan.rows.into_iter().zip(inspected) {
        match found {
            Ok(found) => {
                summary.converted += usize::from(found.converted);
                summary.bitmaps += usize::from(found.is_bitmap);
                rows.push((Row { image: found.relative.clone(), ..row }, found));
            }
            Err(kind) => {
                summary.problems.push(Problem { image: row.image, at: place.to_string(), kind });
            }
        }
    }
    refuse_shared(&rows)?;
    summary.counts = Counts::of(rows.iter().map(|(row, _)| row));
    write::problems(&import.out, &summary.problems)?;
    if summary.problems.is_empty() || (import.skip_problems && !rows.is_empty()) {
        summary.manifest = Some(write::manifest(import, &images, rows)?);
    }
    Ok(summary)
}

/// Finds, decodes and hashes the rows' images, on all threads.
fn inspect(
    images: &Images,
    rows: &[Planned],
    progress: &(dyn Fn(Progress) + Sync),
) -> Vec<Result<Found, ProblemKind>> {
    let (done, total) = (AtomicUsize::new(0), rows.len());
    let inspected = rows.par_iter().map(|planned| {
        let found = images.find(&planned.row.image).and_then(Found::inspected);
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
