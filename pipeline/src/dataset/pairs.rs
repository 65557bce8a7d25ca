//! A manifest of images that other programs made from pristine ones: each labelled by comparing the two.

use std::fs;
use std::path::{Path, PathBuf};

use qponder_kernels::pixels::{Limits, RgbImage, decode};
use qponder_shared::Distortion;
use qponder_shared::manifest::{Label, Row, Split};
use rayon::prelude::*;
use serde::Deserialize;

use super::Progress;
use super::manifest::ManifestError;
use crate::files::are_same;
use crate::proxy::{measure, proxy_score};
use crate::train::TrainError;
use crate::train::checkpoint::write_whole;

/// A line of the file of pairs; paths are relative to it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pair {
    image: String,
    pristine: String,
    reference: String,
    #[serde(default)]
    distortions: Vec<Distortion>,
    split: Split,
    source: String,
}

/// Why pairs cannot be labelled.
#[derive(Debug, thiserror::Error)]
pub enum PairError {
    #[error(transparent)]
    Lines(#[from] ManifestError),
    #[error("{path} line {line}: {reason}")]
    Pair { path: PathBuf, line: usize, reason: String },
    #[error("{out} must lie in the same folder as {pairs}: paths in both are relative to where they lie")]
    Apart { out: PathBuf, pairs: PathBuf },
    #[error("{out} is the file of the pairs, which would be lost: write to another file")]
    Itself { out: PathBuf },
    #[error(transparent)]
    Write(#[from] TrainError),
}

/// Labels every pair with its proxy and writes the manifest; returns its rows.
///
/// # Errors
/// Names the line whose images cannot be read or differ in size; nothing is written then.
pub fn label(pairs: &Path, out: &Path, progress: &(dyn Fn(Progress) + Sync)) -> Result<usize, PairError> {
    let dir = pairs.parent().unwrap_or(Path::new(""));
    if out.parent().unwrap_or(Path::new("")) != dir {
        return Err(PairError::Apart { out: out.to_owned(), pairs: pairs.to_owned() });
    }
    if are_same(out, pairs) {
        return Err(PairError::Itself { out: out.to_owned() });
    }
    let text =
        fs::read_to_string(pairs).map_err(|source| ManifestError::Io { path: pairs.to_owned(), source })?;
    let lines: Vec<(usize, &str)> =
        text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).collect();
    let done = std::sync::atomic::AtomicUsize::new(0);
    let rows: Result<Vec<Row>, PairError> = lines
        .par_iter()
        .map(|&(index, line)| {
            let failed = |reason: String| PairError::Pair { path: pairs.to_owned(), line: index + 1, reason };
            let pair: Pair = serde_json::from_str(line).map_err(|error| failed(error.to_string()))?;
            let row = pair.label(dir).map_err(failed)?;
            let done = done.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
            progress(Progress { done, total: lines.len() });
            Ok(row)
        })
        .collect();
    let rows = rows?;
    let manifest: String =
        rows.iter().map(|row| serde_json::to_string(row).unwrap_or_default() + "\n").collect();
    write_whole(out, manifest.as_bytes())?;
    Ok(rows.len())
}

impl Pair {
    fn label(self, dir: &Path) -> Result<Row, String> {
        let (image, pristine) = (read(&dir.join(&self.image))?, read(&dir.join(&self.pristine))?);
        let size = |image: &RgbImage| (image.width(), image.height());
        if size(&image) != size(&pristine) {
            return Err(format!(
                "{:?} and {:?} pixels: the two must have one size",
                size(&image),
                size(&pristine)
            ));
        }
        let metrics = measure(&pristine, &image);
        Ok(Row {
            id: Path::new(&self.image).with_extension("").to_string_lossy().into_owned(),
            image: self.image,
            label: Label::Proxy(proxy_score(&metrics)),
            mos_std: None,
            reference: self.reference,
            distortions: self.distortions,
            split: self.split,
            source: self.source,
            metrics: Some(metrics),
            answer: None,
        })
    }
}

fn read(path: &Path) -> Result<RgbImage, String> {
    let bytes = fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let decoded =
        decode(&bytes, &Limits::default()).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(decoded.image)
}
