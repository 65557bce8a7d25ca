//! `qponder assess run`: the images of manifests, as a recipe says, for people and for jobs.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use qponder_pipeline::batch::{ANSWERS, Progress, Report, assess_batch};
use qponder_pipeline::device::Place;
use qponder_shared::recipe::AssessRecipe;

use crate::cli::training::{say_event, stop_on_signal};

/// Writes answers.jsonl, a line for each answer, and report.json into the recipe's `out`. The same command goes on
/// after an interruption.
#[derive(Args)]
#[command(after_help = "Example:
  qponder assess run --recipe my-batch.toml    see `qponder recipe show-defaults assess`")]
pub(super) struct RunArgs {
    /// The recipe, a TOML file; see `qponder recipe show-defaults assess`.
    #[arg(long, value_name = "FILE")]
    recipe: PathBuf,
    /// Where to run the models: cpu, or cuda:N where this program was built for CUDA.
    #[arg(long, value_name = "DEVICE", default_value_t)]
    device: Place,
    /// Print what happens as JSON, an object a line, for programs.
    #[arg(long)]
    events: bool,
}

/// Assesses, with a progress bar on a terminal.
pub(super) fn run(args: &RunArgs) -> anyhow::Result<()> {
    let shown = args.recipe.display();
    let text = std::fs::read_to_string(&args.recipe).with_context(|| format!("cannot read {shown}"))?;
    let recipe = AssessRecipe::parse(&text).with_context(|| shown.to_string())?;
    let stop = stop_on_signal()?;
    let report = if args.events {
        assess_batch(&recipe, args.device, &stop, &mut |event| say_event(event))?
    } else {
        let bar = ProgressBar::new(0);
        let style = ProgressStyle::with_template("{bar:30} {pos} of {len} answers, {eta} left")?;
        bar.set_style(style);
        let report = assess_batch(&recipe, args.device, &stop, &mut |event| show(&bar, event));
        bar.finish_and_clear();
        report?
    };
    let Report { images, answered, unreadable, failed } = report;
    println!(
        "{answered} answers on {images} images in {}, {unreadable} without a readable score; {failed} images failed",
        Path::new(&recipe.out).join(ANSWERS).display()
    );
    Ok(())
}

fn show(bar: &ProgressBar, event: &Progress) {
    match event {
        Progress::Started { step, steps } => {
            bar.set_length(*steps as u64);
            bar.set_position(*step as u64);
            bar.reset_eta();
        }
        Progress::Progress { step } => bar.set_position(*step as u64),
        Progress::Failed { id, reason } => bar.suspend(|| eprintln!("{id}: {reason}")),
    }
}
