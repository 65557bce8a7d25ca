//! Prompts and the answers that a policy gives to them.

use qponder_kernels::pixels::Patches;
use qponder_shared::api::Sampling;
use qponder_shared::recipe;

use crate::generate::{Flow, GenerateError, Generated, generate};
use crate::qwen2_5_vl::{Inputs, Qwen2_5Vl};

/// Patches of the images that a GPU answers together, unless a single one has more: the layers of a token of
/// decoding take about as long for many answers as for a few, and what whole images' blocks keep has to fit.
pub(in crate::train) const PATCHES_TOGETHER: usize = 8192;

/// What a policy is asked about one image.
pub struct Question {
    pub patches: Patches,
    /// The prompt, without the patches.
    pub prompt: Inputs,
    /// One for each answer that is wanted.
    pub seeds: Vec<u64>,
}

/// A group of answers to one image.
pub struct Rollout {
    pub patches: Patches,
    /// The prompt, without the patches.
    pub prompt: Inputs,
    pub answers: Vec<Generated>,
}

impl Rollout {
    /// Number of tokens of every answer and its prompt, the image's among them.
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.answers.iter().map(|answer| self.prompt.ids.len() + answer.length()).sum()
    }
}

/// Samples answers to some questions, all of which want equally many, together. A prompt and its image are
/// computed once.
///
/// An answer ends at any of the tokens `ends`.
///
/// # Errors
/// When an image does not fit its prompt, one question wants more answers than another, or the policy computes no
/// numbers.
pub fn sample(
    policy: &Qwen2_5Vl,
    questions: &[Question],
    settings: &recipe::Rollout,
    ends: &[u32],
) -> Result<Vec<Vec<Generated>>, GenerateError> {
    let group = questions.first().map_or(1, |question| question.seeds.len()).max(1);
    if questions.iter().any(|question| question.seeds.len() != group) {
        let error = candle_core::Error::msg("questions that are asked together want equally many answers");
        return Err(error.into());
    }
    let (mut inputs, mut samplings) = (Inputs::default(), Vec::new());
    for question in questions {
        inputs.extend(Inputs { patches: question.patches.values.clone(), ..question.prompt.clone() });
        samplings.extend(question.seeds.iter().map(|&seed| Sampling {
            temperature: settings.temperature,
            top_p: settings.top_p,
            top_k: settings.top_k,
            max_new_tokens: settings.max_new_tokens,
            seed,
            ..Sampling::default()
        }));
    }
    let mut answers = generate(policy, &inputs, &samplings, ends, &mut |_, _| Flow::Continue)?.into_iter();
    Ok(questions.iter().map(|_| answers.by_ref().take(group).collect()).collect())
}
