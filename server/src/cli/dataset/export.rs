//! `qponder dataset export`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use qponder_pipeline::dataset::export::{Exported, export};
use qponder_shared::dataset::ConversationFormat;
use qponder_shared::manifest::Split;

/// Arguments of `qponder dataset export`.
#[derive(Args)]
#[command(after_help = "Examples:
  qponder dataset export --format ms-swift --out train.jsonl answers/manifest.jsonl
  qponder dataset export --format llama-factory --out LLaMA-Factory/data/qponder.json answers/manifest.jsonl

For llama-factory it also prints what dataset_info.json must say of the file.")]
pub struct ExportArgs {
    /// Manifests whose rows have answers.
    #[arg(required = true, value_name = "MANIFEST")]
    manifests: Vec<PathBuf>,
    /// Whose conventions the file follows.
    #[arg(long, value_parser = format())]
    format: ConversationFormat,
    /// Which rows; the others are counted and left out.
    #[arg(long, value_enum, default_value = "train")]
    split: SplitArg,
    /// The file to write: JSON lines for ms-swift, a JSON array for llama-factory.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Clone, Copy, ValueEnum)]
enum SplitArg {
    Train,
    Val,
    Test,
}

impl From<SplitArg> for Split {
    fn from(split: SplitArg) -> Self {
        match split {
            SplitArg::Train => Self::Train,
            SplitArg::Val => Self::Val,
            SplitArg::Test => Self::Test,
        }
    }
}

fn format() -> impl TypedValueParser<Value = ConversationFormat> {
    PossibleValuesParser::new(ConversationFormat::ALL.map(ConversationFormat::name))
        .try_map(|name| name.parse::<ConversationFormat>())
}

/// Exports and prints how much.
///
/// # Errors
/// When there is nothing to export, an image is missing, or the file cannot be written.
pub fn run(args: &ExportArgs) -> anyhow::Result<()> {
    let exported = super::with_bar(|progress| {
        export(&args.manifests, args.format, args.split.into(), &args.out, &mut |done| progress(done))
    })?;
    let Exported { conversations, without_answer, other_splits } = exported;
    println!("{conversations} conversations in {}", args.out.display());
    println!("left out: {without_answer} rows without an answer, {other_splits} of other splits");
    let name = args.out.file_name().context("--out names no file")?.to_string_lossy();
    if let Some(description) = args.format.description(&name) {
        println!("for dataset_info.json:\n{}", serde_json::to_string_pretty(&description)?);
    }
    Ok(())
}
