//! What is to be asked: the images of the manifests, each so many times, and what that may cost.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use qponder_shared::Score;
use qponder_shared::api::Mode;
use qponder_shared::prompt::{self, Prompt};
use qponder_shared::recipe::{DistilRecipe, TeacherPrompt};
use serde::Serialize;

use super::{DistilError, journal};
use crate::calls::{Budget, Request, answered, peek};
use crate::endpoint::Picture;
use crate::teacher;
use crate::train::TrainError;
use crate::train::data::{Item, read_manifests};

/// The images to ask about, each once.
pub(super) struct Plan {
    pub items: Vec<Item>,
    /// Rows that stand more than once.
    pub repeated: usize,
}

/// One request: an image, and which of its answers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub item: usize,
    pub answer: u32,
}

impl Plan {
    /// Reads the manifests.
    pub(super) fn read(recipe: &DistilRecipe) -> Result<Self, DistilError> {
        let rows = read_manifests(&recipe.data.manifests, recipe.data.split)?;
        let (mut items, mut repeated) = (Vec::new(), 0);
        let mut seen: HashMap<String, PathBuf> = HashMap::new();
        for item in rows {
            let label = item.row.label.value();
            if Score::new(label).is_err() {
                return Err(DistilError::Label { id: item.row.id, label });
            }
            match seen.get(&item.row.id) {
                None => {
                    seen.insert(item.row.id.clone(), item.path.clone());
                    items.push(item);
                }
                Some(path) if *path == item.path => repeated += 1,
                Some(_) => return Err(DistilError::AmbiguousId { id: item.row.id }),
            }
        }
        if items.is_empty() {
            return Err(TrainError::NoRows { split: recipe.data.split.name() }.into());
        }
        Ok(Self { items, repeated })
    }

    /// All requests: first one answer to every image, then the second ones.
    pub(super) fn wanted(&self, recipe: &DistilRecipe) -> Vec<Wanted> {
        let items = self.items.len();
        (0..recipe.ask.answers)
            .flat_map(|answer| (0..items).map(move |item| Wanted { item, answer }))
            .collect()
    }
}

/// Reads the image and writes the question. The error is about the image.
pub(super) fn request(recipe: &DistilRecipe, item: &Item, answer: u32) -> Result<Request, String> {
    let named = |error: &dyn std::fmt::Display| format!("{}: {error}", item.path.display());
    let bytes = std::fs::read(&item.path).map_err(|error| named(&error))?;
    let picture = Arc::new(Picture::new(bytes).map_err(|error| named(&error))?);
    let (version, user) = words(recipe.ask.prompt, item);
    let id = format!("{}/{answer}@{version}", item.row.id);
    Ok(Request::new(&recipe.endpoint.model, id, user, picture, recipe.ask.sampling(answer)))
}

/// The template of a recipe's prompt.
pub(super) fn template(prompt: TeacherPrompt) -> Prompt {
    match prompt {
        TeacherPrompt::Blind => prompt::DISTIL_BLIND,
        TeacherPrompt::Conditioned => prompt::DISTIL_CONDITIONED,
        TeacherPrompt::Reason => prompt::current(Mode::Reason),
    }
}

/// Prompt version and user turn for an image.
fn words(prompt: TeacherPrompt, item: &Item) -> (&'static str, String) {
    let Prompt { version, text } = template(prompt);
    let text = match prompt {
        TeacherPrompt::Blind | TeacherPrompt::Reason => text.to_owned(),
        TeacherPrompt::Conditioned => {
            let score = Score::clamped(item.row.label.value()).unwrap_or(Score::MIN);
            prompt::conditioned(score, &teacher::known_distortions(&item.row))
        }
    };
    (version, text)
}

/// What a run would do, found out without a call.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Estimate {
    /// Images of the manifests.
    pub images: usize,
    /// Answers that the recipe asks for.
    pub wanted: usize,
    /// Of these, answers that the journal has.
    pub known: usize,
    /// Calls that are still to be made, if none is repeated.
    pub calls: usize,
    /// Tokens that these read, about.
    pub prompt_tokens: u64,
    /// Tokens that these write at most.
    pub completion_tokens: u64,
    /// What these cost at most, if none is repeated.
    pub worst_cost: f64,
    /// What earlier calls cost.
    pub spent: f64,
    /// Images that cannot be read, with the reason.
    pub unreadable: Vec<String>,
}

/// Finds out what a run would do: reads manifests, images and journal, and makes no call.
///
/// # Errors
/// What is wrong with the manifests or the journal.
pub fn estimate(recipe: &DistilRecipe) -> Result<Estimate, DistilError> {
    let plan = Plan::read(recipe)?;
    let entries = peek(&journal(Path::new(&recipe.out)))?;
    let answered = answered(&entries);
    let wanted = plan.wanted(recipe);
    let spent = entries.iter().map(|entry| entry.cost).sum();
    let mut estimate =
        Estimate { images: plan.items.len(), wanted: wanted.len(), spent, ..Estimate::default() };
    for Wanted { item, answer } in wanted {
        match request(recipe, &plan.items[item], answer) {
            Err(reason) if answer == 0 => estimate.unreadable.push(reason),
            Err(_) => {}
            Ok(asked) if answered.contains_key(&(asked.id.as_str(), asked.digest.as_str())) => {
                estimate.known += 1;
            }
            Ok(asked) => {
                let worst = asked.worst();
                estimate.calls += 1;
                estimate.prompt_tokens += worst.prompt_tokens;
                estimate.completion_tokens += worst.completion_tokens;
                estimate.worst_cost += Budget::price(&recipe.limits, worst);
            }
        }
    }
    Ok(estimate)
}
