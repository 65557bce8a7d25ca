//! `qponder evaluate`: how good a model is on labelled images.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use qponder_pipeline::assess::Assessor;
use qponder_pipeline::evaluate::{Comparison, Estimate, ModeReport, Scored, compare, evaluate, items};
use qponder_shared::api::Mode;
use qponder_shared::manifest::Split;

/// Measure a model against the labels of a dataset.
///
/// Prints SRCC and raw PLCC with 95 % bootstrap intervals over reference photographs, KRCC, RMSE, PLCC
/// and RMSE after a logistic fit, parse failures, and how often the reasoning names the true distortion.
#[derive(Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Examples:
  qponder evaluate --model models/nano --manifest data/nano/whole/manifest.jsonl
  qponder evaluate --model models/nano-ci --manifest data/set/manifest.jsonl --scores ci.jsonl
  qponder evaluate --model data/nano/rl --manifest data/set/manifest.jsonl --scores rl.jsonl
  qponder evaluate compare ci.jsonl rl.jsonl"
)]
pub struct EvaluateArgs {
    #[command(subcommand)]
    command: Option<EvaluateCommand>,
    /// Model directory.
    #[arg(long, value_name = "DIR", default_value = "models/nano")]
    model: PathBuf,
    /// Manifests of labelled images; may be given several times.
    #[arg(long, value_name = "FILE", required = true)]
    manifest: Vec<PathBuf>,
    /// Which images of the manifests.
    #[arg(long, value_enum, default_value = "val")]
    split: SplitArg,
    /// One mode only [default: both].
    #[arg(long, value_enum)]
    mode: Option<ModeArg>,
    /// At most so many images, spread evenly over the manifests.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// One JSON object a mode instead of text.
    #[arg(long)]
    json: bool,
    /// Also write every image's score and text there, as JSON lines.
    #[arg(long, value_name = "FILE")]
    scores: Option<PathBuf>,
}

#[derive(Subcommand)]
enum EvaluateCommand {
    /// Say by how much a second model is better than a first on the same images.
    Compare(CompareArgs),
}

/// Prints the differences of SRCC, PLCC and RMSE, second less first, with 95 % intervals of a paired
/// bootstrap over reference photographs.
#[derive(Args)]
struct CompareArgs {
    /// Scores of the first model, from `--scores`.
    first: PathBuf,
    /// Scores of the second model.
    second: PathBuf,
    /// One JSON object a mode instead of text.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum SplitArg {
    Train,
    Val,
    Test,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum ModeArg {
    Quick,
    Reason,
}

/// Evaluates and prints.
///
/// # Errors
/// When the model or a manifest cannot be read.
pub fn run(args: &EvaluateArgs) -> anyhow::Result<()> {
    if let Some(EvaluateCommand::Compare(args)) = &args.command {
        return compare_files(args);
    }
    let mut scores = match &args.scores {
        Some(path) => Some(File::create(path).with_context(|| format!("cannot write {}", path.display()))?),
        None => None,
    };
    let assessor = Assessor::load(&args.model)?;
    let split = match args.split {
        SplitArg::Train => Split::Train,
        SplitArg::Val => Split::Val,
        SplitArg::Test => Split::Test,
    };
    let items = items(&args.manifest, split, args.limit)?;
    for (chosen, mode) in [(ModeArg::Quick, Mode::Quick), (ModeArg::Reason, Mode::Reason)] {
        if args.mode.is_some_and(|only| only != chosen) {
            continue;
        }
        let style = ProgressStyle::with_template("{bar:30} {pos} of {len} images, {eta} left");
        let bar = ProgressBar::new(items.len() as u64).with_style(style.context("the bar's template")?);
        bar.enable_steady_tick(Duration::from_millis(200));
        let report = evaluate(&assessor, &items, mode, &mut |done| bar.set_position(done as u64));
        bar.finish_and_clear();
        let (report, scored) = report?;
        if let Some(file) = &mut scores {
            for row in scored {
                writeln!(file, "{}", serde_json::to_string(&row)?)?;
            }
        }
        if args.json {
            println!("{}", serde_json::to_string(&report)?);
        } else {
            print(&report);
        }
    }
    Ok(())
}

fn compare_files(args: &CompareArgs) -> anyhow::Result<()> {
    let read = |path: &Path| -> anyhow::Result<Vec<Scored>> {
        let shown = path.display();
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
        let row =
            |(index, line)| serde_json::from_str(line).with_context(|| format!("{shown} line {}", index + 1));
        text.lines().enumerate().map(row).collect()
    };
    for comparison in compare(&read(&args.first)?, &read(&args.second)?)? {
        if args.json {
            println!("{}", serde_json::to_string(&comparison)?);
            continue;
        }
        let Comparison { mode, images, unmatched, srcc, plcc, rmse } = comparison;
        println!("{} mode, {images} images with both scores, second less first", mode.name());
        for (name, difference) in [("SRCC", srcc), ("PLCC (raw)", plcc), ("RMSE", rmse)] {
            println!("  {name:14}{}", estimate(difference));
        }
        if unmatched > 0 {
            println!("  {unmatched} images are in one file only and were left out");
        }
    }
    Ok(())
}

fn estimate(estimate: Option<Estimate>) -> String {
    estimate.map_or("none".into(), |e| format!("{:.3} ({:.3} to {:.3})", e.value, e.low, e.high))
}

fn print(report: &ModeReport) {
    let number = |value: Option<f64>| value.map_or("none".into(), |v| format!("{v:.3}"));
    println!("{} mode, {} images", report.mode.name(), report.images);
    println!("  SRCC            {}", estimate(report.srcc));
    println!("  PLCC (raw)      {}", estimate(report.plcc));
    println!("  KRCC            {}", number(report.krcc));
    println!("  RMSE            {}", number(report.rmse));
    println!("  after a logistic of 4 parameters, fitted on these labels");
    println!("    PLCC          {}", number(report.plcc_fitted));
    println!("    RMSE          {}", number(report.rmse_fitted));
    println!("  parse failures  {}", report.parse_failures);
    if let Some(d) = report.description {
        let percent = |share: f64| format!("{:.1} %", 100.0 * share);
        println!("  of {} images with a known distortion, the reasoning named", d.images);
        println!("    the distortion  {}", percent(d.kind));
        println!("    its group       {}", percent(d.group));
        println!("    its severity    {}", percent(d.severity));
    }
    println!("  SRCC by distortion");
    for (kind, srcc) in &report.srcc_by_distortion {
        println!("    {kind:24} {srcc:.3}");
    }
}
