//! `qponder degrade`: a dataset of degraded photographs with proxy labels.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use qponder_pipeline::dataset::{self, Config, Progress, Settings};
use qponder_pipeline::photographs;
use qponder_shared::{DistortionKind, Severity};

/// Arguments of `qponder degrade`.
#[derive(Args)]
#[command(after_help = "Examples:
  qponder degrade --fetch --input photographs --out kadid     every kind at every level, at KADID's size
  qponder degrade --input photographs --out crops --size 112,224 --per-image 50
  qponder degrade --input photographs --out varied --vary --per-image 100
  qponder degrade --input photographs --out double --vary --double --size 112 --per-image 60
  qponder degrade --input holiday --out test --kinds jpeg,gaussian_blur --levels 1,3,5

Writes OUT/images/*.png and OUT/manifest.jsonl. Running it again continues an interrupted dataset.")]
pub struct DegradeArgs {
    /// Directory of pristine PNG, JPEG and WebP files.
    #[arg(long, value_name = "DIR")]
    input: PathBuf,
    /// Directory of the dataset.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// First fetch Q-Ponder's photographs (free, from Debian packages) into the input directory.
    #[arg(long)]
    fetch: bool,
    /// Kinds of distortion, such as jpeg,white_noise [default: all 25 of KADID-10k].
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    kinds: Vec<DistortionKind>,
    /// Levels, 1 to 5 [default: all].
    #[arg(long, value_name = "LEVEL", value_delimiter = ',', value_parser = level)]
    levels: Vec<Severity>,
    /// Draw this many degraded versions of each photograph (and size) instead of making all.
    #[arg(long, value_name = "N")]
    per_image: Option<usize>,
    /// Sides of random square crops in pixels [default: whole photographs].
    #[arg(long, value_name = "PIXELS", value_delimiter = ',')]
    size: Vec<usize>,
    /// Longer side of whole photographs; they are always shrunk to three quarters or less.
    #[arg(long, value_name = "PIXELS", default_value_t = 512)]
    max_side: usize,
    /// Also vary training photographs before they are degraded: tone, colour, proportions; whole ones also in
    /// frame, size and direction.
    #[arg(long)]
    vary: bool,
    /// Also expose training photographs twice, each image with another photograph, before they are degraded.
    #[arg(long, requires = "vary")]
    double: bool,
    /// Decides what is drawn at random; the same seed gives the same dataset.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Threads [default: all cores]; the dataset does not depend on it.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

fn level(text: &str) -> Result<Severity, String> {
    let number: u8 = text.parse().map_err(|_| format!("`{text}` is no level from 1 to 5"))?;
    Severity::try_from(number).map_err(|error| error.to_string())
}

/// Makes the dataset, with a progress bar on a terminal.
///
/// # Errors
/// Names the file, package or setting that stopped it.
pub fn run(args: &DegradeArgs) -> anyhow::Result<()> {
    if args.fetch {
        fetch(args)?;
    }
    let settings = Settings {
        kinds: or_all(&args.kinds, &DistortionKind::ALL),
        levels: or_all(&args.levels, &Severity::ALL),
        per_image: args.per_image,
        sizes: args.size.clone(),
        max_side: args.max_side,
        seed: args.seed,
        vary: args.vary,
        double: args.double,
    };
    let config = Config { input: args.input.clone(), out: args.out.clone(), settings, threads: args.threads };
    let bar = bar("{bar:30} {human_pos} of {human_len} images, {per_sec}, {eta} left");
    let show = |progress: Progress| {
        bar.set_length(progress.total as u64);
        bar.set_position(progress.done as u64);
    };
    let outcome = dataset::make(&config, &show, &|| false).context("could not make the dataset");
    bar.finish_and_clear();
    let outcome = outcome?;
    if outcome.images == 0 {
        anyhow::bail!(
            "no photograph has room for such crops once it is shrunk: choose smaller ones with --size"
        );
    }
    println!("{} images ({} new) in {}", outcome.images, outcome.made, args.out.display());
    if outcome.too_small > 0 {
        eprintln!("{} times a photograph was too small for a crop size and was left out", outcome.too_small);
    }
    Ok(())
}

fn or_all<T: Copy>(chosen: &[T], all: &[T]) -> Vec<T> {
    if chosen.is_empty() { all.to_vec() } else { chosen.to_vec() }
}

fn fetch(args: &DegradeArgs) -> anyhow::Result<()> {
    let bar = bar("{bar:30} {pos} of {len} photographs, {msg}");
    let fetched = photographs::fetch(&args.input, |there, total, what| {
        bar.set_length(total as u64);
        bar.set_position(there as u64);
        bar.set_message(what.to_owned());
    });
    bar.finish_and_clear();
    let fetched = fetched.context("could not fetch the photographs")?;
    println!("{fetched} photographs fetched, {} in {}", photographs::catalogue().len(), args.input.display());
    Ok(())
}

/// A bar on standard error, hidden when that is no terminal.
fn bar(template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(0).with_style(style);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
