//! `qponder export run`: what a recipe says, for people and for jobs.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use qponder_pipeline::export::export_as;
use qponder_shared::recipe::ExportRecipe;

use crate::cli::training::{say, say_event};

/// Writes the model into the recipe's `out`, in the place of what an earlier export left there.
#[derive(Args)]
#[command(after_help = "Example:
  qponder export run --recipe my-export.toml    see `qponder recipe show-defaults export`")]
pub(super) struct RunArgs {
    /// The recipe, a TOML file; see `qponder recipe show-defaults export`.
    #[arg(long, value_name = "FILE")]
    recipe: PathBuf,
    /// Print what happens as JSON, an object a line, for programs.
    #[arg(long)]
    events: bool,
}

/// Exports.
pub(super) fn run(args: &RunArgs) -> anyhow::Result<()> {
    let shown = args.recipe.display();
    let text = std::fs::read_to_string(&args.recipe).with_context(|| format!("cannot read {shown}"))?;
    let recipe = ExportRecipe::parse(&text).with_context(|| shown.to_string())?;
    let exported = match args.events {
        true => export_as(&recipe, &mut |event| say_event(event)),
        false => super::with_bar(|progress| export_as(&recipe, progress)),
    };
    exported.context("could not export the model")?;
    say(args.events, &format!("model in {}", recipe.out));
    Ok(())
}
