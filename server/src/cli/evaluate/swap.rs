//! `qponder evaluate swap`: how far the reasoning decides the score.

use std::path::PathBuf;

use clap::Args;
use qponder_pipeline::assess::Assessor;
use qponder_pipeline::evaluate::{Effect, SwapReport, cases, swap};
use serde_json::json;

use super::{DataArgs, progress, share, shown};

/// Lets the model reason about each image, then has it score the image once more after its own reasoning, after the
/// reasoning about another image whose label is at least one point away, and after none.
#[derive(Args)]
pub(super) struct SwapArgs {
    /// Model directories; several are asked with the same pairs of images.
    #[arg(long, value_name = "DIR", default_value = "models/nano")]
    model: Vec<PathBuf>,
    #[command(flatten)]
    data: DataArgs,
    /// Decides which image lends its reasoning to which.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// One JSON object a model instead of text.
    #[arg(long)]
    json: bool,
}

/// Swaps and prints.
pub(super) fn run(args: &SwapArgs) -> anyhow::Result<()> {
    let cases = cases(&args.data.manifest, args.data.split.split(), args.data.limit)?;
    for dir in &args.model {
        let assessor = Assessor::load(dir, args.data.device)?;
        let info = assessor.info();
        let bar = progress::bar(2 * cases.len(), info.name.clone())?;
        let report = swap(&assessor, &cases, args.seed, &mut |done| {
            bar.set_position(done as u64);
            Ok(())
        });
        bar.finish_and_clear();
        let report = report?;
        if args.json {
            println!("{}", json!({ "model": info, "seed": args.seed, "swap": report }));
        } else {
            print(&info.name, &report);
        }
    }
    Ok(())
}

/// Prints what was found of a model.
pub(super) fn print(model: &str, report: &SwapReport) {
    println!("{model}, {} images with another's reasoning", report.images);
    println!("  own reasoning put back gives the same score  {}", share(report.own));
    println!("  with another image's reasoning");
    effect(&report.donor);
    println!("  with none");
    effect(&report.blank);
    let SwapReport { without_donor, unreadable, .. } = report;
    println!("  left out: {without_donor} without another label far enough, {unreadable} unreadable");
}

fn effect(effect: &Effect) {
    println!("    mean change of the score            {}", shown(effect.change));
    println!("    moves towards the other's score     {}", share(effect.towards_donor));
    println!("    slope on the other's score          {}", shown(effect.donor_slope));
    println!("    slope on its own score              {}", shown(effect.own_slope));
    println!("    PLCC with the other's score         {}", shown(effect.donor_plcc));
    println!("    PLCC with its own score             {}", shown(effect.own_plcc));
    println!("    parse failures                      {}", effect.parse_failures);
}
