//! `cargo xtask`: what a developer does with this repository, one subcommand for each task.
//!
//! Nothing here is part of the product. Each task first makes sure that what it needs is installed
//! (`setup`), so that every one of them works on a fresh machine.

mod bench;
mod check;
mod cuda;
mod process;
mod setup;
mod soak;
mod test;
mod toy;
mod train;
mod up;
mod wasm;
mod web;
mod workspace;

use std::process::ExitCode;

use anyhow::{Result, bail};
use lexopt::{Arg, Parser};

use crate::workspace::Workspace;

const HELP: &str = "\
Developer tasks of Q-Ponder.

Usage: cargo xtask <TASK> [OPTIONS]

Tasks:
  up [--listen ADDRESS] [--accounts] [--no-serve] [--dry-run] [-- SERVE-OPTIONS]
      Install what is missing, build everything and run the server, for this machine alone unless
      --accounts
  test [--no-browser] [--dry-run]
      Install what the tests need and run all of them
  soak [--minutes 60] [--seed N]
      Small trainings while workers, the server, Postgres and the network are killed again and again
  check [NAME]
      Formatting, lints, documentation, licences, advisories, unused dependencies, or only those
      whose names contain NAME
  bench [NAME]
      Measure our commands against their peers, or only the parts whose names contain NAME;
      `bench lists` measures the pages of every list at a million images, `bench jobs` the queue and
      pages of trainings, `bench web` photos in the browser
  train-nano [--dry-run]
      Train a model like the shipped one from nothing, from photographs to GRPO
  train-toy [--dry-run]
      The whole path at toy size: distil, cold start, GRPO, evaluation, in minutes
  cuda build [--capability DIGITS]
      Build the program for NVIDIA GPUs, on any machine
  cuda check [--capability DIGITS]
      Build it, and on a machine with a GPU compare it with the CPU and measure it
  web
      Build only the page, into target/web

Options:
  -h, --help  Print this text
";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let workspace = Workspace::find()?;
    let mut arguments = Parser::from_env();
    let task = match arguments.next()? {
        None | Some(Arg::Short('h') | Arg::Long("help")) => {
            print!("{HELP}");
            return Ok(());
        }
        Some(Arg::Value(task)) => task.to_string_lossy().into_owned(),
        Some(other) => return Err(other.unexpected().into()),
    };
    match task.as_str() {
        "up" => up::run(&workspace, up::Options::parse(&mut arguments)?),
        "soak" => soak::run(&workspace, &soak::Options::parse(&mut arguments)?),
        "test" => test::run(&workspace, &test::Options::parse(&mut arguments)?),
        "bench" => bench::run(&workspace, &bench::Options::parse(&mut arguments)?),
        "cuda" => cuda::run(&workspace, &cuda::Options::parse(&mut arguments)?),
        "check" => check::run(&workspace, &check::Options::parse(&mut arguments)?),
        "train-nano" => train::run(&workspace, dry_run(&mut arguments)?),
        "train-toy" => toy::run(&workspace, dry_run(&mut arguments)?),
        "web" => {
            no_options(&mut arguments)?;
            web::build(&workspace)
        }
        other => bail!("there is no task `{other}`; `cargo xtask --help` lists them"),
    }
}

/// For tasks that take no other option.
fn dry_run(arguments: &mut Parser) -> Result<bool> {
    let dry_run = match arguments.next()? {
        None => return Ok(false),
        Some(Arg::Long("dry-run")) => true,
        Some(other) => return Err(other.unexpected().into()),
    };
    no_options(arguments)?;
    Ok(dry_run)
}

/// For tasks that take none: a misspelt option is an error, not something to ignore.
fn no_options(arguments: &mut Parser) -> Result<()> {
    match arguments.next()? {
        Some(unexpected) => Err(unexpected.unexpected().into()),
        None => Ok(()),
    }
}
