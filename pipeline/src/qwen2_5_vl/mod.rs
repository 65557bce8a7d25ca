//! Qwen2.5-VL, read from a Hugging Face checkpoint directory.
//!
//! The same code runs the published 3B and 7B checkpoints and nano. Numbers are compared with
//! transformers in `tests/tests/parity.rs`.

mod config;
mod layer;
mod linear;
mod sequences;
mod text;
mod vision;
mod weights;

use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Result, Tensor};
use rayon::prelude::*;

pub use config::{Config, TextConfig, VisionConfig};
pub use linear::{Adaptation, Dropout};
pub use qponder_kernels::layout::Position;
pub use sequences::Sequences;
pub use text::{Continuation, KvCache, TextModel};
pub use vision::VisionTower;
pub use weights::Weights;
pub(crate) use weights::published_name;

use crate::device::DeviceError;
use crate::ops;

/// Why a checkpoint directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("{dir} is no model directory: it does not exist")]
    NoDirectory { dir: PathBuf },
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path}: {reason}")]
    Config { path: PathBuf, reason: String },
    #[error("{dir} holds neither model.safetensors nor model.safetensors.index.json")]
    NoWeights { dir: PathBuf },
    #[error("{path} is damaged or no safetensors file: {reason}")]
    Weights { path: PathBuf, reason: String },
    #[error("the checkpoint has no tensor {name}")]
    MissingTensor { name: String },
    #[error("tensor {name} has shape {found}, but config.json asks for {expected}")]
    TensorShape { name: String, expected: String, found: String },
    #[error("{path}: {reason}")]
    Tokenizer { path: PathBuf, reason: String },
    #[error(transparent)]
    Device(#[from] DeviceError),
    #[error("the model cannot run: {0}")]
    Tensor(#[from] candle_core::Error),
}

/// One or more prompts, packed one after the other.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// Token ids of all prompts.
    pub ids: Vec<u32>,
    /// Tokens in each prompt.
    pub lengths: Vec<usize>,
    /// M-RoPE positions of all tokens.
    pub positions: Vec<Position>,
    /// Patches of all images in order of appearance, row by row.
    pub patches: Vec<f32>,
    /// Patches of each image in time, height and width.
    pub grids: Vec<[usize; 3]>,
}

impl Inputs {
    /// Appends words to the last prompt.
    pub fn say(&mut self, ids: &[u32]) {
        let Some(length) = self.lengths.last_mut() else { return };
        let own = &self.positions[self.positions.len() - *length..];
        let next = own.iter().flatten().max().map_or(0, |p| p + 1);
        *length += ids.len();
        self.positions.extend((0..ids.len()).map(|i| [next + i as u32; 3]));
        self.ids.extend(ids);
    }

    /// Appends another batch.
    pub fn extend(&mut self, other: Inputs) {
        self.ids.extend(other.ids);
        self.lengths.extend(other.lengths);
        self.positions.extend(other.positions);
        self.patches.extend(other.patches);
        self.grids.extend(other.grids);
    }
}

/// The whole model.
pub struct Qwen2_5Vl {
    pub config: Config,
    pub vision: VisionTower,
    pub text: TextModel,
    device: Device,
}

impl Qwen2_5Vl {
    /// Builds the model over weights; the tensors are shared, so variables stay variables.
    ///
    /// # Errors
    /// Names the first tensor that is missing or has another shape.
    pub fn new(config: Config, weights: &Weights, device: &Device) -> std::result::Result<Self, LoadError> {
        let vision = VisionTower::load(weights, &config.vision)?;
        let text = TextModel::load(weights, &config.text, config.tie_word_embeddings)?;
        Ok(Self { config, vision, text, device: device.clone() })
    }

    /// Reads a checkpoint directory; all weights become f32 on the CPU and bf16 elsewhere.
    ///
    /// # Errors
    /// When the directory is missing, incomplete or damaged.
    pub fn read(dir: &Path, device: &Device) -> std::result::Result<Self, LoadError> {
        if !dir.is_dir() {
            return Err(LoadError::NoDirectory { dir: dir.to_owned() });
        }
        let config = Config::read(dir)?;
        let dtype = if device.is_cpu() { DType::F32 } else { DType::BF16 };
        let weights = Weights::read(dir, dtype, device)?;
        Self::new(config, &weights, device)
    }

