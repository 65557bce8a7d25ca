//! Recipes: the typed training configuration, one TOML file a run.
//!
//! Unknown keys are refused, and every range is checked before any long work begins.

mod assess;
mod distil;
mod endpoint;
mod evaluate;
mod export;
mod fields;
mod grpo;
mod judge;
mod learning;
mod lora;
mod sft;
mod spending;
mod teacher;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

pub use assess::{AnswerSettings, AssessData, AssessRecipe};
pub use distil::{Ask, DistilData, DistilRecipe, Filter, Filters, TeacherPrompt};
pub use endpoint::EndpointRecipe;
pub use evaluate::{EvaluateData, EvaluateRecipe, FitOn, Measure};
pub use export::{ExportDtype, ExportFormat, ExportQuant, ExportRecipe, WriteAs};
pub use fields::{FieldEntry, RecipeField, fields, set, values};
pub use grpo::{GrpoRecipe, GrpoTrain, LossKind, RewardScale, Rewards, Rollout, ScoreReward};
pub use judge::JudgeRecipe;
pub use learning::{Learning, Optimiser, Part, Precision, Schedule};
pub use lora::{Lora, Target};
pub use sft::{Objective, SftRecipe, Train};
pub use spending::SpendLimits;
pub use teacher::TeacherRecipe;

/// Why a recipe cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RecipeError {
    #[error("{0}")]
    Syntax(String),
    #[error("{key} is {value}; {expected}")]
    Range { key: Cow<'static, str>, value: String, expected: Cow<'static, str> },
}

/// A recipe of any kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Recipe {
    Distil(DistilRecipe),
    Sft(SftRecipe),
    Grpo(Box<GrpoRecipe>),
    Judge(JudgeRecipe),
    Evaluate(EvaluateRecipe),
    Assess(AssessRecipe),
    Export(ExportRecipe),
}

/// What a recipe is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Distil,
    Sft,
    Grpo,
    Judge,
    Evaluate,
    Assess,
    Export,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 7] =
        [Self::Distil, Self::Sft, Self::Grpo, Self::Judge, Self::Evaluate, Self::Assess, Self::Export];

    /// The name of the command that takes such a recipe; of a judge, that of the option.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Distil => "distil",
            Self::Sft => "sft",
            Self::Grpo => "grpo",
            Self::Judge => "judge",
            Self::Evaluate => "evaluate",
            Self::Assess => "assess",
            Self::Export => "export",
        }
    }

    /// The kind of a recipe by the sections that only it has; a recipe without any is of the cold start.
    /// An endpoint with nothing to do but answer is a judge.
    ///
    /// # Errors
    /// When the text is no TOML.
    pub fn of(toml: &str) -> Result<Self, RecipeError> {
        let table: toml::Table = toml::from_str(toml).map_err(|e| RecipeError::Syntax(e.to_string()))?;
        let has = |sections: &[&str]| sections.iter().any(|section| table.contains_key(*section));
        let is_endpoint_alone = has(&["endpoint"]) && !has(&["out", "data", "ask", "filters"]);
        Ok(if is_endpoint_alone {
            Self::Judge
        } else if has(&["answer"]) {
            Self::Assess
        } else if has(&["model", "write"]) {
            Self::Export
        } else if has(&["models", "measure"]) {
            Self::Evaluate
        } else if has(&["endpoint", "ask", "filters"]) {
            Self::Distil
        } else if has(&["rollout", "reward", "judge"]) {
            Self::Grpo
        } else {
            Self::Sft
        })
    }

    /// A recipe of this kind with every key, its default and what it means.
    #[must_use]
    pub fn defaults(self) -> &'static str {
        match self {
            Self::Distil => include_str!("defaults/distil.toml"),
            Self::Sft => include_str!("defaults/sft.toml"),
            Self::Grpo => include_str!("defaults/grpo.toml"),
            Self::Judge => include_str!("defaults/judge.toml"),
            Self::Evaluate => include_str!("defaults/evaluate.toml"),
            Self::Assess => include_str!("defaults/assess.toml"),
            Self::Export => include_str!("defaults/export.toml"),
        }
    }
}

impl Recipe {
    /// Reads and checks a recipe of a kind.
    ///
    /// # Errors
    /// Names the line of a syntax error or the first key that is out of its range.
    pub fn parse(kind: Kind, toml: &str) -> Result<Self, RecipeError> {
        match kind {
            Kind::Distil => DistilRecipe::parse(toml).map(Self::Distil),
            Kind::Sft => SftRecipe::parse(toml).map(Self::Sft),
            Kind::Grpo => GrpoRecipe::parse(toml).map(Box::new).map(Self::Grpo),
            Kind::Judge => JudgeRecipe::parse(toml).map(Self::Judge),
            Kind::Evaluate => EvaluateRecipe::parse(toml).map(Self::Evaluate),
            Kind::Assess => AssessRecipe::parse(toml).map(Self::Assess),
            Kind::Export => ExportRecipe::parse(toml).map(Self::Export),
        }
    }
}

