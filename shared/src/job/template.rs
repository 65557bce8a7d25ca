//! What the recipe of a new job begins as.

use std::fmt::Write as _;

use super::{JobKind, PipelineSize};
use crate::manifest::Split;

/// The choices that a recipe begins with.
#[derive(Clone, Debug)]
pub struct Template {
    /// What a training starts from, an evaluation measures, a batch is assessed with and an export writes:
    /// `model:NAME` or `job:ID`.
    pub models: Vec<String>,
    /// Where images come from: `dataset:ID` or `job:ID`.
    pub manifests: Vec<String>,
    /// Whom a distillation asks.
    pub teacher: String,
    /// It was trained by Q-Ponder: it knows the short prompt, and writes few words.
    pub is_own_teacher: bool,
    /// On which images an evaluation measures.
    pub split: Split,
    pub size: PipelineSize,
}

impl Template {
    /// The recipe for a job of a kind.
    #[must_use]
    pub fn recipe(&self, kind: JobKind) -> String {
        let Self { models, manifests, teacher, is_own_teacher, split, size } = self;
        let base = models.first().map_or("", String::as_str);
        let data = format!("[data]\nmanifests = {}\n", list(manifests));
        let is_trial = *size == PipelineSize::Trial;
        match kind {
            JobKind::Distil if *is_own_teacher => format!(
                "teacher = {teacher:?}\n\n{data}\n[ask]\nprompt = \"reason\"\nanswers = 1\ntemperature = 0.0\n\
                 max_tokens = 256\n\n[filters]\non = [\"attributes\", \"score\", \"wording\", \"leak\", \"length\"]\n\
                 tolerance = 0.75\nmin_characters = 40\n"
            ),
            JobKind::Distil => format!(
                "teacher = {teacher:?}\n\n{data}\n[ask]\nprompt = \"blind\"\nanswers = 1\ntemperature = 0.7\n\
                 max_tokens = 512\n\n[filters]\non = [\"attributes\", \"score\", \"wording\", \"leak\", \"length\", \
                 \"near_duplicate\"]\ntolerance = 0.75\nmin_characters = 200\n"
            ),
            JobKind::Sft => {
                let (steps, warmup, every) = if is_trial { (20, 2, 5) } else { (200, 10, 25) };
                let (images, reasoning) = if is_trial { (16, 8) } else { (100, 50) };
                format!(
                    "base = {base:?}\n\n{data}\n[train]\nsteps = {steps}\nbatch = 16\nmicro_batch = 4\n\
                     learning_rate = 1e-4\nwarmup = {warmup}\ncheckpoint_every = {every}\n\n[validation]\n\
                     every = {}\nimages = {images}\nreasoning_images = {reasoning}\n",
                    2 * every
                )
            }
            JobKind::Grpo => {
                let (steps, warmup, every) = if is_trial { (4, 1, 2) } else { (50, 3, 10) };
                let (group, images) = if is_trial { (4, 4) } else { (8, 8) };
                let (validated, validate_every) = if is_trial { (16, 4) } else { (100, 25) };
                format!(
                    "base = {base:?}\n\n{data}\n[rollout]\ngroup = {group}\nmax_new_tokens = 192\n\n[reward]\n\
                     score = 3.0\nscore_scale = 2.0\nconsistency = 0.3\ndistortion = 0.3\n\n[train]\n\
                     loss = \"dr_grpo\"\nparts = [\"vision\", \"merger\", \"language\"]\nsteps = {steps}\n\
                     images = {images}\nlearning_rate = 1e-4\nwarmup = {warmup}\ncheckpoint_every = {every}\n\n\
                     [validation]\nevery = {validate_every}\nimages = {validated}\nreasoning_images = {validated}\n"
                )
            }
            JobKind::AssessBatch => {
                let limit = if is_trial { "limit = 16\n" } else { "" };
                format!(
                    "models = {}\n\n{data}{limit}\n[answer]\nmode = \"reason\"\nmax_new_tokens = 256\n",
                    list(models)
                )
            }
            JobKind::Export => {
                format!("model = {base:?}\n\n[write]\nformat = \"gguf\"\nquant = \"q8_0\"\n")
            }
            JobKind::Evaluate => {
                let mut recipe = format!("models = {}\n\n{data}split = {:?}\n", list(models), split.name());
                if is_trial {
                    recipe.push_str("limit = 16\n");
                }
                // Writing into a string does not fail.
                let _ = write!(
                    recipe,
                    "\n[measure]\nmodes = [\"quick\", \"reason\"]\ndeterminism = 8\nswap = 0\n"
                );
                recipe
            }
        }
    }
}

fn list(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
    format!("[{}]", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::JobRecipe;

    #[test]
    fn every_template_is_a_recipe() {
        let id = "01a21386-3a8d-73c6-a90b-887603dd24f9";
        for (size, is_own_teacher) in [(PipelineSize::Usual, false), (PipelineSize::Trial, true)] {
            let template = Template {
                models: vec!["model:nano".to_owned(), format!("job:{id}")],
                manifests: vec![format!("dataset:{id}")],
                teacher: "big".to_owned(),
                is_own_teacher,
                split: Split::Val,
                size,
            };
            for kind in JobKind::ALL {
                let recipe = template.recipe(*kind);
                JobRecipe::parse(*kind, &recipe).unwrap_or_else(|error| panic!("{error}: {recipe}"));
            }
        }
    }
}
