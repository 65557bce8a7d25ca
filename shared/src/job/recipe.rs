//! Recipes of jobs: those of the command line, but for what they name. A job names models, jobs and datasets by
//! what they are called here; which directories these are is for the worker to know.

use std::fmt;
use std::str::FromStr;

use super::JobKind;
use crate::recipe::{Data, GrpoRecipe, Kind, Recipe, RecipeError, SftRecipe};
use crate::{DatasetId, JobId};

/// What a training starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Base {
    /// A model by its name.
    Model(String),
    /// What a job trained.
    Job(JobId),
}

impl FromStr for Base {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            Some(("model", name)) if !name.is_empty() => Ok(Self::Model(name.to_owned())),
            Some(("job", id)) => {
                id.parse().map(Self::Job).map_err(|_| format!("base is {text:?}; {id:?} is no id of a job"))
            }
            _ => Err(format!("base is {text:?}; name `model:` and a model, or `job:` and the id of a job")),
        }
    }
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Model(name) => write!(f, "model:{name}"),
            Self::Job(id) => write!(f, "job:{id}"),
        }
    }
}

/// A recipe of a job, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct JobRecipe {
    recipe: Recipe,
    /// What it starts from.
    pub base: Base,
    /// What it learns from, in the order of its manifests.
    pub datasets: Vec<DatasetId>,
}

impl JobRecipe {
    /// Reads and checks a recipe.
    ///
    /// # Errors
    /// What is wrong, and what would be right.
    pub fn parse(kind: JobKind, toml: &str) -> Result<Self, String> {
        let mut table: toml::Table = toml::from_str(toml).map_err(|error| error.to_string())?;
        if table.insert("out".to_owned(), "job".into()).is_some() {
            return Err("out is given; a job has a place of its own, so leave it out".to_owned());
        }
        let whole = toml::to_string(&table).map_err(|error| error.to_string())?;
        let said = |error: RecipeError| error.to_string();
        let kind = match kind {
            JobKind::Sft => Kind::Sft,
            JobKind::Grpo => Kind::Grpo,
        };
        let recipe = Recipe::parse(kind, &whole).map_err(said)?;
        let (base, data) = match &recipe {
            Recipe::Sft(SftRecipe { base, data, .. }) => (base, data),
            Recipe::Grpo(recipe) if recipe.judge.is_some() => {
                return Err("judge is given; jobs have no judge yet, so leave it out".to_owned());
            }
            Recipe::Grpo(recipe) => (&recipe.base, &recipe.data),
            Recipe::Distil(_) | Recipe::Judge(_) => return Err("it is no recipe of a training".to_owned()),
        };
        let base = base.parse()?;
        let dataset = |manifest: &String| {
            let id = manifest.strip_prefix("dataset:").and_then(|id| id.parse().ok());
            id.ok_or_else(|| {
                format!("data.manifests has {manifest:?}; name `dataset:` and the id of a dataset")
            })
        };
        let datasets = data.manifests.iter().map(dataset).collect::<Result<_, _>>()?;
        Ok(Self { recipe, base, datasets })
    }

    /// The recipe for the command line, with directories and files in the place of names.
    ///
    /// # Errors
    /// When it has no form in TOML.
    pub fn resolved(&self, base: &str, out: &str, manifests: Vec<String>) -> Result<String, String> {
        let (base, out) = (base.to_owned(), out.to_owned());
        let written = match &self.recipe {
            Recipe::Sft(recipe) => {
                let data = Data { manifests, ..recipe.data.clone() };
                toml::to_string(&SftRecipe { base, out, data, ..recipe.clone() })
            }
            Recipe::Grpo(recipe) => {
                let data = Data { manifests, ..recipe.data.clone() };
                toml::to_string(&GrpoRecipe { base, out, data, ..(**recipe).clone() })
            }
            Recipe::Distil(_) | Recipe::Judge(_) => Ok(String::new()),
        };
        written.map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "01a21386-3a8d-73c6-a90b-887603dd24f9";

    fn sft(base: &str, rest: &str) -> String {
        format!("base = \"{base}\"\n{rest}\n[data]\nmanifests = [\"dataset:{ID}\"]\n[train]\nsteps = 300\n")
    }

    #[test]
    fn names_become_directories_and_nothing_else_changes() {
        let recipe = JobRecipe::parse(JobKind::Sft, &sft("model:nano-ci", "")).expect("a recipe");
        assert_eq!(recipe.base, Base::Model("nano-ci".to_owned()));
        assert_eq!(recipe.datasets, [ID.parse().expect("an id")]);
        let toml =
            recipe.resolved("/m/nano-ci", "/jobs/1", vec!["/d/manifest.jsonl".to_owned()]).expect("TOML");
        let resolved = SftRecipe::parse(&toml).expect("a recipe of the command line");
        assert_eq!((resolved.base.as_str(), resolved.out.as_str()), ("/m/nano-ci", "/jobs/1"));
        assert_eq!(
            (resolved.data.manifests.as_slice(), resolved.train.steps),
            (&["/d/manifest.jsonl".to_owned()][..], 300)
        );
        let recipe = JobRecipe::parse(JobKind::Sft, &sft(&format!("job:{ID}"), "")).expect("a recipe");
        assert_eq!(recipe.base.to_string(), format!("job:{ID}"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (toml, words) in [
            (sft("models/nano", ""), "name `model:`"),
            (sft("model:", ""), "name `model:`"),
            (sft("job:7", ""), "no id of a job"),
            (sft("model:a", "out = \"/etc\""), "leave it out"),
            (sft("model:a", "").replace("dataset:", ""), "name `dataset:`"),
            (sft("model:a", "").replace("steps = 300", "steps = 0"), "steps"),
            (sft("model:a", "").replace("steps", "stepps"), "stepps"),
            ("base = ".to_owned(), "line 1"),
        ] {
            let error = JobRecipe::parse(JobKind::Sft, &toml).expect_err("it is wrong");
            assert!(error.contains(words), "{error}");
        }
    }
}
