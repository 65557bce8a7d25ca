//! Options of the form `--name value`, the pictures that they name, and what is made of many times.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use qponder_kernels::pixels::{Limits, RgbImage, decode};
use serde_json::json;

/// Named values.
pub struct Options(BTreeMap<String, String>);

impl Options {
    /// Reads pairs of name and value.
    pub fn parse(mut words: impl Iterator<Item = String>) -> Result<Self> {
        let mut values = BTreeMap::new();
        while let Some(word) = words.next() {
            let Some(name) = word.strip_prefix("--") else { bail!("`{word}` is no option") };
            // Our side always does what the flag asks of the peer.
            if name == "ignore-end" {
                continue;
            }
            let value = words.next().with_context(|| format!("{word} has no value"))?;
            values.insert(name.to_owned(), value);
        }
        Ok(Self(values))
    }

    /// A text or path.
    pub fn text(&self, name: &str) -> Result<&str> {
        self.0.get(name).map(String::as_str).with_context(|| format!("--{name} is missing"))
    }

    /// A number, or the default where it is not given.
    pub fn number<T: FromStr>(&self, name: &str, default: T) -> Result<T> {
        let Some(value) = self.0.get(name) else { return Ok(default) };
        value.parse().ok().with_context(|| format!("--{name} is {value}, which is no number"))
    }

    /// Picture files of `--images`, in order of name.
    pub fn pictures(&self) -> Result<Vec<PathBuf>> {
        let folder = Path::new(self.text("images")?);
        let entries = fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
        let is_picture = |path: &PathBuf| {
            path.extension()
                .is_some_and(|extension| ["png", "jpg", "jpeg", "webp"].iter().any(|one| extension == *one))
        };
        let mut found: Vec<PathBuf> =
            entries.flatten().map(|entry| entry.path()).filter(is_picture).collect();
        found.sort();
        if found.is_empty() {
            bail!("no pictures in {}", folder.display());
        }
        Ok(found)
    }
}

/// The middle one, or the mean of the middle two; no number where there is none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        count => (sorted[(count - 1) / 2] + sorted[count / 2]) / 2.0,
    }
}

/// A manifest of some pictures, pristine, all with the same label.
pub fn manifest(pictures: &[PathBuf], label: f64) -> Result<String> {
    let mut lines = String::new();
    for picture in pictures {
        let path = picture.canonicalize().with_context(|| format!("cannot find {}", picture.display()))?;
        let name = picture.file_name().unwrap_or_default().to_string_lossy();
        let row = json!({
            "id": name, "image": path, "proxy": label, "reference": name, "split": "train", "source": "benchmark",
        });
        lines.push_str(&format!("{row}\n"));
    }
    Ok(lines)
}

/// Reads and decodes a picture.
pub fn open(path: &Path) -> Result<RgbImage> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(decode(&bytes, &Limits::default()).with_context(|| path.display().to_string())?.image)
}
