//! From sampled answers to a loss and its gradients: what one micro-batch of GRPO does.
//!
//! `tests/grpo_gradients.rs` holds it against TRL and PyTorch, gradient by gradient.

use std::collections::BTreeMap;

use candle_core::{Result, Tensor, Var};
use qponder_shared::recipe::GrpoRecipe;

use super::policy::{PolicyLoss, PolicyStats, Tokens};
use super::rollout::Rollout;
use crate::generate::Generated;
use crate::qwen2_5_vl::Qwen2_5Vl;
use crate::train::answers::{Head, Packed, TokenLosses};
use crate::train::objective::gradients;

/// How a policy's answers are scored and learned from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Update {
    /// Logits are divided by it, as they were when the answers were sampled.
    pub temperature: f64,
    /// Answer tokens whose logits are in memory at once; 0 takes all.
    pub head_tokens: usize,
    /// Whether answers that were cut off teach nothing.
    pub mask_truncated: bool,
}

/// What is known of a rollout's answers besides their tokens. Log-probabilities are in nats, by answer and
/// token.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// One an answer.
    pub advantages: &'a [f64],
    /// Log-probabilities under the policy that sampled; `None` where that is the one in training.
    pub old: Option<&'a [Vec<f64>]>,
    /// Log-probabilities under the frozen policy, for the KL term.
    pub reference: Option<&'a [Vec<f64>]>,
}

/// What one rollout adds to an update.
#[derive(Clone, Debug, PartialEq)]
pub struct MicroBatch {
    pub stats: PolicyStats,
    /// Sum of the entropies, in nats, at the tokens that teach.
    pub entropy: f64,
    /// By parameter name.
    pub gradients: BTreeMap<String, Vec<f32>>,
}

impl Update {
    /// As the recipe says.
    #[must_use]
    pub fn new(recipe: &GrpoRecipe) -> Self {
        Self {
            temperature: recipe.rollout.temperature,
            head_tokens: recipe.train.head_tokens,
            mask_truncated: recipe.train.mask_truncated,
        }
    }

    /// Whether an answer teaches.
    #[must_use]
    pub fn counts(&self, answer: &Generated) -> bool {
        answer.end.is_some() || !self.mask_truncated
    }

    /// Log-probabilities of every answer's tokens, in nats, by answer and token.
    ///
    /// # Errors
    /// When the rollout does not fit the model.
    pub fn log_probabilities(&self, policy: &Qwen2_5Vl, rollout: &Rollout) -> Result<Vec<Vec<f64>>> {
        let images = images(policy, rollout)?.detach();
        log_probabilities(&self.losses(policy, rollout, &images, false)?.losses, &rollout.answers)
    }

    /// The policy loss of a rollout and its gradients by `variables`, the parameters of `policy` that are
    /// in training.
    ///
    /// # Errors
    /// When the rollout does not fit the model or what is known of it, or a parameter has no gradient.
    pub fn of(
        &self,
        policy: &Qwen2_5Vl,
        variables: &BTreeMap<String, Var>,
        rollout: &Rollout,
        known: Known<'_>,
        loss: &PolicyLoss,
    ) -> Result<MicroBatch> {
        let mut images = images(policy, rollout)?;
        if !variables.keys().any(|name| name.starts_with("visual.")) {
            images = images.detach();
        }
        let TokenLosses { losses, entropies } = self.losses(policy, rollout, &images, true)?;
        let new = log_probabilities(&losses, &rollout.answers)?;
        let Known { advantages, old, reference } = known;
        let old = old.unwrap_or(&new);
        known.check(&new)?;
        let answers: Vec<Tokens<'_>> = (0..new.len())
            .map(|i| Tokens {
                new: &new[i],
                old: &old[i],
                reference: reference.map_or(&[][..], |reference| &reference[i]),
                advantage: advantages[i],
                counts: self.counts(&rollout.answers[i]),
            })
            .collect();
        let (stats, slopes) = loss.of(&answers);
        let weights: Vec<f32> = slopes.iter().flatten().map(|slope| -slope as f32).collect();
        let weights = Tensor::from_vec(weights, losses.dims1()?, losses.device())?;
        let gradients = gradients(&(losses * weights)?.sum_all()?, variables)?;
        Ok(MicroBatch { stats, entropy: self.entropy(&entropies, &rollout.answers), gradients })
    }

    /// The losses of the tokens of a rollout's answers, given the image's embeddings.
    fn losses(
        &self,
        policy: &Qwen2_5Vl,
        rollout: &Rollout,
        images: &Tensor,
        entropy: bool,
    ) -> Result<TokenLosses> {
        let mut packed = Packed::default();
        let answers: Vec<Vec<u32>> = rollout.answers.iter().map(|answer| answer.tokens().collect()).collect();
        packed.push(&rollout.prompt, &answers, policy.config.image_token_id, 0);
        let head = Head { temperature: self.temperature, tokens: self.head_tokens, entropy };
        packed.losses(policy, images, head)
    }

    /// The sum of the entropies at the tokens of the answers that count.
    fn entropy(&self, entropies: &[f32], answers: &[Generated]) -> f64 {
        let own = by_answer(entropies, answers);
        let counted = own.zip(answers).filter(|(_, answer)| self.counts(answer));
        counted.flat_map(|(own, _)| own).copied().map(f64::from).sum()
    }
}

impl Known<'_> {
    /// Whether there is a number for every token of `new`, and an advantage for every answer.
    fn check(&self, new: &[Vec<f64>]) -> Result<()> {
        let lengths = |values: &[Vec<f64>]| values.iter().map(Vec::len).collect::<Vec<_>>();
        let expected = lengths(new);
        let fits = |values: Option<&[Vec<f64>]>| values.is_none_or(|values| lengths(values) == expected);
        if self.advantages.len() != new.len() || !fits(self.old) || !fits(self.reference) {
            candle_core::bail!(
                "answers of {expected:?} tokens need an advantage each, and log-probabilities of all tokens"
            );
        }
        Ok(())
    }
}

/// The image's embeddings, `(merged patches, hidden_size)`.
fn images(policy: &Qwen2_5Vl, rollout: &Rollout) -> Result<Tensor> {
    let (count, values) = (rollout.patches.count(), &rollout.patches.values);
    let patches = Tensor::from_slice(values, (count, values.len() / count.max(1)), policy.device())?;
    policy.vision.forward(&patches, &[rollout.patches.grid])
}

/// Log-probabilities from negative log-likelihoods, cut into answers.
fn log_probabilities(losses: &Tensor, answers: &[Generated]) -> Result<Vec<Vec<f64>>> {
    let losses: Vec<f32> = losses.detach().to_vec1()?;
    let negated = |own: &[f32]| own.iter().map(|loss| -f64::from(*loss)).collect();
    Ok(by_answer(&losses, answers).map(negated).collect())
}

/// Cuts one number a token into answers.
fn by_answer<'a>(mut rest: &'a [f32], answers: &'a [Generated]) -> impl Iterator<Item = &'a [f32]> {
    answers.iter().map(move |answer| {
        let (own, others) = rest.split_at(answer.length().min(rest.len()));
        rest = others;
        own
    })
}
