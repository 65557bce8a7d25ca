//! Assessing a batch: which models answer about which images.

use serde::{Deserialize, Serialize};

use super::{RecipeError, Rule, first_broken};
use crate::api::{Mode, Sampling};
use crate::manifest::Split;

/// Models on images, labelled or not, as `qponder assess run` asks them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AssessRecipe {
    /// Checkpoint directories; each answers about every image.
    pub models: Vec<String>,
    /// Directory that gets the answers.
    pub out: String,
    pub data: AssessData,
    #[serde(default)]
    pub answer: AnswerSettings,
}

/// Which images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AssessData {
    /// Manifests of images; their labels are not looked at.
    pub manifests: Vec<String>,
    /// Which of their rows; without it all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<Split>,
    /// At most so many images, spread evenly over the manifests; without it all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// How the models are asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AnswerSettings {
    pub mode: Mode,
    /// 0 takes the most likely token.
    pub temperature: f64,
    /// Keep the smallest set of tokens whose probability reaches this.
    pub top_p: f64,
    pub seed: u64,
    /// Longest answer in tokens.
    pub max_new_tokens: usize,
    /// Images that are assessed together.
    pub batch: usize,
}

impl Default for AnswerSettings {
    fn default() -> Self {
        let Sampling { temperature, top_p, seed, max_new_tokens, .. } = Sampling::default();
        Self { mode: Mode::Reason, temperature, top_p, seed, max_new_tokens, batch: 8 }
    }
}

impl AnswerSettings {
    /// How tokens are sampled.
    #[must_use]
    pub fn sampling(&self) -> Sampling {
        let Self { temperature, top_p, seed, max_new_tokens, .. } = *self;
        Sampling { temperature, top_p, seed, max_new_tokens, ..Sampling::default() }
    }
}

impl AssessRecipe {
    /// Reads and checks a recipe.
    ///
    /// # Errors
    /// Names the line of a syntax error or the first key that is out of its range.
    pub fn parse(toml: &str) -> Result<Self, RecipeError> {
        let recipe: Self = toml::from_str(toml).map_err(|e| RecipeError::Syntax(e.to_string()))?;
        recipe.check()?;
        Ok(recipe)
    }

    /// # Errors
    /// Names the first key that is out of its range.
    pub fn check(&self) -> Result<(), RecipeError> {
        super::named("out", &self.out)?;
        let (models, manifests) = (self.models.len(), self.data.manifests.len());
        first_broken([
            Rule::new("models", models as f64, (1..=20).contains(&models), "name 1 to 20 models"),
            Rule::new("data.manifests", manifests as f64, manifests > 0, "name at least one manifest"),
            Rule::at_least_one("data.limit", self.data.limit.unwrap_or(1)),
            Rule::between("answer.batch", self.answer.batch as f64, 1.0, 256.0),
        ])?;
        self.answer.sampling().check().map_err(|bad| RecipeError::Range {
            key: format!("answer.{}", bad.key).into(),
            value: bad.value,
            expected: bad.expected.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = "models = ['m']\nout = 'out'\n[data]\nmanifests = ['m.jsonl']\n";

    #[test]
    fn defaults_fill_in_and_errors_name_the_key() {
        let recipe = AssessRecipe::parse(LEAST).expect("the least recipe");
        assert_eq!((recipe.data.split, recipe.answer), (None, AnswerSettings::default()));
        for (added, named) in [
            ("limit = 0", "data.limit"),
            ("[answer]\nbatch = 0", "answer.batch"),
            ("[answer]\ntemperature = 11.0", "answer.temperature"),
            ("[answer]\nmax_new_tokens = 0", "answer.max_new_tokens"),
            ("[answer]\nmode = 'slow'", "mode"),
            ("[measure]\nswap = 1", "measure"),
        ] {
            let error = AssessRecipe::parse(&format!("{LEAST}{added}")).expect_err(added);
            assert!(error.to_string().contains(named), "{error}");
        }
    }
}
