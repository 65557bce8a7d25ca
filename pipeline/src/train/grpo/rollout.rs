//! A prompt and the answers that a policy gave to it.

use candle_core::Result;
use qponder_kernels::pixels::Patches;
use qponder_shared::api::Sampling;
use qponder_shared::recipe;

use crate::generate::{Flow, Generated, generate_from};
use crate::qwen2_5_vl::{Inputs, Qwen2_5Vl};

/// A group of answers to one image.
pub struct Rollout {
    pub patches: Patches,
    /// The prompt, without the patches.
    pub prompt: Inputs,
    pub answers: Vec<Generated>,
}

impl Rollout {
    /// Samples one answer for each seed. The image is looked at and the prompt read once for all of them.
    ///
    /// `prompt` holds no patches; an answer ends at any of the tokens `ends`.
    ///
    /// # Errors
    /// When the image does not fit the prompt.
    pub fn sample(
        policy: &Qwen2_5Vl,
        prompt: Inputs,
        patches: Patches,
        settings: &recipe::Rollout,
        seeds: &[u64],
        ends: &[u32],
    ) -> Result<Self> {
        let samplings: Vec<Sampling> = seeds
            .iter()
            .map(|&seed| Sampling {
                temperature: settings.temperature,
                top_p: settings.top_p,
                top_k: settings.top_k,
                max_new_tokens: settings.max_new_tokens,
                seed,
                ..Sampling::default()
            })
            .collect();
        let seen = Inputs { patches: patches.values.clone(), ..prompt.clone() };
        let embeddings = policy.embed(&seen)?.detach();
        let answers =
            generate_from(policy, &embeddings, &prompt, &samplings, ends, &mut |_, _| Flow::Continue)?;
        Ok(Self { patches, prompt, answers })
    }
}
