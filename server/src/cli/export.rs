//! `qponder export`: a model for other programs.

mod run;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use qponder_pipeline::export::{
    Change, Destination, Kind, Layout, MANIFEST, Precision, Progress, average, export, export_gguf, merge,
};

/// Write a model as other programs, or browsers, read it.
///
/// The directory has the Hugging Face layout: transformers, vLLM and SGLang load it. Recipes with a
/// `[lora]` section leave a PEFT adapter in `adapter` beside the merged model; `export merge` merges such
/// an adapter, or one that PEFT saved, into its base; `export gguf` quantises for llama.cpp and for the page
/// *Quick score*.
#[derive(Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Examples:
  qponder export --model models/nano --out nano-f32 --dtype f32
  qponder export --model data/7b/rl --out q-ponder-7b --dtype bf16 --shard-size 5GB
  qponder export merge --model Qwen2.5-VL-7B-Instruct --adapter data/7b/ci/adapter --out q-ponder-7b
  qponder export gguf --model models/nano --quant q8_0 --out nano-gguf
  qponder export run --recipe my-export.toml    see `qponder recipe show-defaults export`"
)]
pub struct ExportArgs {
    #[command(subcommand)]
    command: Option<ExportCommand>,
    /// Model directory.
    #[arg(long, value_name = "DIR", required = true)]
    model: Option<PathBuf>,
    #[command(flatten)]
    to: Option<DestinationArgs>,
}

#[derive(Subcommand)]
enum ExportCommand {
    /// Merge an adapter into its base model.
    Merge(MergeArgs),
    /// Write the mean of models that were trained from the same beginning.
    ///
    /// Such an average, a "model soup", is often better than each of them. What another training changed can be added
    /// to it.
    Average(AverageArgs),
    /// Write GGUF files, quantised.
    ///
    /// `model-QUANT.gguf` is the language model and `mmproj-QUANT.gguf` the vision tower, with the names that
    /// llama.cpp uses; `manifest.json` lists their pieces with a hash each, for the page *Quick score*.
    Gguf(GgufArgs),
    /// Write what a recipe says.
    Run(run::RunArgs),
}

#[derive(Args)]
#[command(after_help = "Examples:
  qponder export gguf --model models/nano --quant q8_0 --out nano-gguf
  qponder export gguf --model data/7b/rl --quant q4_0 --out q-ponder-7b-gguf
  llama-mtmd-cli -m q-ponder-7b-gguf/model-q4_0.gguf --mmproj q-ponder-7b-gguf/mmproj-q4_0.gguf \\
    --image photo.jpg -p 'How good is this photo?'")]
struct GgufArgs {
    /// Model directory.
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// Directory that gets the files.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// How matrices are stored.
    #[arg(long, value_enum, default_value = "q8_0")]
    quant: QuantArg,
    /// Most bytes of a piece that a browser loads and checks at once, such as 1MB; powers of 1000.
    #[arg(long, value_name = "SIZE", default_value = "1MB", value_parser = bytes)]
    shard_size: u64,
    /// Write into a directory that is not empty.
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum QuantArg {
    /// 8.5 bits a number.
    #[value(name = "q8_0")]
    Q8,
    /// 4.5 bits a number.
    #[value(name = "q4_0")]
    Q4,
    /// 16 bits a number.
    F16,
}

#[derive(Args)]
#[command(after_help = "Examples:
  qponder export average --model data/nano/rl-1 --model data/nano/rl-2 --model data/nano/rl-3 --out data/nano/rl
  qponder export average --model models/nano-rl --change models/nano-ci data/nano/ci --out data/nano/rl
                                   what further cold start changed, added to the model after GRPO")]
struct AverageArgs {
    /// Model directory; give at least two, or a change.
    #[arg(long, value_name = "DIR", required = true)]
    model: Vec<PathBuf>,
    /// Add what a training changed, given as the models before and after it.
    #[arg(long, num_args = 2, value_names = ["BEFORE", "AFTER"])]
    change: Vec<PathBuf>,
    #[command(flatten)]
    to: DestinationArgs,
}

#[derive(Args)]
struct MergeArgs {
    /// Model directory that the adapter was trained on.
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// PEFT adapter: adapter_config.json and adapter_model.safetensors.
    #[arg(long, value_name = "DIR")]
    adapter: PathBuf,
    #[command(flatten)]
    to: DestinationArgs,
}

#[derive(Args)]
struct DestinationArgs {
    /// Directory that gets the model.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// What the directory looks like.
    #[arg(long, value_enum, default_value = "hf")]
    format: FormatArg,
    /// How the weights are stored.
    #[arg(long, value_enum, default_value = "f16")]
    dtype: DtypeArg,
    /// Most bytes of weights a file, such as 5GB or 500MB; powers of 1000.
    #[arg(long, value_name = "SIZE", default_value = "5GB", value_parser = bytes)]
    shard_size: u64,
    /// Write into a directory that is not empty.
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum FormatArg {
    /// Hugging Face: config.json, safetensors, tokenizer and processor.
    Hf,
}

#[derive(Clone, Copy, ValueEnum)]
enum DtypeArg {
    F32,
    F16,
    Bf16,
}

fn bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is no size such as 5GB, 500MB or 100000");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "" | "B" => 1,
        "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return Err(wrong()),
    };
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    number.checked_mul(factor).filter(|&bytes| bytes > 0).ok_or_else(wrong)
}

