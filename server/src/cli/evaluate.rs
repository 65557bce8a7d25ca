//! `qponder evaluate`: how good models are on labelled images.

mod compare;
mod judge;
mod progress;
mod recipe;
mod suite;
mod swap;
mod text;

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use qponder_pipeline::device::Place;
use qponder_pipeline::evaluate::Estimate;
use qponder_shared::manifest::Split;

/// Measure models against the labels of datasets.
///
/// Prints SRCC, raw PLCC, KRCC and RMSE, PLCC and RMSE after a logistic fit, each with its 95 % bootstrap interval
/// over reference photographs; parse failures; how well the reasoning describes the images; and, with --judge, what a
/// stronger model thinks of it. Several manifests are also measured apart; several models are set against each other.
/// With --html or --scores, answers are kept as they come: interrupted at any moment, the same command goes on.
#[derive(Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Examples:
  qponder evaluate --model models/nano --dataset data/nano/whole/manifest.jsonl
  qponder evaluate --model data/nano/ci --model data/nano/rl --dataset data/set/manifest.jsonl --html report
  qponder evaluate --dataset data/koniq/manifest.jsonl --dataset data/spaq/manifest.jsonl --split test --fit-on val
  qponder evaluate --dataset data/set/manifest.jsonl --judge models/recipes/judge.toml --swap 200 --html report
  qponder evaluate run --recipe my-evaluation.toml    see `qponder recipe show-defaults evaluate`
  qponder evaluate swap --model models/nano --dataset data/set/manifest.jsonl --limit 200
  qponder evaluate --model models/nano-ci --dataset data/set/manifest.jsonl --scores ci.jsonl
  qponder evaluate compare ci.jsonl rl.jsonl"
)]
pub struct EvaluateArgs {
    #[command(subcommand)]
    command: Option<EvaluateCommand>,
    #[command(flatten)]
    suite: suite::SuiteArgs,
}

#[derive(Subcommand)]
enum EvaluateCommand {
    /// Measure what a recipe says.
    Run(recipe::RecipeArgs),
    /// Say by how much a second model is better than a first on the same images.
    Compare(compare::CompareArgs),
    /// Say how far the reasoning decides the score: put another image's reasoning before it.
    Swap(swap::SwapArgs),
}

/// Which images a model is judged on.
#[derive(Args)]
struct DataArgs {
    /// Manifests of labelled images, each a dataset; may be given several times.
    #[arg(long, visible_alias = "dataset", value_name = "FILE", required = true)]
    manifest: Vec<PathBuf>,
    /// Which images of the manifests.
    #[arg(long, value_enum, default_value = "val")]
    split: SplitArg,
    /// At most so many images, spread evenly over the manifests.
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    limit: Option<usize>,
    /// Where to run the model: cpu, or cuda:N where this program was built for CUDA.
    #[arg(long, value_name = "DEVICE", default_value_t)]
    device: Place,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|&count| count > 0)
        .ok_or_else(|| "it must be a whole number, at least 1".to_owned())
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum SplitArg {
    Train,
    Val,
    Test,
}

impl SplitArg {
    fn split(self) -> Split {
        match self {
            SplitArg::Train => Split::Train,
            SplitArg::Val => Split::Val,
            SplitArg::Test => Split::Test,
        }
    }
}

/// Evaluates and prints.
///
/// # Errors
/// When a model or a manifest cannot be read.
pub fn run(args: &EvaluateArgs) -> anyhow::Result<()> {
    match &args.command {
        Some(EvaluateCommand::Run(args)) => recipe::run(args),
        Some(EvaluateCommand::Compare(args)) => compare::run(args),
        Some(EvaluateCommand::Swap(args)) => swap::run(args),
        None => suite::measure(&args.suite),
    }
}

/// A statistic with its interval.
fn shown(estimate: Option<Estimate>) -> String {
    shown_as(estimate, |value| format!("{value:.3}"))
}

/// A share in per cent.
fn share(estimate: Option<Estimate>) -> String {
    shown_as(estimate, |value| format!("{:.1} %", 100.0 * value))
}

fn shown_as(estimate: Option<Estimate>, number: fn(f64) -> String) -> String {
    let Some(Estimate { value, interval }) = estimate else { return "none".into() };
    let interval =
        interval.map(|interval| format!(" ({} to {})", number(interval.low), number(interval.high)));
    format!("{}{}", number(value), interval.unwrap_or_default())
}
