//! `qponder evaluate compare`: two files of scores.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use qponder_pipeline::evaluate::{Comparison, Scored, compare};

use super::shown;

/// Prints the differences of SRCC, PLCC, KRCC and RMSE, second less first, with 95 % intervals of a paired
/// bootstrap over reference photographs.
#[derive(Args)]
pub(super) struct CompareArgs {
    /// Scores of the first model, from `--scores`.
    first: PathBuf,
    /// Scores of the second model.
    second: PathBuf,
    /// One JSON object a mode instead of text.
    #[arg(long)]
    json: bool,
}

/// Compares and prints.
pub(super) fn run(args: &CompareArgs) -> anyhow::Result<()> {
    let read = |path: &Path| -> anyhow::Result<Vec<Scored>> {
        let name = path.display();
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
        let row =
            |(index, line)| serde_json::from_str(line).with_context(|| format!("{name} line {}", index + 1));
        text.lines().enumerate().map(row).collect()
    };
    for comparison in compare(&read(&args.first)?, &read(&args.second)?)? {
        if args.json {
            println!("{}", serde_json::to_string(&comparison)?);
        } else {
            print(&comparison);
        }
    }
    Ok(())
}

/// Prints one mode's differences.
pub(super) fn print(comparison: &Comparison) {
    let Comparison { mode, images, unmatched, parse_failures: [first, second], .. } = comparison;
    println!("{} mode, {images} images with both scores, second less first", mode.name());
    let differences = [
        ("SRCC", comparison.srcc),
        ("PLCC (raw)", comparison.plcc),
        ("KRCC", comparison.krcc),
        ("RMSE", comparison.rmse),
    ];
    for (name, difference) in differences {
        println!("  {name:16}{}", shown(difference));
    }
    println!("  parse failures  {first}, then {second}");
    if *unmatched > 0 {
        println!("  {unmatched} images are in one file only and were left out");
    }
}
