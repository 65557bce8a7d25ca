//! Weights on the card, as they are stored.

use super::device::Card;
use super::kernels::Stored;
use crate::engine::EngineError;
use crate::engine::model::{self, Matrix, Model, Numbers};

/// A matrix `(outputs, inputs)` with what is added to its product.
#[derive(Debug)]
pub struct Linear {
    pub stored: Stored,
    pub outputs: usize,
    pub inputs: usize,
    pub numbers: wgpu::Buffer,
    /// Of quantised numbers.
    pub scales: Option<wgpu::Buffer>,
    pub bias: Option<wgpu::Buffer>,
}

impl Linear {
    /// Uploads a matrix.
    ///
    /// # Errors
    /// When the card has no room for it, or its rows are no multiple of four.
    pub fn new(card: &Card, matrix: &Matrix, bias: Option<&[f32]>) -> Result<Self, EngineError> {
        if !matrix.inputs.is_multiple_of(4) {
            return Err(EngineError::Gpu(format!(
                "a matrix has {} inputs, no multiple of four",
                matrix.inputs
            )));
        }
        let (numbers, scales) = match &matrix.numbers {
            Numbers::F32(numbers) => (card.upload(numbers)?, None),
            Numbers::F16(numbers) => (card.upload(numbers)?, None),
            Numbers::Q8 { quants, scales } => (card.upload(quants)?, Some(card.upload(scales)?)),
            Numbers::Q4 { quants, scales } => (card.upload(quants)?, Some(card.upload(scales)?)),
        };
        Ok(Self {
            stored: Stored::of(matrix),
            outputs: matrix.outputs,
            inputs: matrix.inputs,
            numbers,
            scales,
            bias: bias.map(|bias| card.upload(bias)).transpose()?,
        })
    }

    fn of(card: &Card, linear: &model::Linear) -> Result<Self, EngineError> {
        Self::new(card, &linear.weight, linear.bias.as_deref())
    }
}

/// One layer or block.
#[derive(Debug)]
pub struct Layer {
    pub attention_norm: wgpu::Buffer,
    pub q: Linear,
    pub k: Linear,
    pub v: Linear,
    pub out: Linear,
    pub feed_norm: wgpu::Buffer,
    pub gate: Linear,
    pub up: Linear,
    pub down: Linear,
}

impl Layer {
    fn new(card: &Card, layer: &model::Layer) -> Result<Self, EngineError> {
        Ok(Self {
            attention_norm: card.upload(&layer.attention_norm)?,
            q: Linear::of(card, &layer.q)?,
            k: Linear::of(card, &layer.k)?,
            v: Linear::of(card, &layer.v)?,
            out: Linear::of(card, &layer.out)?,
            feed_norm: card.upload(&layer.feed_norm)?,
            gate: Linear::of(card, &layer.gate)?,
            up: Linear::of(card, &layer.up)?,
            down: Linear::of(card, &layer.down)?,
        })
    }
}

/// All weights but the embedding, of which only rows are needed.
#[derive(Debug)]
pub struct Weights {
    pub patch: Linear,
    pub blocks: Vec<Layer>,
    pub merger_norm: wgpu::Buffer,
    pub merger_up: Linear,
    pub merger_down: Linear,
    pub layers: Vec<Layer>,
    pub norm: wgpu::Buffer,
    pub head: Linear,
    /// Stands where a kernel reads nothing.
    pub nothing: wgpu::Buffer,
}

impl Weights {
    /// Uploads a model.
    ///
    /// # Errors
    /// When the card has no room for it.
    pub fn new(card: &Card, model: &Model) -> Result<Self, EngineError> {
        let layers = |layers: &[model::Layer]| -> Result<Vec<Layer>, EngineError> {
            layers.iter().map(|layer| Layer::new(card, layer)).collect()
        };
        Ok(Self {
            patch: Linear::new(card, &model.patch, None)?,
            blocks: layers(&model.blocks)?,
            merger_norm: card.upload(&model.merger_norm)?,
            merger_up: Linear::of(card, &model.merger_up)?,
            merger_down: Linear::of(card, &model.merger_down)?,
            layers: layers(&model.layers)?,
            norm: card.upload(&model.norm)?,
            head: Linear::new(card, model.head(), None)?,
            nothing: card.storage(4)?,
        })
    }
}
