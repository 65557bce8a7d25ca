//! `qponder sft`: cold-start training.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use qponder_pipeline::device::Place;
use qponder_pipeline::train::{Estimate, sft};
use qponder_shared::recipe::SftRecipe;

use super::training::{describe_memory, say, stop_on_signal, watch};

/// Train a model as a recipe says.
///
/// Writes metrics.jsonl and checkpoints into the recipe's `out`, and the model at the end. Interrupted
/// at any moment, the same command goes on from the last checkpoint; Ctrl-C writes one first.
#[derive(Args)]
#[command(after_help = "Example:\n  qponder sft --recipe models/recipes/nano-ci.toml")]
pub struct SftArgs {
    /// The recipe, a TOML file.
    #[arg(long, value_name = "FILE")]
    recipe: PathBuf,
    /// Where to train: cpu, or cuda:N where this program was built for CUDA.
    #[arg(long, value_name = "DEVICE", default_value_t)]
    device: Place,
    /// Print what happens as JSON, an object a line, for programs.
    #[arg(long)]
    events: bool,
}

/// Trains, with a progress bar on a terminal and plain lines elsewhere.
///
/// # Errors
/// What is wrong with the recipe or its files, or where it was stopped.
pub fn run(args: &SftArgs) -> anyhow::Result<()> {
    let shown = args.recipe.display();
    let text = std::fs::read_to_string(&args.recipe).with_context(|| format!("cannot read {shown}"))?;
    let recipe = SftRecipe::parse(&text).with_context(|| shown.to_string())?;
    say(args.events, &describe_memory(&Estimate::sft(&recipe, args.device)?));
    let stop = stop_on_signal()?;
    watch(recipe.train.steps, args.events, |progress| sft(&recipe, args.device, &stop, progress))?;
    say(args.events, &format!("trained model in {}", recipe.out));
    Ok(())
}
