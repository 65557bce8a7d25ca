//! An evaluation: which models are measured on what.

use serde::{Deserialize, Serialize};

use super::{RecipeError, Rule, first_broken};
use crate::api::Mode;
use crate::manifest::Split;

/// Models on datasets, as `qponder evaluate` measures them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvaluateRecipe {
    /// Checkpoint directories; several are set against each other.
    pub models: Vec<String>,
    /// Directory that gets the report, as JSON and as a page, and the scores of every image.
    pub out: String,
    pub data: EvaluateData,
    #[serde(default)]
    pub measure: Measure,
}

/// On which images models are measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvaluateData {
    /// Manifests of labelled images, each a dataset.
    pub manifests: Vec<String>,
    /// Which of their rows.
    #[serde(default = "validation")]
    pub split: Split,
    /// At most so many images, spread evenly over the manifests; without it all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

fn validation() -> Split {
    Split::Val
}

/// What is measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Measure {
    /// How the models are asked.
    pub modes: Vec<Mode>,
    /// Where the logistic is fitted: on the labels that are tested, or on the validation split.
    pub fit_on: FitOn,
    /// Images that are asked about again, with equal seeds and in other batches; 0 asks about none.
    pub determinism: usize,
    /// Images whose reasoning is swapped for that of another image, to see whether the score follows; 0 swaps none.
    pub swap: usize,
}

impl Default for Measure {
    fn default() -> Self {
        Self { modes: vec![Mode::Quick, Mode::Reason], fit_on: FitOn::Test, determinism: 8, swap: 0 }
    }
}

/// Where the logistic between scores and labels is fitted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FitOn {
    /// On the labels that are tested, as most papers do.
    #[default]
    Test,
    /// On the validation split.
    Val,
}

impl EvaluateRecipe {
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
        let (models, manifests, modes) =
            (self.models.len(), self.data.manifests.len(), self.measure.modes.len());
        let are_once = modes == 1 || (modes == 2 && self.measure.modes[0] != self.measure.modes[1]);
        let limit = self.data.limit.unwrap_or(1);
        first_broken([
            Rule::new("models", models as f64, (1..=20).contains(&models), "name 1 to 20 models"),
            Rule::new("data.manifests", manifests as f64, manifests > 0, "name at least one manifest"),
            Rule::at_least_one("data.limit", limit),
            Rule::new("measure.modes", modes as f64, are_once, "name quick, reason or both, each once"),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = "models = ['m']\nout = 'out'\n[data]\nmanifests = ['m.jsonl']\n";

    #[test]
    fn defaults_fill_in_and_errors_name_the_key() {
        let recipe = EvaluateRecipe::parse(LEAST).expect("the least recipe");
        assert_eq!((recipe.data.split, recipe.measure), (Split::Val, Measure::default()));
        for (from, to, named) in [
            ("models = ['m']", "models = []", "models"),
            ("out = 'out'", "out = ''", "out"),
            ("['m.jsonl']", "[]", "data.manifests"),
            ("['m.jsonl']", "['m.jsonl']\nlimit = 0", "data.limit"),
            ("['m.jsonl']", "['m.jsonl']\nsplit = 'all'", "split"),
            ("['m.jsonl']", "['m.jsonl']\n[measure]\nmodes = []", "measure.modes"),
            ("['m.jsonl']", "['m.jsonl']\n[measure]\nmodes = ['quick', 'quick']", "measure.modes"),
            ("['m.jsonl']", "['m.jsonl']\n[measure]\njudge = 'x'", "judge"),
        ] {
            let error = EvaluateRecipe::parse(&LEAST.replace(from, to)).map(|_| ()).expect_err(to);
            assert!(error.to_string().contains(named), "{error}");
        }
    }
}
