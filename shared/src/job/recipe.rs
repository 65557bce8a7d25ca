//! Recipes of jobs: those of the command line, but for what they name. A job names models, jobs and datasets by
//! what they are called here; which directories these are is for the worker to know.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use super::{JobKind, RecipeDifference};
use crate::recipe::{
    AssessData, AssessRecipe, Data, DistilData, DistilRecipe, EndpointRecipe, EvaluateData, EvaluateRecipe,
    ExportRecipe, GrpoRecipe, Recipe, RecipeError, SftRecipe, values,
};
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

/// Where labelled images come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A dataset.
    Dataset(DatasetId),
    /// The answers that a distillation accepted.
    Job(JobId),
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let source = match text.split_once(':') {
            Some(("dataset", id)) => id.parse().ok().map(Self::Dataset),
            Some(("job", id)) => id.parse().ok().map(Self::Job),
            _ => None,
        };
        source.ok_or_else(|| {
            format!(
                "data.manifests has {text:?}; name `dataset:` and the id of a dataset, or `job:` and the id of a \
                 distillation"
            )
        })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dataset(id) => write!(f, "dataset:{id}"),
            Self::Job(id) => write!(f, "job:{id}"),
        }
    }
}

/// A recipe of a job, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct JobRecipe {
    recipe: Recipe,
    /// What a training starts from, an evaluation measures, or an export writes, in the order of the recipe.
    pub bases: Vec<Base>,
    /// What it learns from, asks about or measures on, in the order of its manifests.
    pub sources: Vec<Source>,
    /// Whom a distillation asks.
    pub teacher: Option<String>,
}

/// What the names of a recipe stand for on one machine.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// Directories of the models, in the order of [`JobRecipe::bases`].
    pub bases: Vec<String>,
    /// Files of the manifests, in the order of [`JobRecipe::sources`].
    pub manifests: Vec<String>,
    /// Where the teacher is.
    pub endpoint: Option<EndpointRecipe>,
    /// Where what comes of it goes.
    pub out: String,
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
        let teacher = if kind == JobKind::Distil { Some(take_teacher(&mut table)?) } else { None };
        let whole = toml::to_string(&table).map_err(|error| error.to_string())?;
        let recipe = Recipe::parse(kind.recipe(), &whole).map_err(|error: RecipeError| error.to_string())?;
        let none = Vec::new();
        let (bases, manifests) = match &recipe {
            Recipe::Distil(recipe) => (&[][..], &recipe.data.manifests),
            Recipe::Sft(recipe) => (std::slice::from_ref(&recipe.base), &recipe.data.manifests),
            Recipe::Grpo(recipe) if recipe.judge.is_some() => {
                return Err("judge is given; jobs have no judge yet, so leave it out".to_owned());
            }
            Recipe::Grpo(recipe) => (std::slice::from_ref(&recipe.base), &recipe.data.manifests),
            Recipe::Evaluate(recipe) => (&recipe.models[..], &recipe.data.manifests),
            Recipe::Assess(recipe) => (&recipe.models[..], &recipe.data.manifests),
            Recipe::Export(recipe) => (std::slice::from_ref(&recipe.model), &none),
            Recipe::Judge(_) => return Err("it is no recipe of a job".to_owned()),
        };
        let bases = bases.iter().map(|base| base.parse()).collect::<Result<_, _>>()?;
        let sources = manifests.iter().map(|manifest| manifest.parse()).collect::<Result<_, _>>()?;
        Ok(Self { bases, sources, recipe, teacher })
    }

    /// Steps of a training.
    #[must_use]
    pub fn steps(&self) -> Option<usize> {
        match &self.recipe {
            Recipe::Sft(recipe) => Some(recipe.train.steps),
            Recipe::Grpo(recipe) => Some(recipe.train.steps),
            Recipe::Distil(_)
            | Recipe::Evaluate(_)
            | Recipe::Judge(_)
            | Recipe::Assess(_)
            | Recipe::Export(_) => None,
        }
    }

    /// The jobs that it names: what they make must be there before.
    pub fn jobs(&self) -> impl Iterator<Item = JobId> {
        let bases = self.bases.iter().filter_map(|base| match base {
            Base::Job(id) => Some(*id),
            Base::Model(_) => None,
        });
        let sources = self.sources.iter().filter_map(|source| match source {
            Source::Job(id) => Some(*id),
            Source::Dataset(_) => None,
        });
        bases.chain(sources)
    }

    /// The recipe for the command line, with directories and files in the place of names.
    ///
    /// # Errors
    /// When a name stands for nothing, or the recipe has no form in TOML.
    pub fn resolved(&self, names: Names) -> Result<String, String> {
        let Names { bases, manifests, endpoint, out } = names;
        let base = || bases.first().cloned().ok_or("nobody says where the base is");
        let written = match &self.recipe {
            Recipe::Distil(recipe) => {
                let endpoint = endpoint.ok_or("nobody says where the teacher is")?;
                let data = DistilData { manifests, ..recipe.data.clone() };
                toml::to_string(&DistilRecipe { out, endpoint, data, ..recipe.clone() })
            }
            Recipe::Sft(recipe) => {
                let data = Data { manifests, ..recipe.data.clone() };
                toml::to_string(&SftRecipe { base: base()?, out, data, ..recipe.clone() })
            }
            Recipe::Grpo(recipe) => {
                let data = Data { manifests, ..recipe.data.clone() };
                toml::to_string(&GrpoRecipe { base: base()?, out, data, ..(**recipe).clone() })
            }
            Recipe::Evaluate(recipe) => {
                let data = EvaluateData { manifests, ..recipe.data.clone() };
                toml::to_string(&EvaluateRecipe { models: bases, out, data, ..recipe.clone() })
            }
            Recipe::Assess(recipe) => {
                let data = AssessData { manifests, ..recipe.data.clone() };
                toml::to_string(&AssessRecipe { models: bases, out, data, ..recipe.clone() })
            }
            Recipe::Export(recipe) => {
                toml::to_string(&ExportRecipe { model: base()?, out, ..recipe.clone() })
            }
            Recipe::Judge(_) => return Err("it is no recipe of a job".to_owned()),
        };
        written.map_err(|error| error.to_string())
    }
}

