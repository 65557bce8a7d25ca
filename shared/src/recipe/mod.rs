//! Recipes: the typed training configuration, one TOML file a run.
//!
//! Unknown keys are refused, and every range is checked before any long work begins.

mod grpo;
mod sft;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

pub use grpo::{GrpoRecipe, GrpoTrain, LossKind, RewardScale, Rewards, Rollout, ScoreReward};
pub use sft::{Objective, SftRecipe, Train};

/// Why a recipe cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RecipeError {
    #[error("{0}")]
    Syntax(String),
    #[error("{key} is {value}; {expected}")]
    Range { key: &'static str, value: String, expected: Cow<'static, str> },
}

/// A key, what it holds, and whether that is in its range.
struct Rule {
    key: &'static str,
    value: f64,
    holds: bool,
    expected: Cow<'static, str>,
}

impl Rule {
    fn new(key: &'static str, value: f64, holds: bool, expected: &'static str) -> Self {
        Self { key, value, holds, expected: expected.into() }
    }

    fn between(key: &'static str, value: f64, low: f64, high: f64) -> Self {
        let expected = format!("it must be between {low} and {high}").into();
        Self { key, value, holds: (low..=high).contains(&value), expected }
    }

    fn at_least_one(key: &'static str, value: usize) -> Self {
        Self::new(key, value as f64, value >= 1, "it must be at least 1")
    }

    fn rate(key: &'static str, value: f64) -> Self {
        Self::new(key, value, value > 0.0 && value <= 1.0, "it must be above 0 and at most 1")
    }
}

fn first_broken(rules: &[Rule]) -> Result<(), RecipeError> {
    rules.iter().find(|rule| !rule.holds).map_or(Ok(()), |rule| {
        let expected = rule.expected.clone();
        Err(RecipeError::Range { key: rule.key, value: rule.value.to_string(), expected })
    })
}

/// What to train on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// Manifests; their `train` rows are trained on, their `val` rows validate.
    pub manifests: Vec<String>,
    /// Mirror and turn images by quarter turns, eight ways.
    #[serde(default = "yes")]
    pub augment: bool,
}

fn yes() -> bool {
    true
}

impl Data {
    fn rule(&self) -> Rule {
        let count = self.manifests.len();
        Rule::new("data.manifests", count as f64, count > 0, "name at least one manifest")
    }
}

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

/// How progress is judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Validation {
    /// Steps between validations.
    pub every: usize,
    /// Validation images, spread evenly over the `val` rows; 0 validates on none.
    pub images: usize,
    /// Of these, how many are also assessed in reasoning mode, which takes longer.
    pub reasoning_images: usize,
}

impl Default for Validation {
    fn default() -> Self {
        Self { every: 200, images: 256, reasoning_images: 64 }
    }
}

impl Validation {
    fn rule(&self) -> Rule {
        Rule::at_least_one("validation.every", self.every)
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
    use super::{GrpoRecipe, Schedule, SftRecipe};

    #[test]
    fn the_recipes_that_ship_are_valid() {
        for text in [
            include_str!("../../../models/recipes/nano-tower.toml"),
            include_str!("../../../models/recipes/nano-ci.toml"),
        ] {
            SftRecipe::parse(text).expect("a recipe of the cold start");
        }
        GrpoRecipe::parse(include_str!("../../../models/recipes/nano-rl.toml")).expect("a recipe of GRPO");
    }

    #[test]
    fn the_rate_rises_then_falls_to_the_final_one() {
        let schedule = Schedule { learning_rate: 1.0, warmup: 10, final_rate: 0.1, steps: 100 };
        for (step, expected) in [(5, 0.5), (10, 1.0), (55, 0.55), (100, 0.1)] {
            assert!((schedule.at(step) - expected).abs() < 1e-9, "{step}");
        }
    }
}
