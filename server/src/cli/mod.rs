//! The command line: one file a command.

mod assess;
mod backup;
mod check_device;
mod dataset;
mod degrade;
mod distil;
mod evaluate;
mod export;
mod grpo;
mod places;
mod recipe;
mod serve;
mod sft;
mod training;
mod user;
mod worker;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Q-Ponder looks at photographs, reasons about their visual quality, and ends with a score.
#[derive(Parser)]
#[command(name = "qponder", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the page and the API.
    Serve(serve::ServeArgs),
    /// Do jobs beside a server: distil, train, evaluate.
    Worker(worker::WorkerArgs),
    /// Back up a server's database and files.
    Backup(backup::BackupArgs),
    /// Make a server's data directory of a backup.
    Restore(backup::RestoreArgs),
    /// List the users of a server, or make a link for a new password.
    User(user::UserArgs),
    /// Assess image files.
    Assess(assess::AssessArgs),
    /// Make degraded images with known distortions, and a manifest of them.
    Degrade(degrade::DegradeArgs),
    /// Import, count, verify and export labelled images.
    Dataset(dataset::DatasetArgs),
    /// Ask a teacher about labelled images and keep its good answers.
    Distil(distil::DistilArgs),
    /// Train a model as a recipe says.
    Sft(sft::SftArgs),
    /// Improve a trained model by reinforcement learning.
    Grpo(grpo::GrpoArgs),
    /// Check training recipes, or show every key with its default.
    Recipe(recipe::RecipeArgs),
    /// Measure a model against the labels of a dataset.
    Evaluate(evaluate::EvaluateArgs),
    /// Compare a GPU with the CPU, and measure it.
    CheckDevice(check_device::CheckDeviceArgs),
    /// Write a model as other programs read it.
    Export(export::ExportArgs),
}

/// Runs the command that was asked for.
///
/// # Errors
/// What ended it; the message is meant for the user.
pub fn run() -> anyhow::Result<ExitCode> {
    match Arguments::parse().command {
        Command::Serve(args) => serve::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Worker(args) => worker::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Backup(args) => backup::back_up(&args).map(|()| ExitCode::SUCCESS),
        Command::Restore(args) => backup::restore(&args).map(|()| ExitCode::SUCCESS),
        Command::User(args) => user::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Assess(args) => assess::run(&args),
        Command::Degrade(args) => degrade::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Dataset(args) => dataset::run(&args),
        Command::Distil(args) => distil::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Sft(args) => sft::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Grpo(args) => grpo::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Recipe(args) => recipe::run(args).map(|()| ExitCode::SUCCESS),
        Command::Evaluate(args) => evaluate::run(&args).map(|()| ExitCode::SUCCESS),
        Command::CheckDevice(args) => check_device::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Export(args) => export::run(&args).map(|()| ExitCode::SUCCESS),
    }
}
