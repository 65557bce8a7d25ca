//! `bench web`: photos in the browser and natively, side by side, and what a visit costs.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::table;
use crate::{process, setup, up, web, workspace::Workspace};

const PATH: &str = "docs/benchmarks/web.md";

/// What stands before the tables.
const HOW: &str = "\
Aims: in WebAssembly within 1.5 of the native engine on one thread; twice as fast as ONNX Runtime Web on the same \
backend. That peer, transformers.js and candle compiled to WebAssembly are not measured yet. There is no graphics \
card in this machine: WebGPU and Vulkan run in software, which says nothing of a card.

Chromium is headless. Medians of nine; answers with reasons are one in the browser, with the time that its driver \
takes to see the end.";

/// Measures and writes the tables.
pub fn run(workspace: &Workspace) -> Result<()> {
    setup::ensure(&[setup::FOR_TESTS, setup::FOR_BROWSER], false)?;
    web::build(workspace)?;
    let mut cargo = process::cargo(workspace.root());
    process::run(cargo.arg("build").args(up::SELECTION).args(["--example", "web", "--bins"]))?;
    let debug = workspace.target().join("debug");
    let mut measured = Command::new(debug.join("examples/web"));
    measured.env("QPONDER_BIN", debug.join("qponder")).current_dir(workspace.root()).stderr(Stdio::inherit());
    let tables = process::read(&mut measured)?;
    let provenance = table::provenance(workspace, "cargo xtask bench web")?;
    let report = format!("# Quick score\n\n{provenance}\n\n{HOW}\n\n{tables}\n");
    print!("{report}");
    let path = workspace.path(PATH);
    fs::write(&path, report).with_context(|| format!("cannot write {}", path.display()))?;
    println!("Written to {PATH}");
    Ok(())
}
