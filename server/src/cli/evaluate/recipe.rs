//! `qponder evaluate run`: what a recipe says, for people and for jobs.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use qponder_pipeline::device::Place;
use qponder_pipeline::evaluate::{Evaluation, Progress, run as measure};
use qponder_shared::recipe::EvaluateRecipe;

use super::progress::Bars;
use super::suite::stoppable;
use super::text;
use crate::cli::training::say_event;

/// How often a program is told how far it is.
const SAID_EVERY: Duration = Duration::from_millis(200);

/// Writes report.json, index.html and the scores of every image into the recipe's `out`.
#[derive(Args)]
#[command(after_help = "Example:\n  qponder evaluate run --recipe my-evaluation.toml")]
pub(super) struct RecipeArgs {
    /// The recipe, a TOML file; see `qponder recipe show-defaults evaluate`.
    #[arg(long, value_name = "FILE")]
    recipe: PathBuf,
    /// Where to run the models: cpu, or cuda:N where this program was built for CUDA.
    #[arg(long, value_name = "DEVICE", default_value_t)]
    device: Place,
    /// Print what happens as JSON, an object a line, for programs.
    #[arg(long)]
    events: bool,
}

/// Evaluates, writes and prints.
pub(super) fn run(args: &RecipeArgs) -> anyhow::Result<()> {
    let shown = args.recipe.display();
    let text = std::fs::read_to_string(&args.recipe).with_context(|| format!("cannot read {shown}"))?;
    let recipe = EvaluateRecipe::parse(&text).with_context(|| shown.to_string())?;
    let out = Path::new(&recipe.out);
    std::fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    let (evaluation, mut teller) = (Evaluation::of(&recipe, args.device), Teller::default());
    let mut bars = Bars::new(None);
    let evaluated = stoppable(|stop| {
        let found = measure(&evaluation, None, stop, &mut |event| match args.events {
            true => teller.tell(&event),
            false => bars.show(event),
        });
        bars.finish();
        found
    })?;
    evaluated.write(out)?;
    evaluation.forget_answers()?;
    if !args.events {
        text::print(&evaluated.suite);
    }
    Ok(())
}

/// Tells programs how far an evaluation is, and not too often.
#[derive(Default)]
struct Teller {
    said: Option<Instant>,
    /// Answers that there will be.
    steps: usize,
}

impl Teller {
    fn tell(&mut self, event: &Progress<'_>) {
        match event {
            Progress::Started { steps, .. } => self.steps = *steps,
            Progress::Advanced { step, .. } => {
                let is_due = self.said.is_none_or(|said| said.elapsed() >= SAID_EVERY);
                if !is_due && *step < self.steps {
                    return;
                }
                self.said = Some(Instant::now());
            }
            Progress::Began { .. } | Progress::Judging(_) => {}
        }
        say_event(event);
    }
}
