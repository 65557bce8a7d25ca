//! `qponder dataset import`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use qponder_pipeline::dataset::import::{Fractions, Import, Origin, Reading, Summary, UsedSplit, import};
use qponder_shared::dataset::{Direction, Evidence, Format, Range};
use qponder_shared::manifest::Split;

/// Problems that are printed; the file has all.
const SHOWN: usize = 5;

/// Arguments of `qponder dataset import`.
#[derive(Args)]
#[command(after_help = "Examples:
  qponder dataset import --format koniq-10k --labels koniq10k_distributions_sets.csv --images 1024x768 --out koniq
  qponder dataset import --format kadid-10k --labels kadid10k/dmos.csv --images kadid10k/images --out kadid
  qponder dataset import --format pyiqa --direction lower --range 0,1 --source csiq \\
      --labels meta_info_CSIQDataset.csv --images CSIQ --out csiq
  qponder dataset import --format deqa --split 0,0,1 --source spaq --labels test_spaq.json --images SPAQ --out spaq-test

Writes OUT/manifest.jsonl, OUT/hashes.sha256 and, where images are missing or cannot be read, OUT/problems.jsonl;
then there is no manifest and the exit code is 1, unless --skip-problems is given. PNG, JPEG and WebP are taken as
they are; of BMP files, PNGs of the same pixels are written to OUT/images. Label files may be the spreadsheets and
MATLAB files that SPAQ, CSIQ and LIVE in the Wild publish.")]
pub struct ImportArgs {
    /// Layout of the label file.
    #[arg(long, value_parser = format())]
    format: Format,
    /// Label file; for pipal and live-w perhaps the folder of all label files.
    #[arg(long, value_name = "FILE")]
    labels: PathBuf,
    /// Folder of the images, at any depth.
    #[arg(long, value_name = "DIR")]
    images: PathBuf,
    /// Folder of the manifest.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The dataset's name in rows, ids and references [default: the format].
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Whether a higher label is better (MOS) or lower is (DMOS) [default: as the dataset publishes].
    #[arg(long, value_enum)]
    direction: Option<DirectionArg>,
    /// Ends of the labels' scale [default: as published, or else the extremes of the file].
    #[arg(long, value_name = "LOW,HIGH", allow_hyphen_values = true)]
    range: Option<Range>,
    /// Shares of train, val and test, drawn by reference [default: the official split, or else 0.8,0.1,0.1].
    #[arg(long, value_name = "TRAIN,VAL,TEST")]
    split: Option<Fractions>,
    /// Decides the split where it is drawn; a reference stays in its split when others are added.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Copy the images into OUT/images instead of pointing to them.
    #[arg(long)]
    copy: bool,
    /// Write a manifest of the good images although others have problems.
    #[arg(long)]
    skip_problems: bool,
    /// Leave the standard deviations out.
    #[arg(long)]
    ignore_std: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum DirectionArg {
    Higher,
    Lower,
}

impl From<DirectionArg> for Direction {
    fn from(direction: DirectionArg) -> Self {
        match direction {
            DirectionArg::Higher => Self::Higher,
            DirectionArg::Lower => Self::Lower,
        }
    }
}

fn format() -> impl TypedValueParser<Value = Format> {
    let values = Format::ALL.map(|format| PossibleValue::new(format.name()).help(format.layout()));
    PossibleValuesParser::new(values).try_map(|name| name.parse::<Format>())
}

/// Imports and prints what came of it.
///
/// # Errors
/// When labels or folders cannot be read, or a split would leak.
pub fn run(args: &ImportArgs) -> anyhow::Result<ExitCode> {
    let wanted = Import {
        format: args.format,
        labels: args.labels.clone(),
        images: args.images.clone(),
        out: args.out.clone(),
        source: args.source.clone(),
        reading: Reading {
            direction: args.direction.map(Direction::from),
            range: args.range,
            split: args.split,
            seed: args.seed,
            ignore_std: args.ignore_std,
        },
        copy: args.copy,
        skip_problems: args.skip_problems,
    };
    let summary = super::with_bar(|progress| import(&wanted, progress))?;
    print(&summary);
    let Some(manifest) = &summary.manifest else {
        let problems = args.out.join("problems.jsonl");
        eprintln!(
            "qponder: no manifest was written: {} of {} images have problems, listed in {}; mend them, or add \
             --skip-problems to import the others",
            summary.problems.len(),
            summary.listed,
            problems.display()
        );
        return Ok(ExitCode::FAILURE);
    };
    println!("  manifest    {}", manifest.display());
    Ok(ExitCode::SUCCESS)
}

fn print(summary: &Summary) {
    let Summary { counts, scale, .. } = summary;
    println!("{}: {} images listed", summary.source, summary.listed);
    println!("  direction   {} ({})", scale.scale.direction, origin(scale.direction_from));
    println!("  checked     {}", checked(summary.evidence));
    println!("  range       {} ({}), now 1 to 5", scale.scale.range, origin(scale.range_from));
    let split = match summary.split {
        UsedSplit::Official => "official".to_owned(),
        UsedSplit::Seeded { seed, fractions } => format!("{fractions} by reference, seed {seed}"),
    };
    println!("  split       {split}");
    let of = |split: Split| counts.splits.get(split.name()).copied().unwrap_or_default();
    let [train, val, test] = [Split::Train, Split::Val, Split::Test].map(of);
    let (images, references) = (counts.images, counts.references);
    println!(
        "  good        {images} images ({train} train, {val} val, {test} test) of {references} references"
    );
    if summary.bitmaps > 0 {
        println!(
            "  bitmaps     {} of them are BMP files; the manifest has PNGs of the same pixels",
            summary.bitmaps
        );
    }
    if summary.converted > 0 {
        println!("  converted   {} of them have another extension than in the label file", summary.converted);
    }
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for problem in &summary.problems {
        *kinds.entry(problem.kind.word()).or_default() += 1;
    }
    let kinds: Vec<_> = kinds.iter().map(|(kind, images)| format!("{images} {kind}")).collect();
    println!("  problems    {}", if kinds.is_empty() { "none".to_owned() } else { kinds.join(", ") });
    for problem in summary.problems.iter().take(SHOWN) {
        println!("    {} ({}): {}", problem.image, problem.at, problem.kind);
    }
    if summary.problems.len() > SHOWN {
        println!("    and {} more", summary.problems.len() - SHOWN);
    }
}

fn origin(origin: Origin) -> &'static str {
    match origin {
        Origin::Given => "as given",
        Origin::Published => "as published",
        Origin::Extremes => "the extremes of the file",
    }
}

fn checked(evidence: Evidence) -> String {
    match evidence {
        Evidence::None => "not checked: nothing in the file tells the direction".to_owned(),
        Evidence::Levels { falling, rising } => format!(
            "quality falls with the level of distortion in {falling} of {} pairs of images",
            falling + rising
        ),
        Evidence::Votes { srcc } => format!("SRCC with the published votes {srcc:.3}"),
    }
}
