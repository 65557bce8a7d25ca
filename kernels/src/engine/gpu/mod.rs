//! The model on a graphics card, through WebGPU: Vulkan, Metal or DX12 natively, the browser's own in WebAssembly.
//!
//! Weights go up once, as they are stored. A *plan* lists what is run, in order, with everything bound: one for
//! prompts of a shape, one for a single token. Running a plan allocates nothing. Rotation angles, embeddings of words
//! and the windows' order are made on the processor, where they cost nothing.

#[cfg(any(test, feature = "web"))]
pub(crate) mod check;
mod device;
mod kernels;
mod memory;
mod plan;
mod prefill;
#[cfg(test)]
mod tests;
mod weights;

use std::sync::Arc;

use device::{Card, Extras};
use kernels::Kernels;
use memory::Memory;
use plan::Plan;
use weights::Weights;

use super::model::Model;
use super::{EngineError, Prompt, Sampler};
use crate::layout::{self, Position};

/// A model on a graphics card, with the keys and values of one sequence.
#[derive(Debug)]
pub struct Gpu {
    model: Arc<Model>,
    card: Card,
    kernels: Kernels,
    weights: Weights,
    memory: Memory,
    /// For prompts of the grid and the number of tokens.
    prefill: Option<([usize; 3], usize, Plan)>,
    /// For one token.
    decode: Plan,
    sampler: Sampler,
    /// Tokens in the cache.
    tokens: usize,
    /// Of each frequency, see [`layout::text_frequencies`].
    frequencies: Vec<(usize, f32)>,
    /// What is uploaded for a token: its embedding, and how its heads turn.
    embedded: Vec<f32>,
    turns: Vec<f32>,
}

impl Gpu {
    /// Opens the card that the system prefers and uploads the weights.
    ///
    /// # Errors
    /// When there is none, or the model does not fit it.
    pub async fn new(model: Arc<Model>) -> Result<Self, EngineError> {
        Self::with(model, None).await
    }

    /// As [`Self::new`], with named extras.
    async fn with(model: Arc<Model>, wanted: Option<Extras>) -> Result<Self, EngineError> {
        let card = Card::open(wanted).await?;
        let scope = card.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let kernels = Kernels::new(&card, &model);
        let weights = Weights::new(&card, &model)?;
        let memory = Memory::new(&card, &model, 64, 64)?;
        let decode = plan::decode(&card, &kernels, &weights, &memory, &model);
        if let Some(error) = scope.pop().await {
            return Err(EngineError::Gpu(format!("its memory does not hold the model ({error})")));
        }
        card.check()?;
        let text = &model.text;
        Ok(Self {
            frequencies: layout::text_frequencies(text.sections, text.head_dim() / 2, text.theta),
            embedded: vec![0.0; text.hidden],
            turns: Vec::new(),
            card,
            kernels,
            weights,
            memory,
            prefill: None,
            decode,
            sampler: Sampler::greedy(),
            tokens: 0,
            model,
        })
    }

    /// The card's name and how it is reached.
    #[must_use]
    pub fn adapter(&self) -> &str {
        &self.card.name
    }

    /// Whether the device is gone: then nothing can be computed on it any more.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.card.check().is_err()
    }

    /// Gives the device up, as if it were lost.
    pub fn destroy(&self) {
        self.card.device.destroy();
    }

    /// Forgets what was read before and reads a prompt, after which at most `room` tokens come, chosen by
    /// `sampler`.
    ///
    /// # Errors
    /// When the device is lost or its memory is too small.
    pub async fn prefill(
        &mut self,
        prompt: &Prompt,
        room: usize,
        sampler: Sampler,
    ) -> Result<(), EngineError> {
        self.card.check()?;
        let (patches, tokens) = (prompt.grid.iter().product::<usize>(), prompt.ids.len());
        let scope = self.card.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        if !self.memory.holds(patches, tokens + room) {
            self.memory = Memory::new(&self.card, &self.model, patches, tokens + room)?;
            self.prefill = None;
            self.decode = plan::decode(&self.card, &self.kernels, &self.weights, &self.memory, &self.model);
        }
        let plan = match self.prefill.take() {
            Some((grid, count, plan)) if (grid, count) == (prompt.grid, tokens) => plan,
            _ => prefill::plan(&self.card, &self.kernels, &self.weights, &self.memory, &self.model, prompt),
        };
        prefill::upload(&self.card, &self.memory, &self.model, prompt, sampler);
        self.card.run(&plan);
        if let Some(error) = scope.pop().await {
            return Err(EngineError::Gpu(format!("its memory is too small for this image ({error})")));
        }
        self.prefill = Some((prompt.grid, tokens, plan));
        (self.sampler, self.tokens) = (sampler, tokens);
        Ok(())
    }

    /// The logits of the next token, `(vocabulary)`.
    ///
    /// # Errors
    /// When the device is lost.
    pub async fn logits(&self) -> Result<Vec<f32>, EngineError> {
        self.card.read(&self.memory.logits, &self.memory.readback, self.model.text.vocabulary).await
    }

    /// The next token.
    ///
    /// # Errors
    /// When the device is lost.
    pub async fn next(&self) -> Result<u32, EngineError> {
        Ok(self.card.read(&self.memory.next, &self.memory.readback, 1).await?[0])
    }

    /// Reads one more token.
    ///
    /// # Errors
    /// When the device is lost, or there is no room for more tokens.
    pub fn decode(&mut self, token: u32, position: Position) -> Result<(), EngineError> {
        self.card.check()?;
        if self.tokens >= self.memory.tokens {
            return Err(EngineError::Gpu(format!("there is room for {} tokens only", self.memory.tokens)));
        }
        self.model.embedding.row(token as usize, &mut self.embedded);
        self.turns.clear();
        self.turns.extend(memory::turns(layout::angles(&[position], &self.frequencies)));
        self.card.write(&self.memory.x, &self.embedded);
        self.card.write(&self.memory.turns, &self.turns);
        let [seed, temperature] = self.sampler.words();
        self.card
            .write(&self.memory.progress, &[self.tokens as u32, self.tokens as u32 + 1, seed, temperature]);
        self.card.run(&self.decode);
        self.tokens += 1;
        Ok(())
    }
}