impl DestinationArgs {
    fn destination(&self) -> Destination {
        let precision = match self.dtype {
            DtypeArg::F32 => Precision::F32,
            DtypeArg::F16 => Precision::F16,
            DtypeArg::Bf16 => Precision::Bf16,
        };
        let FormatArg::Hf = self.format;
        let layout = Layout { precision, shard_bytes: self.shard_size };
        Destination { dir: self.out.clone(), layout, force: self.force }
    }
}

/// Exports or merges.
///
/// # Errors
/// Names what the model or the adapter lacks, or why the destination is refused.
pub fn run(args: &ExportArgs) -> anyhow::Result<()> {
    let to = match &args.command {
        Some(ExportCommand::Gguf(args)) => return run_gguf(args),
        Some(ExportCommand::Run(args)) => return run::run(args),
        Some(ExportCommand::Average(args)) => {
            let to = args.to.destination();
            let pairs = args.change.as_chunks::<2>().0;
            let changes = pairs.iter().map(|[from, to]| Change { from: from.clone(), to: to.clone() });
            let changes: Vec<Change> = changes.collect();
            with_bar(|progress| average(&args.model, &changes, &to, progress))
                .context("could not average the models")?;
            to
        }
        Some(ExportCommand::Merge(args)) => {
            let to = args.to.destination();
            with_bar(|progress| merge(&args.model, &args.adapter, &to, progress))
                .context("could not merge the adapter")?;
            to
        }
        None => {
            let model = args.model.as_ref().context("--model is missing")?;
            let to = args.to.as_ref().context("--out is missing")?.destination();
            with_bar(|progress| export(model, &to, progress)).context("could not export the model")?;
            to
        }
    };
    println!("model in {}", to.dir.display());
    Ok(())
}

/// Runs `work` below a bar on standard error, hidden when that is no terminal.
fn with_bar<T>(work: impl FnOnce(&mut dyn FnMut(&Progress)) -> T) -> T {
    let style = ProgressStyle::with_template("{bar:30} step {pos} of {len}, {wide_msg}");
    let bar = ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(Duration::from_millis(200));
    let done = work(&mut |event| match event {
        Progress::Started { steps, .. } => bar.set_length(*steps as u64),
        Progress::Advanced { step, done } => {
            bar.set_position(*step as u64);
            bar.set_message(format!("done with {}", done.display()));
        }
    });
    bar.finish_and_clear();
    done
}

fn run_gguf(args: &GgufArgs) -> anyhow::Result<()> {
    let kind = match args.quant {
        QuantArg::Q8 => Kind::Q8_0,
        QuantArg::Q4 => Kind::Q4_0,
        QuantArg::F16 => Kind::F16,
    };
    let gguf = |progress: &mut dyn FnMut(&Progress)| {
        export_gguf(&args.model, &args.out, kind, args.shard_size, args.force, progress)
    };
    let manifest = with_bar(gguf).context("could not export the model")?;
    for file in &manifest.files {
        println!("{} ({:.1} MB)", args.out.join(&file.name).display(), file.bytes() as f64 / 1e6);
    }
    println!("{}", args.out.join(MANIFEST).display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn sizes_have_units() {
        for (text, expected) in [("5GB", 5_000_000_000), ("20mb", 20_000_000), ("3KB", 3000), ("77", 77)] {
            assert_eq!(bytes(text), Ok(expected));
        }
        for text in ["", "GB", "0", "-1GB", "5TB", "1.5GB", "99999999999GB", "5é"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }
}