/// Takes the teacher's name out of a distillation's recipe and puts an endpoint there that stands for it.
fn take_teacher(table: &mut toml::Table) -> Result<String, String> {
    let wanted = "name a teacher of this server, such as teacher = \"NAME\"";
    if table.contains_key("endpoint") {
        return Err(format!("endpoint is given, which only the operator of a server can say; {wanted}"));
    }
    let teacher = match table.remove("teacher") {
        Some(toml::Value::String(name)) if !name.is_empty() => name,
        Some(other) => return Err(format!("teacher is {other}; {wanted}")),
        None => return Err(format!("teacher is missing; {wanted}")),
    };
    let mut endpoint = toml::Table::new();
    endpoint.insert("base_url".to_owned(), "http://teacher.invalid".into());
    endpoint.insert("model".to_owned(), "teacher".into());
    table.insert("endpoint".to_owned(), endpoint.into());
    Ok(teacher)
}

/// The keys in which recipes differ, with what each recipe says; `None` where it leaves the key to its default.
/// A recipe that is no TOML says nothing.
#[must_use]
pub fn differences(recipes: &[&str]) -> Vec<RecipeDifference> {
    let keys = |recipe: &&str| {
        let mut keys = values(recipe);
        keys.retain(|_, value| !value.is_empty());
        keys
    };
    let flat: Vec<BTreeMap<String, String>> = recipes.iter().map(keys).collect();
    let names: BTreeSet<&String> = flat.iter().flat_map(BTreeMap::keys).collect();
    let row = |key: &String| RecipeDifference {
        key: key.clone(),
        values: flat.iter().map(|keys| keys.get(key).cloned()).collect(),
    };
    let rows = names.into_iter().map(row);
    rows.filter(|row| row.values.iter().any(|value| *value != row.values[0])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "01a21386-3a8d-73c6-a90b-887603dd24f9";

    fn sft(base: &str, rest: &str) -> String {
        format!("base = \"{base}\"\n{rest}\n[data]\nmanifests = [\"dataset:{ID}\"]\n[train]\nsteps = 300\n")
    }

    fn names(bases: &[&str], endpoint: Option<EndpointRecipe>) -> Names {
        Names {
            bases: bases.iter().map(|&base| base.to_owned()).collect(),
            manifests: vec!["/d/manifest.jsonl".to_owned()],
            endpoint,
            out: "/jobs/1".to_owned(),
        }
    }

    #[test]
    fn names_become_directories_and_nothing_else_changes() {
        let recipe = JobRecipe::parse(JobKind::Sft, &sft("model:nano-ci", "")).expect("a recipe");
        assert_eq!(recipe.bases, [Base::Model("nano-ci".to_owned())]);
        assert_eq!(recipe.sources, [Source::Dataset(ID.parse().expect("an id"))]);
        assert_eq!(recipe.jobs().count(), 0);
        let toml = recipe.resolved(names(&["/m/nano-ci"], None)).expect("TOML");
        let resolved = SftRecipe::parse(&toml).expect("a recipe of the command line");
        assert_eq!((resolved.base.as_str(), resolved.out.as_str()), ("/m/nano-ci", "/jobs/1"));
        assert_eq!(
            (resolved.data.manifests.as_slice(), resolved.train.steps),
            (&["/d/manifest.jsonl".to_owned()][..], 300)
        );
        let toml = sft(&format!("job:{ID}"), "").replace("dataset:", "job:");
        let recipe = JobRecipe::parse(JobKind::Sft, &toml).expect("a recipe");
        assert_eq!(
            (recipe.bases[0].to_string(), recipe.sources[0].to_string()),
            (format!("job:{ID}"), format!("job:{ID}"))
        );
        assert_eq!(recipe.jobs().count(), 2);
    }

    #[test]
    fn a_distillation_names_its_teacher_and_never_an_address() {
        let toml = |head: &str| format!("{head}\n[data]\nmanifests = [\"dataset:{ID}\"]\n");
        let recipe = JobRecipe::parse(JobKind::Distil, &toml("teacher = \"big\"")).expect("a recipe");
        assert_eq!((recipe.teacher.as_deref(), recipe.bases.len()), (Some("big"), 0));
        let endpoint = "base_url = 'http://localhost:1/v1'\nmodel = 'm'\nconcurrency = 9\n";
        let endpoint: EndpointRecipe = toml::from_str(endpoint).expect("an endpoint");
        let resolved = recipe.resolved(names(&[], Some(endpoint.clone()))).expect("TOML");
        let resolved = DistilRecipe::parse(&resolved).expect("a recipe of the command line");
        assert_eq!((resolved.endpoint, resolved.out.as_str()), (endpoint, "/jobs/1"));
        for (head, words) in [
            ("", "teacher is missing"),
            ("teacher = 3", "teacher is 3"),
            (
                "teacher = \"big\"\n[endpoint]\nbase_url = \"http://10.0.0.1\"\nmodel = \"m\"",
                "only the operator",
            ),
        ] {
            let error = JobRecipe::parse(JobKind::Distil, &toml(head)).expect_err(head);
            assert!(error.contains(words), "{error}");
        }
        assert!(
            JobRecipe::parse(JobKind::Sft, &format!("teacher = \"big\"\n{}", sft("model:a", ""))).is_err()
        );
    }

    #[test]
    fn an_evaluation_names_every_model() {
        let toml =
            format!("models = [\"model:nano\", \"job:{ID}\"]\n[data]\nmanifests = [\"dataset:{ID}\"]\n");
        let recipe = JobRecipe::parse(JobKind::Evaluate, &toml).expect("a recipe");
        assert_eq!((recipe.bases.len(), recipe.jobs().count()), (2, 1));
        let resolved = recipe.resolved(names(&["/m/nano", "/jobs/2/out"], None)).expect("TOML");
        let resolved = EvaluateRecipe::parse(&resolved).expect("a recipe of the command line");
        assert_eq!(resolved.models, ["/m/nano", "/jobs/2/out"]);
    }

    #[test]
    fn a_batch_and_an_export_name_models() {
        let toml = format!(
            "models = [\"model:nano\"]\n[data]\nmanifests = [\"dataset:{ID}\"]\n[answer]\nbatch = 4\n"
        );
        let recipe = JobRecipe::parse(JobKind::AssessBatch, &toml).expect("a recipe");
        let resolved = recipe.resolved(names(&["/m/nano"], None)).expect("TOML");
        let resolved = AssessRecipe::parse(&resolved).expect("a recipe of the command line");
        assert_eq!((resolved.models, resolved.answer.batch), (vec!["/m/nano".to_owned()], 4));
        let toml = format!("model = \"job:{ID}\"\n[write]\nquant = \"q4_0\"\n");
        let recipe = JobRecipe::parse(JobKind::Export, &toml).expect("a recipe");
        assert_eq!((recipe.jobs().count(), recipe.sources.len()), (1, 0));
        let resolved = recipe.resolved(names(&["/jobs/2/out"], None)).expect("TOML");
        let resolved = ExportRecipe::parse(&resolved).expect("a recipe of the command line");
        assert_eq!(resolved.model, "/jobs/2/out");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (toml, words) in [
            (sft("models/nano", ""), "name `model:`"),
            (sft("model:", ""), "name `model:`"),
            (sft("job:7", ""), "no id of a job"),
            (sft("model:a", "out = \"/etc\""), "leave it out"),
            (sft("model:a", "").replace("dataset:", ""), "name `dataset:`"),
            (sft("model:a", "").replace("dataset:", "job:7"), "name `dataset:`"),
            (sft("model:a", "").replace("steps = 300", "steps = 0"), "steps"),
            (sft("model:a", "").replace("steps", "stepps"), "stepps"),
            ("base = ".to_owned(), "line 1"),
        ] {
            let error = JobRecipe::parse(JobKind::Sft, &toml).expect_err("it is wrong");
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn only_what_differs_is_listed() {
        let (first, second) = ("a = 1\n[train]\nsteps = 3\nrate = 0.1\n", "a = 1\n[train]\nsteps = 4\n");
        let found = differences(&[first, second]);
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            found,
            [
                RecipeDifference { key: "train.rate".to_owned(), values: vec![some("0.1"), None] },
                RecipeDifference { key: "train.steps".to_owned(), values: vec![some("3"), some("4")] }
            ]
        );
        assert!(differences(&[first, first]).is_empty() && differences(&["=", "="]).is_empty());
    }
}
