//! Q-Ponder without a server: the whole of Qwen2.5-VL from two GGUF files, natively and in a browser.
//!
//! The files hold all that an answer needs, the prompts' token ids included, so no tokenizer runs here.

mod backend;
pub mod cpu;
#[cfg(feature = "gpu")]
pub mod gpu;
mod instructions;
pub mod model;
mod random;
mod sample;
mod vocabulary;

use std::sync::Arc;

use backend::Backend;
use cpu::Cpu;
pub use instructions::{Instructions, Task, Words};
use model::Model;
pub use random::Random;
pub use sample::Sampler;
pub use vocabulary::{Decoder, Vocabulary};

use crate::gguf::{Gguf, GgufError};
use crate::layout::Position;
use crate::pixels::{PatchError, RgbImage};

/// The vision tower's epsilon, which no configuration states.
pub const VISION_EPS: f32 = 1e-6;

/// Why the engine does not answer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum EngineError {
    #[error(transparent)]
    Gguf(#[from] GgufError),
    #[error("the model cannot be used: {0}")]
    Model(String),
    #[error(transparent)]
    Patches(#[from] PatchError),
    #[error("the image and its prompt are {tokens} tokens, and the model takes {context}")]
    TooLong { tokens: usize, context: usize },
    #[error("the graphics card cannot run the model: {0}")]
    Gpu(String),
}

/// A prompt around one image, ready for a backend.
#[derive(Clone, Debug, PartialEq)]
pub struct Prompt {
    /// Token ids; the image's tokens stand where its embeddings go.
    pub ids: Vec<u32>,
    pub image_token: u32,
    pub positions: Vec<Position>,
    /// `(patches, 3 * patch_size * patch_size)` in the image processor's order.
    pub patches: Vec<f32>,
    /// Patches in time, height and width.
    pub grid: [usize; 3],
}

/// What an explanation became.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    pub text: String,
    pub new_tokens: usize,
    /// Whether the model ended it, rather than the caller or the limit.
    pub is_complete: bool,
}

/// A model that answers.
#[derive(Debug)]
pub struct Engine {
    model: Arc<Model>,
    instructions: Instructions,
    vocabulary: Vocabulary,
    backend: Backend,
}

impl Engine {
    /// Reads the file of the language model and that of the vision tower.
    ///
    /// # Errors
    /// Says what is damaged, missing or of another model.
    pub fn read(text: &[u8], vision: &[u8]) -> Result<Self, EngineError> {
        let (text, vision) = (Gguf::parse(text)?, Gguf::parse(vision)?);
        let model = Arc::new(Model::read(&text, &vision)?);
        let instructions = Instructions::read(&text, &model)?;
        let vocabulary = Vocabulary::read(&text)?;
        let backend = Backend::Cpu(Box::new(Cpu::new(model.clone())));
        Ok(Self { backend, model, instructions, vocabulary })
    }

    /// Computes on the graphics card from now on; its name.
    ///
    /// # Errors
    /// When there is none, or it has no room for the model: then it stays as it was.
    #[cfg(feature = "gpu")]
    pub async fn use_gpu(&mut self) -> Result<String, EngineError> {
        let gpu = gpu::Gpu::new(self.model.clone()).await?;
        let name = gpu.adapter().to_owned();
        self.backend = Backend::Gpu(Box::new(gpu));
        Ok(name)
    }

    /// Computes on the processor from now on.
    pub fn use_cpu(&mut self) {
        self.backend = Backend::Cpu(Box::new(Cpu::new(self.model.clone())));
    }

    /// Gives the graphics card up as if it were lost, if that is what computes.
    #[cfg(feature = "gpu")]
    pub fn lose_gpu(&self) {
        if let Backend::Gpu(gpu) = &self.backend {
            gpu.destroy();
        }
    }

    /// The weights.
    #[must_use]
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// Prompts and image settings.
    #[must_use]
    pub fn instructions(&self) -> &Instructions {
        &self.instructions
    }

    /// Probabilities of bad to excellent for an image, from one forward pass.
    ///
    /// # Errors
    /// When the image does not fit the model, or the graphics card is lost.
    pub async fn score(&mut self, image: &RgbImage) -> Result<[f64; 5], EngineError> {
        let prompt = self.instructions.prompt(Task::Quick, image, &self.model)?;
        self.backend.prefill(&prompt, 0, Sampler::greedy()).await?;
        Ok(self.instructions.level_probabilities(&self.backend.logits().await?))
    }

    /// The reasoning and the score in words. `on_text` gets the text as it is written, and ends the answer
    /// with `false`.
    ///
    /// # Errors
    /// When the image does not fit the model, or the graphics card is lost.
    pub async fn explain(
        &mut self,
        image: &RgbImage,
        sampler: Sampler,
        most_tokens: usize,
        mut on_text: impl AsyncFnMut(&str) -> bool,
    ) -> Result<Explanation, EngineError> {
        let prompt = self.instructions.prompt(Task::Reason, image, &self.model)?;
        let most_tokens = most_tokens.min(self.model.text.context - prompt.ids.len());
        let mut next = prompt.positions.iter().flatten().max().map_or(0, |position| position + 1);
        self.backend.prefill(&prompt, most_tokens, sampler).await?;
        let mut decoder = Decoder::default();
        let mut answer = Explanation { text: String::new(), new_tokens: 0, is_complete: false };
        while answer.new_tokens < most_tokens {
            let token = self.backend.next().await?;
            answer.new_tokens += 1;
            if self.instructions.ends.contains(&token) {
                answer.is_complete = true;
                break;
            }
            let text = decoder.push(self.vocabulary.bytes(token));
            answer.text.push_str(&text);
            answer.is_complete = answer.text.contains(&self.instructions.end_of_answer);
            if !on_text(&text).await || answer.is_complete {
                break;
            }
            self.backend.decode(token, [next; 3]).await?;
            next += 1;
        }
        Ok(answer)
    }
}
