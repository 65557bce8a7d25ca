//! `qponder dataset stats`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use qponder_pipeline::dataset::manifest::Manifest;
use qponder_shared::dataset::Counts;
use qponder_shared::manifest::Split;

/// Widest bar of the histogram, in characters.
const WIDTH: usize = 40;
/// Eighths of a character, the narrowest first.
const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

/// Arguments of `qponder dataset stats`.
#[derive(Args)]
#[command(after_help = "Examples:
  qponder dataset stats koniq/manifest.jsonl
  qponder dataset stats --json kadid/manifest.jsonl data/set/manifest.jsonl")]
pub struct StatsArgs {
    /// Manifests; they are counted together.
    #[arg(required = true, value_name = "MANIFEST")]
    manifests: Vec<PathBuf>,
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
}

/// Counts and prints.
///
/// # Errors
/// When a manifest cannot be read.
pub fn run(args: &StatsArgs) -> anyhow::Result<()> {
    let manifests = Manifest::read_all(&args.manifests)?;
    let counts = Counts::of(manifests.iter().flat_map(|manifest| &manifest.rows));
    if args.json {
        println!("{}", serde_json::to_string(&counts)?);
    } else {
        print(&counts);
    }
    Ok(())
}

fn print(counts: &Counts) {
    println!("{} images of {} references", counts.images, counts.references);
    println!("  labels      {} MOS, {} proxy", counts.mos, counts.proxy);
    println!("  answers     {}", counts.answers);
    println!("\n{:28}{:>8}{:>8}{:>8}", "source", "train", "val", "test");
    let of = |splits: &BTreeMap<&str, usize>| {
        [Split::Train, Split::Val, Split::Test]
            .map(|split| splits.get(split.name()).copied().unwrap_or_default())
    };
    for (source, splits) in &counts.sources {
        let [train, val, test] = of(splits);
        println!("{source:28}{train:>8}{val:>8}{test:>8}");
    }
    if counts.sources.len() > 1 {
        let [train, val, test] = of(&counts.splits);
        println!("{:28}{train:>8}{val:>8}{test:>8}", "all");
    }
    if !counts.distortions.is_empty() {
        println!("\n{:28}{:>8}{:>8}{:>8}{:>8}{:>8}", "distortion, level", 1, 2, 3, 4, 5);
        for (kind, [one, two, three, four, five]) in &counts.distortions {
            println!("{kind:28}{one:>8}{two:>8}{three:>8}{four:>8}{five:>8}");
        }
        println!("{:28}{:>8}", "none listed", counts.without_distortion);
    }
    println!("\nlabel");
    let most = counts.histogram.iter().copied().max().unwrap_or_default();
    for (low, images) in counts.bins() {
        let line = format!("{low:.1} to {:.1} {images:>8} {}", low + 0.5, bar(images, most));
        println!("{}", line.trim_end());
    }
    if counts.outside > 0 {
        println!("outside    {:>8}: no labels from 1 to 5, see `qponder dataset verify`", counts.outside);
    }
}

/// A bar as long as `count` is of `most`, to an eighth of a character.
fn bar(count: usize, most: usize) -> String {
    let eighths = (8 * WIDTH * count).div_ceil(most.max(1));
    "█".repeat(eighths / 8) + EIGHTHS[eighths % 8]
}