/// A key, what it holds, and whether that is in its range.
struct Rule {
    key: Cow<'static, str>,
    value: f64,
    holds: bool,
    expected: Cow<'static, str>,
}

impl Rule {
    fn new(
        key: impl Into<Cow<'static, str>>,
        value: f64,
        holds: bool,
        expected: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { key: key.into(), value, holds, expected: expected.into() }
    }

    fn between(key: impl Into<Cow<'static, str>>, value: f64, low: f64, high: f64) -> Self {
        let expected = format!("it must be between {low} and {high}");
        Self::new(key, value, (low..=high).contains(&value), expected)
    }

    fn at_least_one(key: &'static str, value: usize) -> Self {
        Self::new(key, value as f64, value >= 1, "it must be at least 1")
    }

    fn rate(key: &'static str, value: f64) -> Self {
        Self::new(key, value, value > 0.0 && value <= 1.0, "it must be above 0 and at most 1")
    }
}

/// Refuses a name that is empty.
fn named(key: &'static str, name: &str) -> Result<(), RecipeError> {
    if !name.is_empty() {
        return Ok(());
    }
    let expected = "name a directory".into();
    Err(RecipeError::Range { key: key.into(), value: "\"\"".into(), expected })
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
    /// Least share of training images that nothing was done to, 0 to 0.9. Those that there are come again
    /// until they reach it; 0 leaves the manifests as they are.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub pristine: f64,
}

/// A run from before this key existed goes on as the same run.
fn is_zero(share: &f64) -> bool {
    *share == 0.0
}

fn yes() -> bool {
    true
}

