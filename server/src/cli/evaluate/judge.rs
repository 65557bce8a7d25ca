//! `qponder evaluate --judge`: verdicts of an endpoint on the reasoning.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use qponder_pipeline::judge::Judge;
use qponder_shared::recipe::JudgeRecipe;

/// Reads the judge's recipe and opens the journal, so that whatever is wrong shows before any work.
pub(super) fn open(recipe: &Path, journal: Option<&Path>) -> anyhow::Result<Judge> {
    let shown = recipe.display();
    let text = std::fs::read_to_string(recipe).with_context(|| format!("cannot read {shown}"))?;
    let recipe = JudgeRecipe::parse(&text).with_context(|| shown.to_string())?;
    let judge = Judge::new(&recipe.endpoint, &recipe.limits)?;
    match journal {
        Some(path) => Ok(judge.with_journal(path)?),
        None => {
            eprintln!(
                "the verdicts are not kept; --html or --scores keeps them, and none is asked for twice"
            );
            Ok(judge)
        }
    }
}

/// Where the verdicts of an evaluation are kept: beside its page, or else beside its scores.
pub(super) fn journal(html: Option<&Path>, scores: Option<&Path>) -> Option<PathBuf> {
    let beside_page = html.map(|dir| dir.join("verdicts.jsonl"));
    beside_page.or_else(|| scores.map(|file| file.with_extension("verdicts.jsonl")))
}
