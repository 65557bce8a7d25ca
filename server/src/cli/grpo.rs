//! `qponder grpo`: reinforcement learning after the cold start.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use qponder_pipeline::device::Place;
use qponder_pipeline::train::Estimate;
use qponder_pipeline::train::grpo::grpo;
use qponder_shared::recipe::GrpoRecipe;

use super::training::{describe_memory, say, stop_on_signal, watch};

/// Improve a model by GRPO as a recipe says.
///
/// Writes metrics.jsonl (with TRL's names), completions.jsonl and checkpoints into the recipe's `out`,
/// and the model at the end. Interrupted at any moment, the same command goes on from the last
/// checkpoint; Ctrl-C writes one first. With one epoch a step the loss is near 0 throughout, since the
/// ratio is 1: look at the reward and at the validation's SRCC. A `[judge]` in the recipe is asked about every answer
/// of every step; without any verdict in a step the run stops with a checkpoint.
#[derive(Args)]
#[command(after_help = "Examples:
  qponder grpo --recipe models/recipes/nano-rl.toml
  qponder grpo --recipe models/recipes/nano-rl.toml --seed 2 --out data/nano/rl-2")]
pub struct GrpoArgs {
    /// The recipe, a TOML file.
    #[arg(long, value_name = "FILE")]
    recipe: PathBuf,
    /// A seed in place of the recipe's: `export average` takes what several gave.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// A directory in place of the recipe's `out`.
    #[arg(long, value_name = "DIR")]
    out: Option<String>,
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
pub fn run(args: &GrpoArgs) -> anyhow::Result<()> {
    let shown = args.recipe.display();
    let text = std::fs::read_to_string(&args.recipe).with_context(|| format!("cannot read {shown}"))?;
    let mut recipe = GrpoRecipe::parse(&text).with_context(|| shown.to_string())?;
    recipe.train.seed = args.seed.unwrap_or(recipe.train.seed);
    if let Some(out) = &args.out {
        recipe.out.clone_from(out);
    }
    recipe.check()?;
    say(args.events, &describe_memory(&Estimate::grpo(&recipe, args.device)?));
    let stop = stop_on_signal()?;
    watch(recipe.train.steps, args.events, |progress| grpo(&recipe, args.device, &stop, progress))?;
    say(args.events, &format!("trained model in {}", recipe.out));
    Ok(())
}
