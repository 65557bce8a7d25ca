//! Weights of a checkpoint directory: one safetensors file or several, under either naming.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Shape, Tensor};
use rayon::prelude::*;
use safetensors::tensor::Metadata;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::LoadError;
use super::linear::Adaptation;

/// Tensors by the names of the published checkpoints: `visual.*`, `model.*`, `lm_head.weight`.
#[derive(Clone, Default)]
pub struct Weights {
    tensors: BTreeMap<String, Tensor>,
    adaptation: Option<Adaptation>,
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// Numbers that are looked at together.
const PIECE: usize = 1 << 20;

/// Whether all numbers of a tensor are numbers. One on a GPU, which shows it when it computes, is taken as it is.
fn is_finite(tensor: &Tensor) -> bool {
    let piece = |flat: &Tensor, start: usize| -> candle_core::Result<bool> {
        let piece = flat.narrow(0, start, PIECE.min(flat.elem_count() - start))?;
        Ok(piece.to_dtype(DType::F32)?.to_vec1::<f32>()?.iter().all(|number| number.is_finite()))
    };
    let Ok(flat) = tensor.flatten_all() else { return false };
    let starts: Vec<usize> = (0..flat.elem_count()).step_by(PIECE).collect();
    !tensor.device().is_cpu() || starts.into_par_iter().all(|start| piece(&flat, start).unwrap_or(false))
}

/// transformers 5 keeps the parts under `model.visual` and `model.language_model` in memory, and some
/// tools save them so.
pub(crate) fn published_name(name: &str) -> String {
    if let Some(rest) = name.strip_prefix("model.visual.") {
        format!("visual.{rest}")
    } else if let Some(rest) = name.strip_prefix("model.language_model.") {
        format!("model.{rest}")
    } else {
        name.to_owned()
    }
}

impl Weights {
    /// From tensors under their published names.
    #[must_use]
    pub fn new(tensors: BTreeMap<String, Tensor>) -> Self {
        Self { tensors, adaptation: None }
    }

    /// Switches the adapters among the tensors on (`…lora_A.weight`, `…lora_B.weight` beside the linear
    /// layers' own): a model over these weights applies them so. `None` leaves them out.
    #[must_use]
    pub fn adapted(mut self, adaptation: Option<Adaptation>) -> Self {
        self.adaptation = adaptation;
        self
    }

    /// How the adapters among the tensors are applied; `None` where they are not.
    #[must_use]
    pub fn adaptation(&self) -> Option<Adaptation> {
        self.adaptation
    }

    /// Reads `model.safetensors`, or the files that `model.safetensors.index.json` names.
    ///
    /// # Errors
    /// When a file is missing or damaged.
    pub fn read(dir: &Path, dtype: DType, device: &Device) -> Result<Self, LoadError> {
        let mut tensors = BTreeMap::new();
        for path in Self::files(dir)? {
            let bytes =
                std::fs::read(&path).map_err(|source| LoadError::Read { path: path.clone(), source })?;
            let damaged = |e: &dyn ToString| LoadError::Weights { path: path.clone(), reason: e.to_string() };
            let loaded = candle_core::safetensors::load_buffer(&bytes, device).map_err(|e| damaged(&e))?;
            if let Some(name) = loaded.iter().find_map(|(name, tensor)| (!is_finite(tensor)).then_some(name))
            {
                let reason = format!("tensor {name} holds numbers that are none (NaN) or infinite");
                return Err(LoadError::Weights { path: path.clone(), reason });
            }
            for (name, tensor) in loaded {
                tensors.insert(published_name(&name), tensor.to_dtype(dtype).map_err(|e| damaged(&e))?);
            }
        }
        Ok(Self::new(tensors))
    }

