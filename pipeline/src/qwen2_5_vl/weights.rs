//! Weights of a checkpoint directory: one safetensors file or several, under either naming.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Shape, Tensor};
use serde::Deserialize;

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
            for (name, tensor) in loaded {
                tensors.insert(published_name(&name), tensor.to_dtype(dtype).map_err(|e| damaged(&e))?);
            }
        }
        Ok(Self::new(tensors))
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
