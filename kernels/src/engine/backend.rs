//! What computes.

use super::cpu::Cpu;
#[cfg(feature = "gpu")]
use super::gpu::Gpu;
use super::{EngineError, Prompt, Sampler};
use crate::layout::Position;

/// The processor or a graphics card, each with the keys and values of one sequence and the logits of the token
/// after it.
#[derive(Debug)]
pub enum Backend {
    Cpu(Box<Cpu>),
    #[cfg(feature = "gpu")]
    Gpu(Box<Gpu>),
}

impl Backend {
    /// Forgets what was read before and reads a prompt, after which at most `room` tokens come, chosen by
    /// `sampler`.
    pub async fn prefill(
        &mut self,
        prompt: &Prompt,
        room: usize,
        sampler: Sampler,
    ) -> Result<(), EngineError> {
        match self {
            Self::Cpu(cpu) => {
                cpu.prefill(prompt, room, sampler);
                Ok(())
            }
            #[cfg(feature = "gpu")]
            Self::Gpu(gpu) => gpu.prefill(prompt, room, sampler).await,
        }
    }

    /// Reads one more token.
    pub async fn decode(&mut self, token: u32, position: Position) -> Result<(), EngineError> {
        match self {
            Self::Cpu(cpu) => {
                cpu.decode(token, position);
                Ok(())
            }
            #[cfg(feature = "gpu")]
            Self::Gpu(gpu) => gpu.decode(token, position),
        }
    }

    /// The logits of the next token, `(vocabulary)`.
    pub async fn logits(&self) -> Result<Vec<f32>, EngineError> {
        match self {
            Self::Cpu(cpu) => Ok(cpu.logits().to_vec()),
            #[cfg(feature = "gpu")]
            Self::Gpu(gpu) => gpu.logits().await,
        }
    }

    /// The next token, which is all that comes back from a card.
    pub async fn next(&self) -> Result<u32, EngineError> {
        match self {
            Self::Cpu(cpu) => Ok(cpu.next()),
            #[cfg(feature = "gpu")]
            Self::Gpu(gpu) => gpu.next().await,
        }
    }
}
