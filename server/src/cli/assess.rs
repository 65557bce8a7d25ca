//! `qponder assess`: image files in, scores and reasons out.

mod engine;
mod inputs;
mod report;
mod run;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use qponder_kernels::pixels::RgbImage;
use qponder_pipeline::assess::{Assessor, Event, Flow, Request};
use qponder_pipeline::device::Place;
use qponder_shared::api::{Mode, Sampling};

use super::places;
use report::{Asked, Report};

/// Arguments of `qponder assess`.
#[derive(Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Examples:
  qponder assess photo.jpg                  the reasoning as it is written, then the score
  qponder assess --mode quick photos/       a table of scores
  qponder assess --json photos/ | jq -r 'select(.score < 2.5) | .file'
  qponder assess --temperature 0.9 --seed 7 photo.jpg
  qponder assess --backend wgpu --model models/nano/q8_0 photo.jpg
  qponder assess run --recipe my-batch.toml      thousands of images, from manifests; goes on when interrupted

Exit status: 0 when every file was assessed, 1 when any failed."
)]
pub struct AssessArgs {
    #[command(subcommand)]
    command: Option<AssessCommand>,
    /// PNG, JPEG or WebP files, and directories to look for them in.
    #[arg(required = true, value_name = "FILE|DIR")]
    paths: Vec<PathBuf>,
    /// A Qwen2.5-VL checkpoint directory; for other backends than candle one with GGUF files, or that has such a
    /// one in `q8_0` [default: models/nano].
    #[arg(long, value_name = "DIR", env = "QPONDER_MODEL")]
    model: Option<PathBuf>,
    /// Where to run the model: cpu, or cuda:N where this program was built for CUDA.
    #[arg(long, value_name = "DEVICE", default_value_t)]
    device: Place,
    /// What computes.
    #[arg(long, value_enum, default_value = "candle")]
    backend: BackendArg,
    /// How the model is asked.
    #[arg(long, value_enum, default_value = "reason")]
    mode: ModeArg,
    /// Equal seeds give equal answers.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// 0 takes the most likely token; higher values vary more.
    #[arg(long, value_name = "T", default_value_t = 0.0)]
    temperature: f64,
    /// Keep the smallest set of tokens whose probability reaches this.
    #[arg(long, value_name = "P", default_value_t = 1.0)]
    top_p: f64,
    /// Longest answer in tokens.
    #[arg(long, value_name = "N", default_value_t = 512)]
    max_new_tokens: usize,
    /// Print one JSON object a line.
    #[arg(long)]
    json: bool,
    /// Images that are assessed together.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    batch: u16,
}

#[derive(Subcommand)]
enum AssessCommand {
    /// Assess the images of manifests, as a recipe says.
    Run(run::RunArgs),
}

/// What computes.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum BackendArg {
    /// A checkpoint directory, on the device that `--device` says.
    Candle,
    /// GGUF files from `qponder export gguf`, on one thread, as in a browser without WebGPU.
    Cpu,
    /// GGUF files, on a graphics card that speaks Vulkan, Metal or DX12, as in a browser.
    Wgpu,
}

/// [`Mode`] as the command line names it.
#[derive(Clone, Copy, clap::ValueEnum)]
enum ModeArg {
    /// Reasoning in words, attribute by attribute, then a score.
    Reason,
    /// One level word; one forward pass.
    Quick,
}

/// Assesses the files.
///
/// # Errors
/// When nothing can be assessed at all; a file that fails is reported and not an error here.
pub fn run(args: &AssessArgs) -> anyhow::Result<ExitCode> {
    if let Some(AssessCommand::Run(args)) = &args.command {
        return run::run(args).map(|()| ExitCode::SUCCESS);
    }
    let mode = match args.mode {
        ModeArg::Reason => Mode::Reason,
        ModeArg::Quick => Mode::Quick,
    };
    let sampling = Sampling {
        temperature: args.temperature,
        top_p: args.top_p,
        seed: args.seed,
        max_new_tokens: args.max_new_tokens,
        ..Sampling::default()
    };
    sampling.check()?;
    let files = inputs::collect(&args.paths)?;
    if files.is_empty() {
        bail!("no PNG, JPEG or WebP file was found");
    }
    let single = files.len() == 1 && args.paths.iter().all(|path| !path.is_dir());
    if args.backend != BackendArg::Candle {
        let all_fine = engine::run(args, files, mode, sampling, single)?;
        return Ok(if all_fine { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let assessor = Assessor::load(&places::model(args.model.as_deref()), args.device)?;
    let asked = Asked { model: assessor.info().name.clone(), mode, seed: args.seed };
    let mut report = Report::new(asked, files.len(), args.json, single);
    let all_fine = assess(&assessor, files, usize::from(args.batch), mode, sampling, &mut report)?;
    report.finish();
    Ok(if all_fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Answers batch by batch while the next batch is read and decoded on another thread.
fn assess(
    assessor: &Assessor,
    files: Vec<PathBuf>,
    batch: usize,
    mode: Mode,
    sampling: Sampling,
    report: &mut Report,
) -> anyhow::Result<bool> {
    let (decoded, next) = mpsc::sync_channel(batch);
    std::thread::Builder::new()
        .name("decode".into())
        .spawn(move || {
            for file in files {
                let image = inputs::read(&file);
                // The receiver is gone when printing failed.
                if decoded.send((file, image)).is_err() {
                    return;
                }
            }
        })
        .context("cannot start a thread")?;
    let mut all_fine = true;
    loop {
        let group: Vec<_> = next.iter().take(batch).collect();
        if group.is_empty() {
            return Ok(all_fine);
        }
        all_fine &= answer(assessor, group, mode, sampling, report)?;
    }
}

/// Answers one batch and reports it in the order of its files. Returns whether all were assessed.
fn answer(
    assessor: &Assessor,
    group: Vec<(PathBuf, anyhow::Result<RgbImage>)>,
    mode: Mode,
    sampling: Sampling,
    report: &mut Report,
) -> anyhow::Result<bool> {
    let mut names = Vec::with_capacity(group.len());
    let mut results = Vec::with_capacity(group.len());
    let mut requests = Vec::with_capacity(group.len());
    let mut positions = Vec::with_capacity(group.len());
    for (position, (file, image)) in group.into_iter().enumerate() {
        names.push(file);
        match image {
            Ok(image) => {
                requests.push(Request { image, mode, sampling, wording: None });
                positions.push(position);
                results.push(Err("the model ended without an answer".to_owned()));
            }
            Err(error) => results.push(Err(format!("{error:#}"))),
        }
    }
    let mut printed = Ok(());
    assessor.answer(&requests, &mut |index, event| {
        match event {
            Event::Text(text) => printed = report.text(&text),
            Event::Done(answer) => results[positions[index]] = Ok(answer),
            Event::Refused(reason) | Event::Failed(reason) => results[positions[index]] = Err(reason),
        }
        if printed.is_err() { Flow::Cancel } else { Flow::Continue }
    });
    printed?;
    let all_fine = results.iter().all(Result::is_ok);
    for (file, result) in names.iter().zip(results) {
        report.file(file, result.as_ref())?;
    }
    Ok(all_fine)
}
