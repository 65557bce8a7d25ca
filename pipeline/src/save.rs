//! Writing a model directory that transformers loads.

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
const COMPANIONS: [&str; 8] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "chat_template.json",
    "preprocessor_config.json",
    "generation_config.json",
    "merges.txt",
    "vocab.json",
];

/// Writes weights in f16, configuration, and the companions of `base`, or of nano when there is none.
///
/// # Errors
/// When a companion cannot be read or the disk refuses.
pub fn model(dir: &Path, config: &Config, weights: &Weights, base: Option<&Path>) -> Result<(), TrainError> {
    let (heads, model): (BTreeMap<_, _>, BTreeMap<_, _>) =
        weights.tensors().iter().partition(|(name, _)| name.starts_with("heads."));
    write_tensors(&dir.join("model.safetensors"), &model, DType::F16)?;
    if !heads.is_empty() {
        write_tensors(&dir.join(HEADS), &heads, DType::F32)?;
    }
    write_json(&dir.join("config.json"), &config.to_json())?;
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

fn write_tensors(path: &Path, tensors: &BTreeMap<&String, &Tensor>, dtype: DType) -> Result<(), TrainError> {
    let mut converted = Vec::with_capacity(tensors.len());
    for (name, tensor) in tensors {
        converted.push(((*name).clone(), tensor.to_dtype(dtype)?.contiguous()?));
    }
    // transformers refuses a file that does not say which framework's layout it has.
    let facts = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let views = converted.iter().map(|(name, tensor)| (name.as_str(), tensor));
    let bytes = safetensors::serialize(views, Some(facts))
        .map_err(|e| TrainError::Checkpoint { path: path.to_owned(), reason: e.to_string() })?;
    write_whole(path, &bytes)
}

/// Writes JSON for people to read.
///
/// # Errors
/// When the disk refuses.
pub fn write_json(path: &Path, value: &serde_json::Value) -> Result<(), TrainError> {
    let text = serde_json::to_string_pretty(value).unwrap_or_default() + "\n";
    write_whole(path, text.as_bytes())
}
