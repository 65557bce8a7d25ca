//! `qponder dataset proxy`.

use std::path::PathBuf;

use clap::Args;
use qponder_pipeline::dataset::pairs::label;

/// Arguments of `qponder dataset proxy`.
#[derive(Args)]
#[command(after_help = "Example:
  qponder dataset proxy --pairs other/pairs.jsonl --out other/manifest.jsonl

A line of the pairs, with paths relative to the file:
  {\"image\": \"a-jpeg.jpg\", \"pristine\": \"a.png\", \"reference\": \"a\", \"split\": \"val\", \"source\": \"Pillow\",
   \"distortions\": [{\"kind\": \"jpeg\", \"level\": 3}]}")]
pub struct ProxyArgs {
    /// JSON lines, one a pair of images.
    #[arg(long, value_name = "FILE")]
    pairs: PathBuf,
    /// The manifest to write, in the same folder.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Labels and says how many.
///
/// # Errors
/// Names the line that cannot be labelled.
pub fn run(args: &ProxyArgs) -> anyhow::Result<()> {
    let rows = super::with_bar(|progress| label(&args.pairs, &args.out, progress))?;
    println!("{rows} images labelled in {}", args.out.display());
    Ok(())
}
