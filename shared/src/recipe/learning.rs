//! What every kind of training sets alike: the parts that change, and how fast.

use serde::{Deserialize, Serialize};

use super::Rule;

/// A part of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    Vision,
    Merger,
    Language,
}

/// How matrices are updated; everything that is no matrix is always updated by AdamW.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Optimiser {
    #[default]
    Adamw,
    /// Orthogonalised momentum (Jordan et al., 2024), scaled to AdamW's update size.
    Muon,
}

/// What activations and frozen weights are computed in. Weights in training, gradients and moments are f32
/// either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    #[default]
    F32,
    /// Half the memory; fast on GPUs, and very slow on CPUs.
    Bf16,
}

/// The settings that every `[train]` section has.
#[derive(Clone, Debug, PartialEq)]
pub struct Learning {
    /// Parts that change; the others are frozen and cost no gradient.
    pub parts: Vec<Part>,
    pub optimiser: Optimiser,
    pub steps: usize,
    pub learning_rate: f64,
    /// The vision tower's learning rate as a multiple of the others'.
    pub vision_rate: f64,
    /// Steps over which the rate rises from 0; then it falls along a cosine.
    pub warmup: usize,
    /// Where the cosine ends, as a multiple of the learning rate.
    pub final_rate: f64,
    pub weight_decay: f64,
    /// Largest norm of the gradient.
    pub clip: f64,
    pub seed: u64,
    /// 0 uses every core.
    pub threads: usize,
    /// Steps between checkpoints.
    pub checkpoint_every: usize,
    pub precision: Precision,
}

impl Learning {
    /// The learning rate over the run.
    #[must_use]
    pub fn schedule(&self) -> Schedule {
        let Self { learning_rate, warmup, final_rate, steps, .. } = *self;
        Schedule { learning_rate, warmup, final_rate, steps }
    }

    pub(super) fn rules(&self) -> Vec<Rule> {
        vec![
            Rule::new(
                "train.parts",
                self.parts.len() as f64,
                !self.parts.is_empty(),
                "name at least one of vision, merger, language",
            ),
            Rule::at_least_one("train.steps", self.steps),
            Rule::rate("train.learning_rate", self.learning_rate),
            Rule::between("train.vision_rate", self.vision_rate, 0.0, 10.0),
            Rule::new(
                "train.warmup",
                self.warmup as f64,
                self.warmup <= self.steps,
                "it must be at most train.steps",
            ),
            Rule::between("train.final_rate", self.final_rate, 0.0, 1.0),
            Rule::between("train.weight_decay", self.weight_decay, 0.0, 1.0),
            Rule::new(
                "train.clip",
                self.clip,
                self.clip > 0.0 && self.clip.is_finite(),
                "it must be a number above 0",
            ),
            Rule::at_least_one("train.checkpoint_every", self.checkpoint_every),
        ]
    }
}

/// A learning rate that rises from 0 and then falls along half a cosine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    pub learning_rate: f64,
    /// Steps over which it rises.
    pub warmup: usize,
    /// Where it ends, as a multiple of `learning_rate`.
    pub final_rate: f64,
    pub steps: usize,
}

impl Schedule {
    /// The learning rate of a step that counts from 1.
    #[must_use]
    pub fn at(&self, step: usize) -> f64 {
        if step <= self.warmup {
            return self.learning_rate * step as f64 / self.warmup as f64;
        }
        let progress = (step - self.warmup) as f64 / (self.steps - self.warmup).max(1) as f64;
        let cosine = 0.5 * (1.0 + (std::f64::consts::PI * progress).cos());
        self.learning_rate * (self.final_rate + (1.0 - self.final_rate) * cosine)
    }
}

#[cfg(test)]
mod tests {
    use super::Schedule;

    #[test]
    fn the_rate_rises_then_falls_to_the_final_one() {
        let schedule = Schedule { learning_rate: 1.0, warmup: 10, final_rate: 0.1, steps: 100 };
        for (step, expected) in [(5, 0.5), (10, 1.0), (55, 0.55), (100, 0.1)] {
            assert!((schedule.at(step) - expected).abs() < 1e-9, "{step}");
        }
    }
}
