//! Where a training may write.

use std::path::Path;

use super::TrainError;
use crate::files::are_same;

/// Refuses to train over the base model, or over a model that no training into this directory made.
pub(super) fn check(out: &Path, base: &Path) -> Result<(), TrainError> {
    let refused = |reason| Err(TrainError::Destination { out: out.to_owned(), reason });
    if are_same(out, base) {
        return refused("is the base model itself, which would be lost");
    }
    if out.join("model.safetensors").exists() && !out.join("metrics.jsonl").exists() {
        return refused("holds a model that was not trained there and would be lost");
    }
    Ok(())
}
