//! Recipes: the typed training configuration, one TOML file a run.
//!
//! Unknown keys are refused, and every range is checked before any long work begins.

mod distil;
mod grpo;
mod learning;
mod sft;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

pub use distil::{
    Ask, DistilData, DistilRecipe, EndpointRecipe, Filter, Filters, SpendLimits, TeacherPrompt,
};
pub use grpo::{GrpoRecipe, GrpoTrain, LossKind, RewardScale, Rewards, Rollout, ScoreReward};
pub use learning::{Learning, Optimiser, Part, Schedule};
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

fn first_broken(rules: impl IntoIterator<Item = Rule>) -> Result<(), RecipeError> {
    match rules.into_iter().find(|rule| !rule.holds) {
        Some(Rule { key, value, expected, .. }) => {
            Err(RecipeError::Range { key, value: value.to_string(), expected })
        }
        None => Ok(()),
    }
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

#[cfg(test)]
mod tests {
    use super::{DistilRecipe, GrpoRecipe, SftRecipe};

    #[test]
    fn the_recipes_that_ship_are_valid() {
        for text in [
            include_str!("../../../models/recipes/nano-tower.toml"),
            include_str!("../../../models/recipes/nano-ci.toml"),
        ] {
            SftRecipe::parse(text).expect("a recipe of the cold start");
        }
        GrpoRecipe::parse(include_str!("../../../models/recipes/nano-rl.toml")).expect("a recipe of GRPO");
        for text in [
            include_str!("../../../models/recipes/nano-distil.toml"),
            include_str!("../../../models/recipes/teacher-distil.toml"),
        ] {
            DistilRecipe::parse(text).expect("a recipe of distillation");
        }
    }
}
