//! The command line: one file a command.

mod assess;
mod degrade;
mod distil;
mod evaluate;
mod grpo;
mod places;
mod serve;
mod sft;
mod training;

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
    /// Assess image files.
    Assess(assess::AssessArgs),
    /// Make degraded images with known distortions, and a manifest of them.
    Degrade(degrade::DegradeArgs),
    /// Ask a teacher about labelled images and keep its good answers.
    Distil(distil::DistilArgs),
    /// Train a model as a recipe says.
    Sft(sft::SftArgs),
    /// Improve a trained model by reinforcement learning.
    Grpo(grpo::GrpoArgs),
    /// Measure a model against the labels of a dataset.
    Evaluate(evaluate::EvaluateArgs),
}

/// Runs the command that was asked for.
///
/// # Errors
/// What ended it; the message is meant for the user.
pub fn run() -> anyhow::Result<ExitCode> {
    match Arguments::parse().command {
        Command::Serve(args) => serve::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Assess(args) => assess::run(&args),
        Command::Degrade(args) => degrade::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Distil(args) => distil::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Sft(args) => sft::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Grpo(args) => grpo::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Evaluate(args) => evaluate::run(&args).map(|()| ExitCode::SUCCESS),
    }
}
