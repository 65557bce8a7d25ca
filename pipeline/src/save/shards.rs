//! A model's weights in one file, or in several with an index, as transformers names them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use candle_core::Tensor;

use super::{Layout, write_json, write_tensors};
use crate::train::TrainError;

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

type Tensors<'a> = BTreeMap<&'a String, &'a Tensor>;

/// Fills files one after the other in the order of the names.
fn plan<'a>(tensors: &Tensors<'a>, layout: Layout) -> (Vec<Tensors<'a>>, u64) {
    let mut shards = vec![Tensors::new()];
    let (mut filled, mut total) = (0, 0);
    for (name, tensor) in tensors {
        let bytes = (tensor.elem_count() * layout.precision.dtype().size_in_bytes()) as u64;
        if filled > 0 && filled + bytes > layout.shard_bytes {
            shards.push(Tensors::new());
            filled = 0;
        }
        filled += bytes;
        total += bytes;
        if let Some(shard) = shards.last_mut() {
            shard.insert(name, tensor);
        }
    }
    (shards, total)
}

/// Writes the weights; whatever a directory held of the other kind is removed last, so that a crash
/// leaves a model that can be read.
pub fn write(dir: &Path, tensors: &Tensors<'_>, layout: Layout) -> Result<(), TrainError> {
    let (shards, total) = plan(tensors, layout);
    if let [all] = shards.as_slice() {
        write_tensors(&dir.join(SINGLE), all, layout.precision)?;
        return remove(&dir.join(INDEX));
    }
    let mut weight_map = BTreeMap::new();
    for (index, shard) in shards.iter().enumerate() {
        let file = format!("model-{:05}-of-{:05}.safetensors", index + 1, shards.len());
        write_tensors(&dir.join(&file), shard, layout.precision)?;
        weight_map.extend(shard.keys().map(|name| (*name, file.clone())));
    }
    let index = serde_json::json!({ "metadata": { "total_size": total }, "weight_map": weight_map });
    write_json(&dir.join(INDEX), &index)?;
    remove(&dir.join(SINGLE))
}

fn remove(path: &Path) -> Result<(), TrainError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(TrainError::Io { path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}