    /// With `recompute`, training keeps only what goes into each layer and makes the rest again in the
    /// backward pass: far less memory for a third more work. The numbers are the same.
    #[must_use]
    pub fn with_recompute(mut self, recompute: bool) -> Self {
        self.vision.recompute = recompute;
        self.text.recompute = recompute;
        self
    }

    /// Computes activations in `dtype`, whatever the weights are; without this in that of the weights.
    #[must_use]
    pub fn with_dtype(mut self, dtype: DType) -> Self {
        self.vision.dtype = dtype;
        self.text.dtype = dtype;
        self
    }

    /// The same model over other weights.
    ///
    /// # Errors
    /// Names the first tensor that is missing or has another shape.
    pub fn over(&self, weights: &Weights) -> std::result::Result<Self, LoadError> {
        let model = Self::new(self.config.clone(), weights, &self.device)?;
        Ok(model.with_dtype(self.text.dtype).with_recompute(self.text.recompute))
    }

    /// Where the weights are.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Embeddings of all images, one after the other, `(merged patches, hidden_size)`. Where
    /// there is one for each thread of the CPU, threads take whole images: the tower's many small operations gain little from being split.
    fn images(&self, inputs: &Inputs) -> Result<Tensor> {
        let counts: Vec<usize> = inputs.grids.iter().map(|grid| grid.iter().product()).collect();
        let length = inputs.patches.len() / counts.iter().sum::<usize>().max(1);
        let embed = |patches: &[f32], grids: &[[usize; 3]]| {
            let shape = (patches.len() / length.max(1), length);
            self.vision.forward(&Tensor::from_slice(patches, shape, &self.device)?, grids)
        };
        if !self.device.is_cpu() || counts.len() < rayon::current_num_threads().max(2) {
            return embed(&inputs.patches, &inputs.grids);
        }
        let mut rest = inputs.patches.as_slice();
        let mut parts = Vec::with_capacity(counts.len());
        for (count, grid) in counts.iter().zip(&inputs.grids) {
            let Some((own, others)) = rest.split_at_checked(count * length) else {
                candle_core::bail!("{} patch values are too few for the grids", inputs.patches.len())
            };
            parts.push((own, grid));
            rest = others;
        }
        let images: Vec<Tensor> = parts
            .into_par_iter()
            .map(|(patches, grid)| ops::serially(|| embed(patches, &[*grid])))
            .collect::<Result<_>>()?;
        Tensor::cat(&images, 0)
    }

    /// Token embeddings with the images' embeddings at the image tokens, `(tokens, hidden_size)`.
    ///
    /// # Errors
    /// When the number of image tokens does not fit the images.
    pub fn embed(&self, inputs: &Inputs) -> Result<Tensor> {
        let words = self.text.embed(&inputs.ids)?;
        if inputs.grids.is_empty() {
            return Ok(words);
        }
        let images = self.images(inputs)?;
        let (tokens, available) = (inputs.ids.len() as u32, images.dim(0)? as u32);
        let mut next = 0;
        let pick = |(index, &id): (usize, &u32)| {
            if id == self.config.image_token_id {
                next += 1;
                tokens + next - 1
            } else {
                index as u32
            }
        };
        let sources: Vec<u32> = inputs.ids.iter().enumerate().map(pick).collect();
        if next != available {
            candle_core::bail!("the prompts have {next} image tokens, but the images need {available}");
        }
        ops::rows(&Tensor::cat(&[&words, &images], 0)?, &sources)
    }

    /// Hidden states of all tokens after the last norm, `(tokens, hidden_size)`.
    ///
    /// # Errors
    /// When the parts of the inputs do not fit each other.
    pub fn forward(&self, inputs: &Inputs) -> Result<Tensor> {
        self.text.forward(&self.embed(inputs)?, &inputs.positions, &Sequences::separate(&inputs.lengths))
    }
}
