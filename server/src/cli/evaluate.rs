//! `qponder evaluate`: how good a model is on labelled images.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use qponder_pipeline::assess::Assessor;
use qponder_pipeline::evaluate::{Estimate, ModeReport, evaluate, items};
use qponder_shared::api::Mode;
use qponder_shared::manifest::Split;

/// Measure a model against the labels of a dataset.
///
/// Prints SRCC and raw PLCC with 95 % bootstrap intervals over reference photographs, KRCC, RMSE, PLCC
/// and RMSE after a logistic fit, parse failures, and how often the reasoning names the true distortion.
#[derive(Args)]
#[command(
    after_help = "Example:\n  qponder evaluate --model models/nano --manifest data/nano/whole/manifest.jsonl"
)]
pub struct EvaluateArgs {
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
        let report = report?;
        if args.json {
            println!("{}", serde_json::to_string(&report)?);
        } else {
            print(&report);
        }
    }
    Ok(())
}

fn print(report: &ModeReport) {
    let estimate = |e: Option<Estimate>| {
        e.map_or("none".into(), |e| format!("{:.3} ({:.3} to {:.3})", e.value, e.low, e.high))
    };
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
