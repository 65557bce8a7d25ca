//! Checkpoints: weights, moments and the step in one safetensors file, complete or absent, with a hash.
//!
//! Everything else that a run depends on (order of the data, augmentation, wording) is a function of
//! the recipe's seed and the step, so a resumed run continues exactly the one that was interrupted.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use sha2::{Digest as _, Sha256};

use super::TrainError;
use super::identity::Identity;
use super::optimiser::Moments;

/// A run between two steps.
#[derive(Clone, Debug, Default)]
pub struct Checkpoint {
    /// Steps done.
    pub step: usize,
    /// What the run learns from: the checkpoint of a run that learns something else is refused.
    pub identity: Identity,
    pub weights: BTreeMap<String, Tensor>,
    pub moments: BTreeMap<String, Moments>,
}

/// Writes a file so that a crash leaves either the whole new one or none: a temporary file beside it,
/// fsync, rename, fsync of the directory.
///
/// # Errors
/// When the disk refuses; what was there before is untouched.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), TrainError> {
    let failed = |source| TrainError::Io { path: path.to_owned(), source };
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(dir).map_err(failed)?;
    let temporary = path.with_extension("partial");
    let mut file = File::create(&temporary).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::rename(&temporary, path).map_err(failed)?;
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed)
}

fn bytes_of(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// SHA-256 of names and bytes, which must come in the order of the names.
fn hash<'a>(entries: impl Iterator<Item = (&'a str, &'a [u8])>) -> String {
    let mut hash = Sha256::new();
    for (name, bytes) in entries {
        hash.update((name.len() as u64).to_le_bytes());
        hash.update(name);
        hash.update(bytes);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Checkpoint {
    fn path(dir: &Path, step: usize) -> PathBuf {
        dir.join(format!("checkpoint-{step:08}.safetensors"))
    }

    /// Writes the checkpoint into the directory and removes all but the two newest.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write(&self, dir: &Path) -> Result<(), TrainError> {
        let mut entries: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
        for (name, tensor) in &self.weights {
            let values: Vec<f32> = tensor.flatten_all()?.to_vec1()?;
            entries.push((format!("weight/{name}"), tensor.dims().to_vec(), bytes_of(&values)));
        }
        for (name, moments) in &self.moments {
            entries.push((format!("first/{name}"), vec![moments.first.len()], bytes_of(&moments.first)));
            entries.push((format!("second/{name}"), vec![moments.second.len()], bytes_of(&moments.second)));
        }
        entries.sort_by(|(a, ..), (b, ..)| a.cmp(b));
        let path = Self::path(dir, self.step);
        let broken = |e: safetensors::SafeTensorError| TrainError::Checkpoint {
            path: path.clone(),
            reason: e.to_string(),
        };
        let mut views = Vec::with_capacity(entries.len());
        for (name, dims, bytes) in &entries {
            views.push((name.clone(), TensorView::new(Dtype::F32, dims.clone(), bytes).map_err(broken)?));
        }
        let facts = HashMap::from([
            ("step".to_owned(), self.step.to_string()),
            ("recipe".to_owned(), self.identity.recipe.clone()),
            ("rows".to_owned(), self.identity.rows.clone()),
            ("base".to_owned(), self.identity.base.clone()),
            (
                "sha256".to_owned(),
                hash(entries.iter().map(|(name, _, bytes)| (name.as_str(), bytes.as_slice()))),
            ),
        ]);
        let bytes = safetensors::serialize(views, Some(facts)).map_err(broken)?;
        write_whole(&path, &bytes)?;
        for old in Self::steps(dir).into_iter().rev().skip(2) {
            let path = Self::path(dir, old);
            fs::remove_file(&path).map_err(|source| TrainError::Io { path, source })?;
        }
        Ok(())
    }

    /// Steps of the checkpoints in a directory, oldest first.
    fn steps(dir: &Path) -> Vec<usize> {
        let names = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.file_name());
        let step = |name: std::ffi::OsString| {
            name.to_str()?.strip_prefix("checkpoint-")?.strip_suffix(".safetensors")?.parse().ok()
        };
        let mut steps: Vec<usize> = names.filter_map(step).collect();
        steps.sort_unstable();
        steps
    }

    /// The newest checkpoint of a directory that is whole; `None` when there is no checkpoint at all.
    /// `damaged` is told of every newer one that is not.
    ///
    /// # Errors
    /// When it is of another run, or all are damaged: beginning again would throw away what a person
    /// may still save.
    pub fn newest(
        dir: &Path,
        identity: &Identity,
        damaged: &mut dyn FnMut(TrainError),
    ) -> Result<Option<Self>, TrainError> {
        let mut steps = Self::steps(dir);
        while let Some(step) = steps.pop() {
            let path = Self::path(dir, step);
            let checkpoint = match Self::read(&path) {
                Ok(checkpoint) => checkpoint,
                Err(error) if steps.is_empty() => return Err(error),
                Err(error) => {
                    damaged(error);
                    continue;
                }
            };
            let differences = checkpoint.identity.differences(identity);
            if !differences.is_empty() {
                let reason = format!(
                    "it belongs to another run ({}); choose another `out`, or remove the checkpoints to begin anew",
                    differences.join("; ")
                );
                return Err(TrainError::Checkpoint { path, reason });
            }
            return Ok(Some(checkpoint));
        }
        Ok(None)
    }

    fn read(path: &Path) -> Result<Self, TrainError> {
        let broken = |reason: String| TrainError::Checkpoint { path: path.to_owned(), reason };
        let bytes = fs::read(path).map_err(|source| TrainError::Io { path: path.to_owned(), source })?;
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| broken(e.to_string()))?;
        let facts = header.metadata().clone().unwrap_or_default();
        let fact =
            |key: &str| facts.get(key).cloned().ok_or_else(|| broken(format!("it does not state its {key}")));
        let later = |key: &str| facts.get(key).cloned().unwrap_or_default();
        let mut checkpoint = Self {
            step: fact("step")?.parse().map_err(|_| broken("its step is no number".into()))?,
            identity: Identity { recipe: fact("recipe")?, rows: later("rows"), base: later("base") },
            ..Self::default()
        };
        if !path.ends_with(Self::path(Path::new(""), checkpoint.step)) {
            return Err(broken(format!(
                "it states to be after step {}, and its name says another",
                checkpoint.step
            )));
        }
        let file = SafeTensors::deserialize(&bytes).map_err(|e| broken(e.to_string()))?;
        let mut tensors = file.tensors();
        tensors.sort_by(|(a, _), (b, _)| a.cmp(b));
        if fact("sha256")? != hash(tensors.iter().map(|(name, view)| (name.as_str(), view.data()))) {
            return Err(broken(
                "its numbers do not match its hash: the file was damaged after it was written".into(),
            ));
        }
        for (name, view) in tensors {
            let values: Vec<f32> =
                view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
            let (kind, name) = name.split_once('/').ok_or_else(|| broken(format!("unknown entry {name}")))?;
            match kind {
                "weight" => {
                    let tensor = Tensor::from_vec(values, view.shape(), &Device::Cpu)?;
                    checkpoint.weights.insert(name.to_owned(), tensor);
                }
                "first" => checkpoint.moments.entry(name.to_owned()).or_default().first = values,
                "second" => checkpoint.moments.entry(name.to_owned()).or_default().second = values,
                other => return Err(broken(format!("unknown entry {other}"))),
            }
        }
        Ok(checkpoint)
    }
}
