//! `bench`: our commands and their peers side by side in one run, as a Markdown table of ratios.
//!
//! A part is a pair of commands that do the same work and each print one JSON line of rates. They run
//! one after the other, never together, with equal numbers of threads. Nothing here is an assertion:
//! a slow machine gives a slow table.

mod jobs;
mod lists;
mod parts;
pub mod python;
mod table;
mod web;
mod web_peers;

use std::{fs, process::Command};

use anyhow::{Context, Result};
use lexopt::{Arg, Parser};
use serde_json::Value;

use self::{parts::Part, python::Environment, table::Row};
use crate::{process, setup, up, workspace::Workspace};

/// What the person asked for.
#[derive(Debug, Default)]
pub struct Options {
    /// Only the parts whose names contain this.
    filter: Option<String>,
}

impl Options {
    /// Reads the rest of the command line.
    pub fn parse(arguments: &mut Parser) -> Result<Self> {
        let mut options = Self::default();
        while let Some(argument) = arguments.next()? {
            match argument {
                Arg::Value(name) if options.filter.is_none() => {
                    options.filter = Some(name.to_string_lossy().into_owned());
                }
                other => return Err(other.unexpected().into()),
            }
        }
        Ok(options)
    }
}

/// Measures every part and writes the table.
pub fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    setup::ensure(&[setup::FOR_UP], false)?;
    if options.filter.as_deref() == Some("lists") {
        return lists::run(workspace);
    }
    if options.filter.as_deref() == Some("jobs") {
        return jobs::run(workspace);
    }
    if options.filter.as_deref() == Some("web") {
        return web::run(workspace);
    }
    let mut cargo = process::cargo(workspace.root());
    process::run(cargo.arg("build").args(up::SELECTION).args(["--example", "bench"]))?;
    let work = parts::prepare(workspace)?;
    let python = python::prepare(workspace)
        .inspect_err(|error| eprintln!("bench: no peers, so no ratios: {error:#}"))
        .ok();

    let chosen = |part: &Part| options.filter.as_ref().is_none_or(|name| part.name.contains(name.as_str()));
    let mut rows = Vec::new();
    for part in parts::all(workspace, &work)?.into_iter().filter(chosen) {
        eprintln!("bench: {}", part.name);
        let ours = last_json_line(workspace, &mut part.our_command(workspace))?;
        let peer = match &python {
            Some(python) => Some(last_json_line(workspace, &mut part.peer_command(python))?),
            None => None,
        };
        rows.extend(part.rates.iter().map(|rate| Row::new(&part, rate, &ours, peer.as_ref())));
    }

    let report = table::render(workspace, &rows)?;
    print!("\n{report}");
    if options.filter.is_some() {
        println!("Only part of the table: docs/benchmarks/first-light.md is left as it was.");
        return Ok(());
    }
    let path = workspace.path("docs/benchmarks/first-light.md");
    fs::create_dir_all(workspace.path("docs/benchmarks")).context("cannot create docs/benchmarks")?;
    fs::write(&path, report).with_context(|| format!("cannot write {}", path.display()))?;
    println!("Written to docs/benchmarks/first-light.md");
    Ok(())
}

/// Runs a command whose last line of output is a JSON object.
fn last_json_line(workspace: &Workspace, command: &mut Command) -> Result<Value> {
    let output = process::read(command.current_dir(workspace.root()))?;
    let line = output.lines().last().unwrap_or_default();
    serde_json::from_str(line).with_context(|| format!("a benchmark printed `{line}` instead of JSON"))
}