impl Data {
    fn rules(&self) -> [Rule; 2] {
        let (count, pristine) = (self.manifests.len(), self.pristine);
        let is_share = (0.0..=0.9).contains(&pristine);
        [
            Rule::new("data.manifests", count as f64, count > 0, "name at least one manifest"),
            Rule::new("data.pristine", pristine, is_share, "a share between 0 and 0.9"),
        ]
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
    use super::{
        AssessData, AssessRecipe, Data, DistilRecipe, EndpointRecipe, EvaluateData, EvaluateRecipe,
        ExportRecipe, GrpoRecipe, JudgeRecipe, Kind, Recipe, SftRecipe,
    };

    #[test]
    fn the_recipes_that_ship_are_valid_and_their_kinds_are_seen() {
        for (kind, text) in [
            (Kind::Distil, include_str!("../../../models/recipes/nano-distil.toml")),
            (Kind::Distil, include_str!("../../../models/recipes/teacher-distil.toml")),
            (Kind::Judge, include_str!("../../../models/recipes/judge.toml")),
            (Kind::Sft, include_str!("../../../models/recipes/nano-tower.toml")),
            (Kind::Sft, include_str!("../../../models/recipes/nano-tower-varied.toml")),
            (Kind::Sft, include_str!("../../../models/recipes/nano-ci.toml")),
            (Kind::Sft, include_str!("../../../models/recipes/nano-ci-whole.toml")),
            (Kind::Sft, include_str!("../../../models/recipes/nano-ci-varied.toml")),
            (Kind::Sft, include_str!("../../../models/recipes/nano-ci-double.toml")),
            (Kind::Grpo, include_str!("../../../models/recipes/nano-rl.toml")),
            (Kind::Grpo, include_str!("../../../models/recipes/nano-rl-last.toml")),
            (Kind::Grpo, include_str!("../../../models/recipes/nano-rl-nucleus.toml")),
            (Kind::Grpo, include_str!("../../../models/recipes/nano-rl-squared.toml")),
            (Kind::Grpo, include_str!("../../../models/recipes/nano-rl-again.toml")),
            (Kind::Distil, include_str!("../../../models/recipes/toy-distil.toml")),
            (Kind::Sft, include_str!("../../../models/recipes/toy-ci.toml")),
            (Kind::Grpo, include_str!("../../../models/recipes/toy-rl.toml")),
            (Kind::Sft, include_str!("../../../models/recipes/qwen2.5-vl-3b-lora.toml")),
            (Kind::Sft, include_str!("../../../models/recipes/qwen2.5-vl-7b-lora.toml")),
            (Kind::Grpo, include_str!("../../../models/recipes/qwen2.5-vl-3b-lora-rl.toml")),
            (Kind::Grpo, include_str!("../../../models/recipes/qwen2.5-vl-7b-lora-rl.toml")),
        ] {
            assert_eq!(Kind::of(text), Ok(kind));
            Recipe::parse(kind, text).expect(text);
        }
    }

    /// Every key of `expected` stands in `shown`.
    fn assert_complete(shown: &toml::Table, expected: &toml::Table) {
        for (key, value) in expected {
            match (shown.get(key), value) {
                (Some(toml::Value::Table(shown)), toml::Value::Table(expected)) => {
                    assert_complete(shown, expected);
                }
                (Some(shown), expected) => assert_eq!(shown, expected, "{key}"),
                (None, _) => panic!("{key} is not shown"),
            }
        }
    }

    #[test]
    fn the_defaults_that_are_shown_are_the_defaults_and_complete() {
        let data =
            || Data { manifests: vec!["data/set/manifest.jsonl".into()], augment: true, pristine: 0.0 };
        let (base, validation) = ("models/nano-ci".to_owned(), Default::default());
        let sft = SftRecipe {
            base: base.clone(),
            out: "data/sft".into(),
            data: data(),
            train: Default::default(),
            lora: None,
            validation,
        };
        let grpo = GrpoRecipe {
            base,
            out: "data/grpo".into(),
            data: data(),
            rollout: Default::default(),
            reward: Default::default(),
            judge: None,
            train: Default::default(),
            lora: None,
            validation: Default::default(),
        };
        let distil = DistilRecipe::parse(
            "out = 'data/distilled'\n[data]\nmanifests = ['data/set/manifest.jsonl']\n\
             [endpoint]\nbase_url = 'http://127.0.0.1:8000/v1'\nmodel = 'Qwen/Qwen2.5-VL-72B-Instruct'\n",
        )
        .expect("the least that a recipe says");
        let judge = JudgeRecipe { endpoint: distil.endpoint.clone(), limits: Default::default() };
        let evaluate = EvaluateRecipe {
            models: vec!["models/nano-ci".into(), "models/nano-rl".into()],
            out: "data/evaluated".into(),
            data: EvaluateData {
                manifests: vec!["data/set/manifest.jsonl".into()],
                split: crate::manifest::Split::Val,
                limit: None,
            },
            measure: Default::default(),
        };
        let assess = AssessRecipe {
            models: vec!["models/nano".into()],
            out: "data/assessed".into(),
            data: AssessData { manifests: vec!["data/set/manifest.jsonl".into()], split: None, limit: None },
            answer: Default::default(),
        };
        let export = ExportRecipe {
            model: "models/nano".into(),
            out: "data/exported".into(),
            write: Default::default(),
        };
        for (kind, recipe, table) in [
            (Kind::Assess, Recipe::Assess(assess.clone()), toml::Table::try_from(&assess)),
            (Kind::Export, Recipe::Export(export.clone()), toml::Table::try_from(&export)),
            (Kind::Evaluate, Recipe::Evaluate(evaluate.clone()), toml::Table::try_from(&evaluate)),
            (Kind::Judge, Recipe::Judge(judge.clone()), toml::Table::try_from(&judge)),
            (Kind::Distil, Recipe::Distil(distil.clone()), toml::Table::try_from(&distil)),
            (Kind::Sft, Recipe::Sft(sft.clone()), toml::Table::try_from(&sft)),
            (Kind::Grpo, Recipe::Grpo(Box::new(grpo.clone())), toml::Table::try_from(&grpo)),
        ] {
            assert_eq!(Recipe::parse(kind, kind.defaults()), Ok(recipe));
            let shown: toml::Table = toml::from_str(kind.defaults()).expect("TOML");
            assert_complete(&shown, &table.expect("a table"));
        }
    }

    #[test]
    fn the_adapters_that_are_shown_are_the_defaults() {
        for kind in [Kind::Sft, Kind::Grpo] {
            let text = uncommented(kind, "# [lora]");
            assert_eq!(toml::from_str::<super::Lora>(&text), Ok(super::Lora::default()), "{text}");
        }
    }

    #[test]
    fn the_judge_that_is_shown_for_grpo_is_that_of_an_evaluation() {
        let text = uncommented(Kind::Grpo, "# [judge]");
        let judge = JudgeRecipe::parse(Kind::Judge.defaults()).map(|judge| judge.endpoint);
        assert_eq!(toml::from_str::<EndpointRecipe>(&text).ok(), judge.ok(), "{text}");
    }

    /// A section that the defaults show commented out.
    fn uncommented(kind: Kind, title: &str) -> String {
        let section = kind.defaults().split(title).nth(1).expect("a section");
        let lines = section.lines().skip(1).take_while(|line| !line.is_empty());
        lines.flat_map(|line| [line.strip_prefix("# ").unwrap_or(line), "\n"]).collect()
    }
}
