//! `bench lists`: pages of every list in a database of a million images. There is no peer; the aim is a time.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::table;
use crate::{process, up, workspace::Workspace};

const PATH: &str = "docs/benchmarks/lists.md";

/// What stands before the tables.
const HOW: &str = "\
The aim is 50 ms for the 99th percentile of any page, and 100 ms for the next task.

The server is the debug build that `cargo xtask up` runs (our code and its dependencies optimised), with its own \
Postgres in its default settings on the same machine. The rows are generated (`tests/src/crowd.rs`): for each image two \
answers, a pair, a label, an item of one study, a vote and a line of the audit log; for each second one an annotation. \
A time is that of a whole request over HTTP on a connection of its own, one after the other. *First* is the first page \
again and again, *next* goes from page to page, *anywhere* is at positions drawn from the whole list, so that \
most rows are not in Postgres' memory. How each list finds its rows is in \
`tests/tests/api/snapshots/api__plans__plans.snap`, which a test keeps.";

/// Measures them and writes the tables.
pub fn run(workspace: &Workspace) -> Result<()> {
    let mut cargo = process::cargo(workspace.root());
    process::run(cargo.arg("build").args(up::SELECTION).args(["--example", "lists", "--bins"]))?;
    let debug = workspace.target().join("debug");
    let mut lists = Command::new(debug.join("examples/lists"));
    lists.env("QPONDER_BIN", debug.join("qponder")).current_dir(workspace.root()).stderr(Stdio::inherit());
    let tables = process::read(&mut lists)?;
    let provenance = table::provenance(workspace, "cargo xtask bench lists")?;
    let report = format!("# Lists at a million images\n\n{provenance}\n\n{HOW}\n\n{tables}\n");
    print!("{report}");
    let path = workspace.path(PATH);
    fs::write(&path, report).with_context(|| format!("cannot write {}", path.display()))?;
    println!("Written to {PATH}");
    Ok(())
}
