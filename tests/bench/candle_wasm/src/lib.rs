//! The server's own model code on candle, in WebAssembly.
#![allow(dead_code, unused_imports, reason = "whole modules of the pipeline are included for a part of each")]

#[path = "../../../../pipeline/src/generate.rs"]
mod generate;
#[path = "../../../../pipeline/src/ops/mod.rs"]
mod ops;
#[path = "../../../../pipeline/src/qwen2_5_vl/mod.rs"]
mod qwen2_5_vl;

/// What the included modules name of the pipeline's.
#[path = "../../../../pipeline/src/degrade/rng.rs"]
mod rng;
mod degrade {
    pub(crate) use super::rng::Rng;
}
mod device {
    #[derive(Debug, thiserror::Error)]
    #[error("there is only the processor here")]
    pub struct DeviceError;
}

use candle_core::{DType, Device};
use generate::{Flow, generate};
use qponder_shared::api::Sampling;
use qwen2_5_vl::{Config, Inputs, Qwen2_5Vl, Weights};
use wasm_bindgen::prelude::wasm_bindgen;

/// A model over a checkpoint, in f32.
#[wasm_bindgen]
pub struct Model(Qwen2_5Vl);

#[wasm_bindgen]
impl Model {
    /// From the texts of `config.json` and `model.safetensors`.
    #[wasm_bindgen(constructor)]
    pub fn new(config: &str, weights: &[u8]) -> Result<Model, String> {
        let tensors = candle_core::safetensors::load_buffer(weights, &Device::Cpu).map_err(text)?;
        let tensors = tensors.into_iter().map(|(name, tensor)| Ok((name, tensor.to_dtype(DType::F32)?)));
        let tensors = tensors.collect::<candle_core::Result<_>>().map_err(text)?;
        let config = Config::parse(config)?;
        Ok(Self(Qwen2_5Vl::new(config, &Weights::new(tensors), &Device::Cpu).map_err(text)?))
    }

    /// The logits of the first token of an answer.
    pub fn logits(
        &self,
        ids: &[u32],
        positions: &[u32],
        patches: &[f32],
        grid: &[u32],
    ) -> Result<Vec<f32>, String> {
        let inputs = inputs(ids, positions, patches, grid);
        let logits = |hidden: candle_core::Tensor| {
            let last = hidden.narrow(0, ids.len() - 1, 1)?;
            self.0.text.logits(&last)?.flatten_all()?.to_vec1()
        };
        self.0.forward(&inputs).and_then(logits).map_err(text)
    }

    /// The tokens of an answer, each the likeliest.
    pub fn answer(
        &self,
        ids: &[u32],
        positions: &[u32],
        patches: &[f32],
        grid: &[u32],
        ends: &[u32],
        limit: usize,
    ) -> Result<Vec<u32>, String> {
        let sampling = Sampling { temperature: 0.0, max_new_tokens: limit, ..Sampling::default() };
        let inputs = inputs(ids, positions, patches, grid);
        let answers = generate(&self.0, &inputs, &[sampling], ends, &mut |_, _| Flow::Continue);
        Ok(answers.map_err(text)?.remove(0).tokens().collect())
    }
}

/// `positions` is `(tokens, 3)`.
fn inputs(ids: &[u32], positions: &[u32], patches: &[f32], grid: &[u32]) -> Inputs {
    Inputs {
        ids: ids.to_vec(),
        lengths: vec![ids.len()],
        positions: positions.as_chunks::<3>().0.to_vec(),
        patches: patches.to_vec(),
        grids: vec![[grid[0] as usize, grid[1] as usize, grid[2] as usize]],
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
