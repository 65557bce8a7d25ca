//! Writing a model directory that transformers loads.

mod shards;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use candle_core::{DType, Device, Tensor};

use crate::nano;
use crate::qwen2_5_vl::{Config, LoadError, Weights};
use crate::train::TrainError;
use crate::train::checkpoint::write_whole;

/// Pooled heads that training may go on with; no part of the model.
const HEADS: &str = "heads.safetensors";

/// Files beside the weights that make a model directory.
const COMPANIONS: [&str; 12] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "processor_config.json",
    "preprocessor_config.json",
    "video_preprocessor_config.json",
    "generation_config.json",
    "merges.txt",
    "vocab.json",
];

/// How numbers are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    F32,
    #[default]
    F16,
    Bf16,
}

impl Precision {
    /// candle's name of it.
    #[must_use]
    pub(crate) fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::F16 => DType::F16,
            Self::Bf16 => DType::BF16,
        }
    }

    /// PyTorch's name of it.
    fn torch_name(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::F16 => "float16",
            Self::Bf16 => "bfloat16",
        }
    }
}

/// How a model's weights lie on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    pub precision: Precision,
    /// Most bytes of tensors a file; a larger tensor has a file of its own.
    pub shard_bytes: u64,
}

impl Default for Layout {
    /// f16 in files of 5 GB, which is what transformers writes.
    fn default() -> Self {
        Self { precision: Precision::F16, shard_bytes: 5_000_000_000 }
    }
}

/// Writes weights, configuration, and the companions of `base`, or of nano when there is none.
///
/// # Errors
/// When a companion cannot be read, the disk refuses, or a number is too large for f16.
pub fn model(
    dir: &Path,
    config: &Config,
    weights: &Weights,
    base: Option<&Path>,
    layout: Layout,
) -> Result<(), TrainError> {
    let (heads, model): (BTreeMap<_, _>, BTreeMap<_, _>) =
        weights.tensors().iter().partition(|(name, _)| name.starts_with("heads."));
    shards::write(dir, &model, layout)?;
    let path = dir.join(HEADS);
    if !heads.is_empty() {
        write_tensors(&path, &heads, Precision::F32)?;
    } else if path.is_file() {
        // Those of the model that was here before; a training would go on from them.
        std::fs::remove_file(&path).map_err(|source| TrainError::Io { path, source })?;
    }
    let mut json = config.to_json();
    json["torch_dtype"] = layout.precision.torch_name().into();
    write_json(&dir.join("config.json"), &json)?;
    let Some(base) = base else { return nano::write_companions(dir) };
    for name in COMPANIONS {
        let (from, to) = (base.join(name), dir.join(name));
        if from.is_file() && from != to {
            let bytes = std::fs::read(&from).map_err(|source| TrainError::Io { path: from, source })?;
            write_whole(&to, &bytes)?;
        }
    }
    Ok(())
}

/// Pooled heads of a directory; `None` when it has none.
///
/// # Errors
/// When they are damaged.
pub fn read_heads(dir: &Path) -> Result<Option<BTreeMap<String, Tensor>>, LoadError> {
    let path = dir.join(HEADS);
    if !path.is_file() {
        return Ok(None);
    }
    let tensors = candle_core::safetensors::load(&path, &Device::Cpu)
        .map_err(|e| LoadError::Weights { path, reason: e.to_string() })?;
    Ok(Some(tensors.into_iter().collect()))
}

/// Writes tensors into one safetensors file.
///
/// # Errors
/// When the disk refuses or a number is too large for f16.
pub fn write_tensors(
    path: &Path,
    tensors: &BTreeMap<&String, &Tensor>,
    precision: Precision,
) -> Result<(), TrainError> {
    let refused = |reason| TrainError::Checkpoint { path: path.to_owned(), reason };
    let mut converted = Vec::with_capacity(tensors.len());
    for (name, tensor) in tensors {
        let tensor = tensor.to_dtype(precision.dtype())?.contiguous()?;
        if precision == Precision::F16 && is_too_large(&tensor)? {
            return Err(refused(format!("{name} holds numbers that f16 cannot; export it as bf16 or f32")));
        }
        converted.push(((*name).clone(), tensor));
    }
    // transformers refuses a file that does not say which framework's layout it has.
    let facts = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let views = converted.iter().map(|(name, tensor)| (name.as_str(), tensor));
    let bytes = safetensors::serialize(views, Some(facts)).map_err(|e| refused(e.to_string()))?;
    write_whole(path, &bytes)
}

/// Whether f16 made numbers infinite.
fn is_too_large(tensor: &Tensor) -> candle_core::Result<bool> {
    let largest = tensor.abs()?.flatten_all()?.max(0)?.to_dtype(DType::F32)?;
    Ok(largest.to_scalar::<f32>()?.is_infinite())
}

/// Writes JSON for people to read.
///
/// # Errors
/// When the disk refuses.
pub fn write_json(path: &Path, value: &serde_json::Value) -> Result<(), TrainError> {
    let text = serde_json::to_string_pretty(value).unwrap_or_default() + "\n";
    write_whole(path, text.as_bytes())
}
