//! `qponder dataset`: published datasets in, manifests looked at and checked, conversations out.

mod export;
mod import;
mod proxy;
mod stats;
mod verify;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use qponder_pipeline::dataset::Progress;

/// Arguments of `qponder dataset`.
#[derive(Args)]
pub struct DatasetArgs {
    #[command(subcommand)]
    command: DatasetCommand,
}

#[derive(Subcommand)]
enum DatasetCommand {
    /// Make a manifest of a published dataset: its label file and its folder of images.
    ///
    /// Labels become MOS from 1 to 5, higher is better: linear between the ends of the dataset's scale, DMOS
    /// reversed. All versions of a reference come into one split. What would leak between splits is refused.
    Import(import::ImportArgs),
    /// Count what manifests hold.
    Stats(stats::StatsArgs),
    /// Label images that other programs made from pristine ones, by comparing the two.
    ///
    /// The label is the proxy of docs/proxy.md, as for images that `qponder degrade` makes.
    Proxy(proxy::ProxyArgs),
    /// Check every row and every image of manifests.
    ///
    /// Every image decodes, ids are unique, labels are from 1 to 5, no reference and no image is in two splits,
    /// and images are what hashes.sha256 beside the manifest says, where that is there.
    Verify(verify::VerifyArgs),
    /// Write rows with a teacher's answer as conversations for other trainers.
    ///
    /// A conversation is the system prompt, the prompt of reasoning mode after the image, and the teacher's
    /// answer. Image paths are absolute.
    Export(export::ExportArgs),
}

/// Runs the subcommand.
///
/// # Errors
/// What ended it. Faults in the data are no error but exit code 1.
pub fn run(args: &DatasetArgs) -> anyhow::Result<ExitCode> {
    match &args.command {
        DatasetCommand::Import(args) => import::run(args),
        DatasetCommand::Stats(args) => stats::run(args).map(|()| ExitCode::SUCCESS),
        DatasetCommand::Proxy(args) => proxy::run(args).map(|()| ExitCode::SUCCESS),
        DatasetCommand::Verify(args) => verify::run(args),
        DatasetCommand::Export(args) => export::run(args).map(|()| ExitCode::SUCCESS),
    }
}

/// Runs `work` below a bar on standard error, hidden when that is no terminal.
fn with_bar<T>(work: impl FnOnce(&(dyn Fn(Progress) + Sync)) -> T) -> T {
    let style = ProgressStyle::with_template("{bar:30} {human_pos} of {human_len} images, {eta} left");
    let bar = ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(Duration::from_millis(200));
    let done = work(&|progress: Progress| {
        bar.set_length(progress.total as u64);
        bar.set_position(progress.done as u64);
    });
    bar.finish_and_clear();
    done
}
