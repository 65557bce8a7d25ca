//! `cargo xtask`: what a developer does with this repository, one subcommand for each task.
//!
//! Nothing here is part of the product. Each task first makes sure that what it needs is installed
//! (`setup`), so that every one of them works on a fresh machine.

mod process;
mod wasm;
mod web;
mod workspace;

use std::process::ExitCode;

use anyhow::{Result, bail};
use lexopt::Arg;

use crate::workspace::Workspace;

const HELP: &str = "\
Developer tasks of Q-Ponder.

Usage: cargo xtask <TASK> [OPTIONS]

Tasks:
  web         Build only the page, into target/web

Options of every task:
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
    let mut arguments = lexopt::Parser::from_env();
    let task = match arguments.next()? {
        None | Some(Arg::Short('h') | Arg::Long("help")) => {
            print!("{HELP}");
            return Ok(());
        }
        Some(Arg::Value(task)) => task.to_string_lossy().into_owned(),
        Some(other) => return Err(other.unexpected().into()),
    };
    match task.as_str() {
        "web" => web::build(&workspace),
        other => bail!("there is no task `{other}`; `cargo xtask --help` lists them"),
    }
}
