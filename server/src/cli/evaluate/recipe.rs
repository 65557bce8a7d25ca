//! `qponder evaluate run`: what a recipe says, for people and for jobs.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use qponder_pipeline::device::Place;
use qponder_shared::recipe::EvaluateRecipe;
use serde_json::json;

use super::suite::{SuiteArgs, create, evaluated, write_page, write_scores};
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
    let mut teller = args.events.then(Teller::default);
    let evaluated = evaluated(&SuiteArgs::of(&recipe, args.device), None, teller.as_mut())?;
    for (index, scores) in evaluated.scored.iter().enumerate() {
        write_scores(&mut create(&out.join(format!("scores-{}.jsonl", index + 1)))?, scores)?;
    }
    write_page(out, &evaluated)?;
    let path = out.join("report.json");
    std::fs::write(&path, serde_json::to_string(&evaluated.suite)?)
        .with_context(|| format!("cannot write {}", path.display()))?;
    text::print(&evaluated.suite);
    Ok(())
}

/// Tells programs how far an evaluation is.
#[derive(Default)]
pub(super) struct Teller {
    /// Answers before those that are asked for now.
    before: usize,
    said: Option<Instant>,
}

impl Teller {
    /// So many answers there will be.
    pub(super) fn begin(&mut self, answers: usize) {
        say_event(&json!({ "event": "started", "step": 0, "steps": answers }));
    }

    /// So many of those that are asked for now are there.
    pub(super) fn tell(&mut self, done: usize) {
        if self.said.is_none_or(|said| said.elapsed() >= SAID_EVERY) {
            self.said = Some(Instant::now());
            say_event(&json!({ "event": "progress", "step": self.before + done }));
        }
    }

    /// All of so many are there.
    pub(super) fn finish(&mut self, answers: usize) {
        self.before += answers;
        say_event(&json!({ "event": "progress", "step": self.before }));
    }
}
