//! Whether manifests and their images are sound, now and as they were.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use qponder_shared::dataset::leaks;
use qponder_shared::grammar;
use qponder_shared::manifest::{Row, Split};
use rayon::prelude::*;

use super::hashes::{Hashes, HashesError};
use super::inspect::{InspectError, inspect};
use super::manifest::{Manifest, ManifestError};
use super::{Progress, hashes};

/// Why manifests could not be verified at all.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Hashes(#[from] HashesError),
}

/// Bytes of the longest answer: some 4,000 tokens, where a teacher writes 200.
const LONGEST: usize = 16 << 10;

/// Something that is wrong.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error("{id}: {path}: {source}")]
    Image { id: String, path: PathBuf, source: InspectError },
    #[error("{id} is in {first} and again in {second}")]
    SameId { id: String, first: PathBuf, second: PathBuf },
    #[error("{id}: the label {label} is outside 1 to 5")]
    Label { id: String, label: f64 },
    #[error("{id}: its answer ends with no score that can be read: leave the answer out, or mend it")]
    Answer { id: String },
    #[error(
        "{id}: its answer has {bytes} bytes, and at most {LONGEST} are learned from: leave it out, or shorten it"
    )]
    Length { id: String, bytes: usize },
    #[error("reference {reference} is in several splits: {bearers}")]
    Reference { reference: String, bearers: String },
    #[error("the same bytes are in several splits: {bearers}")]
    Bytes { bearers: String },
    #[error("{path} is not what it was when {file} was written")]
    Changed { path: PathBuf, file: &'static str },
    #[error("{path} is not listed in {file}: `--write` after a look at it lists it")]
    Unlisted { path: PathBuf, file: &'static str },
}

/// What was found.
#[derive(Debug, Default)]
pub struct Report {
    pub images: usize,
    /// Images whose hash was compared with an earlier one.
    pub compared: usize,
    /// Files of hashes that were written.
    pub written: Vec<PathBuf>,
    pub faults: Vec<Fault>,
}

/// Decodes and hashes every image and checks every row. With `write`, the hashes are written beside the
/// manifests where nothing at all is wrong.
///
/// `progress` is called from several threads after each image.
///
/// # Errors
/// When a manifest or a file of hashes cannot be read, or hashes cannot be written.
pub fn verify(
    paths: &[PathBuf],
    write: bool,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Report, VerifyError> {
    let manifests = Manifest::read_all(paths)?;
    let total = manifests.iter().map(|manifest| manifest.rows.len()).sum();
    let mut report = Report { images: total, ..Report::default() };
    rows(&manifests, &mut report.faults);

    let done = AtomicUsize::new(0);
    let advance = || progress(Progress { done: done.fetch_add(1, Ordering::Relaxed) + 1, total });
    let mut contents: Vec<(String, Split, String)> = Vec::new();
    let mut current = Vec::new();
    for manifest in &manifests {
        let hashes = report.images(manifest, write, &advance)?;
        let hashed = manifest.rows.iter().filter_map(|row| Some((row, hashes.0.get(&row.image)?)));
        contents.extend(hashed.map(|(row, hash)| (hash.clone(), row.split, row.id.clone())));
        current.push((manifest.dir(), hashes));
    }
    let shared = leaks(contents);
    report.faults.extend(shared.iter().map(|leak| Fault::Bytes { bearers: leak.bearers() }));
    if write && report.faults.is_empty() {
        for (dir, hashes) in current {
            report.written.push(list(dir, hashes)?);
        }
    }
    Ok(report)
}

impl Report {
    /// Inspects a manifest's images, on all threads, and compares them with the hashes beside it. The
    /// hashes of those that decode.
    fn images(
        &mut self,
        manifest: &Manifest,
        write: bool,
        advance: &(dyn Fn() + Sync),
    ) -> Result<Hashes, HashesError> {
        let known = Hashes::read(manifest.dir())?;
        let inspected = manifest.rows.par_iter().map(|row| {
            let found = inspect(&manifest.dir().join(&row.image));
            advance();
            found
        });
        let inspected: Vec<Result<String, InspectError>> = inspected.collect();
        let mut hashes = Hashes::default();
        for (row, found) in manifest.rows.iter().zip(inspected) {
            let path = manifest.dir().join(&row.image);
            match found {
                Ok(hash) => {
                    if let Some(known) = &known {
                        self.compare(known.0.get(&row.image), &hash, path, write);
                    }
                    hashes.0.insert(row.image.clone(), hash);
                }
                Err(source) => self.faults.push(Fault::Image { id: row.id.clone(), path, source }),
            }
        }
        Ok(hashes)
    }

    fn compare(&mut self, known: Option<&String>, hash: &str, path: PathBuf, write: bool) {
        match known {
            Some(known) if known == hash => self.compared += 1,
            Some(_) => self.faults.push(Fault::Changed { path, file: hashes::FILE }),
            None if write => {}
            None => self.faults.push(Fault::Unlisted { path, file: hashes::FILE }),
        }
    }
}

/// Writes hashes, and keeps those of images that another manifest in the folder lists.
fn list(dir: &Path, hashes: Hashes) -> Result<PathBuf, HashesError> {
    let mut all = Hashes::read(dir)?.unwrap_or_default();
    all.0.extend(hashes.0);
    all.write(dir)?;
    Ok(dir.join(hashes::FILE))
}

/// What the rows themselves show.
fn rows(manifests: &[Manifest], faults: &mut Vec<Fault>) {
    let mut ids: HashMap<&str, &Path> = HashMap::new();
    let every = || manifests.iter().flat_map(|manifest| manifest.rows.iter().map(move |row| (manifest, row)));
    for (manifest, row) in every() {
        if let Some(first) = ids.insert(&row.id, &manifest.path) {
            let (first, second) = (first.to_owned(), manifest.path.clone());
            faults.push(Fault::SameId { id: row.id.clone(), first, second });
        }
    }
    labels_and_references(every().map(|(_, row)| row), faults);
}

/// Labels and answers that are none, and references in several splits.
pub(super) fn labels_and_references<'a>(
    rows: impl Iterator<Item = &'a Row> + Clone,
    faults: &mut Vec<Fault>,
) {
    for row in rows.clone() {
        let label = row.label.value();
        if !(1.0..=5.0).contains(&label) {
            faults.push(Fault::Label { id: row.id.clone(), label });
        }
        if row.answer.as_ref().is_some_and(|answer| grammar::parse(answer).score.is_none()) {
            faults.push(Fault::Answer { id: row.id.clone() });
        }
        if let Some(bytes) = row.answer.as_ref().map(String::len).filter(|&bytes| bytes > LONGEST) {
            faults.push(Fault::Length { id: row.id.clone(), bytes });
        }
    }
    let references = rows.map(|row| (row.reference.clone(), row.split, row.id.clone()));
    faults.extend(leaks(references).into_iter().map(|leak| {
        let bearers = leak.bearers();
        Fault::Reference { reference: leak.key, bearers }
    }));
}