    /// Looks whether the files of a checkpoint directory are there and as long as their headers say, without reading
    /// what they hold.
    ///
    /// # Errors
    /// As [`Weights::read`], of what such a look finds.
    pub fn glance(dir: &Path) -> Result<(), LoadError> {
        for path in Self::files(dir)? {
            let failed = |source| LoadError::Read { path: path.clone(), source };
            let damaged = |reason: String| LoadError::Weights { path: path.clone(), reason };
            let mut file = File::open(&path).map_err(failed)?;
            let length = file.metadata().map_err(failed)?.len();
            let (mut head, mut json) = (Vec::new(), Vec::new());
            file.by_ref().take(8).read_to_end(&mut head).map_err(failed)?;
            let size = head.as_slice().try_into().map_or(u64::MAX, u64::from_le_bytes);
            if size > length {
                return Err(damaged("it ends within its header".to_owned()));
            }
            file.take(size).read_to_end(&mut json).map_err(failed)?;
            let header: Metadata = serde_json::from_slice(&json).map_err(|e| damaged(e.to_string()))?;
            let expected = 8 + size + header.data_len() as u64;
            if expected != length {
                return Err(damaged(format!("it has {length} bytes where its header says {expected}")));
            }
        }
        Ok(())
    }

    /// A hash by which two states of a checkpoint directory are told apart without reading it whole: of the names
    /// and lengths of its weight files, and of what each holds at its end. Training changes every weight.
    ///
    /// # Errors
    /// When a file is missing or cannot be read.
    pub fn fingerprint(dir: &Path) -> Result<String, LoadError> {
        const END: u64 = 1 << 20;
        let mut hash = Sha256::new();
        for path in Self::files(dir)? {
            let failed = |source| LoadError::Read { path: path.clone(), source };
            let mut file = File::open(&path).map_err(failed)?;
            let length = file.metadata().map_err(failed)?.len();
            let mut end = Vec::new();
            file.seek(SeekFrom::Start(length.saturating_sub(END))).map_err(failed)?;
            file.read_to_end(&mut end).map_err(failed)?;
            hash.update(path.file_name().unwrap_or_default().as_encoded_bytes());
            hash.update(length.to_le_bytes());
            hash.update(&end);
        }
        Ok(format!("{:x}", hash.finalize()))
    }

    /// The weight files of a checkpoint directory, sorted.
    ///
    /// # Errors
    /// When there are none, or the index cannot be read or names a path outside the directory.
    pub fn files(dir: &Path) -> Result<Vec<PathBuf>, LoadError> {
        let single = dir.join("model.safetensors");
        if single.is_file() {
            return Ok(vec![single]);
        }
        let path = dir.join("model.safetensors.index.json");
        let text =
            std::fs::read_to_string(&path).map_err(|_| LoadError::NoWeights { dir: dir.to_owned() })?;
        let bad = |reason: String| LoadError::Config { path: path.clone(), reason };
        let index: Index = serde_json::from_str(&text).map_err(|e| bad(e.to_string()))?;
        let mut names: Vec<String> = index.weight_map.into_values().collect();
        names.sort();
        names.dedup();
        if let Some(name) = names.iter().find(|name| name.contains(['/', '\\'])) {
            return Err(bad(format!("{name:?} is no plain file name")));
        }
        Ok(names.into_iter().map(|name| dir.join(name)).collect())
    }

    /// The tensor of a name, which must have the shape that the configuration asks for.
    ///
    /// # Errors
    /// When it is missing or has another shape.
    pub fn get(&self, name: &str, shape: impl Into<Shape>) -> Result<Tensor, LoadError> {
        let expected = shape.into();
        let tensor =
            self.tensors.get(name).ok_or_else(|| LoadError::MissingTensor { name: name.to_owned() })?;
        if tensor.shape() != &expected {
            let found = format!("{:?}", tensor.dims());
            return Err(LoadError::TensorShape {
                name: name.to_owned(),
                expected: format!("{:?}", expected.dims()),
                found,
            });
        }
        Ok(tensor.clone())
    }

    /// All tensors by name.
    #[must_use]
    pub fn tensors(&self) -> &BTreeMap<String, Tensor> {
        &self.tensors
    }

    /// How many numbers the tensors hold.
    #[must_use]
    pub fn parameters(&self) -> u64 {
        self.tensors.values().map(|tensor| tensor.elem_count() as u64).sum()
    }
}
