//! What computes.

use super::cpu::Cpu;
#[cfg(feature = "gpu")]
use super::gpu::Gpu;
use super::{EngineError, Prompt};
use crate::layout::Position;

/// The processor or a graphics card, each with the keys and values of one sequence.
#[derive(Debug)]
pub enum Backend {
    Cpu(Cpu),
    #[cfg(feature = "gpu")]
    Gpu(Box<Gpu>),
}

impl Backend {
    /// Forgets what was read before and reads a prompt, after which at most `room` tokens come. The logits of the
    /// token after it, `(vocabulary)`.
    #[cfg_attr(not(feature = "gpu"), expect(unused_variables, reason = "the processor needs no room"))]
    pub async fn prefill(&mut self, prompt: &Prompt, room: usize) -> Result<Vec<f32>, EngineError> {
        match self {
            Self::Cpu(cpu) => Ok(cpu.prefill(prompt)),
            #[cfg(feature = "gpu")]
            Self::Gpu(gpu) => gpu.prefill(prompt, room).await,
        }
    }

    /// Reads one more token. The logits of the token after it.
    pub async fn decode(&mut self, token: u32, position: Position) -> Result<Vec<f32>, EngineError> {
        match self {
            Self::Cpu(cpu) => Ok(cpu.decode(token, position)),
            #[cfg(feature = "gpu")]
            Self::Gpu(gpu) => gpu.decode(token, position).await,
        }
    }
}
