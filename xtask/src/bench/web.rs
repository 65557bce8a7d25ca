//! `bench web`: photos in the browser and natively, side by side, and what a visit costs.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::{table, web_peers};
use crate::{process, setup, up, web, workspace::Workspace};

const PATH: &str = "docs/benchmarks/web.md";

/// What is scored.
const PHOTO: &str = "tests/fixtures/photographs/brook.jpg";

/// What stands before the tables.
const HOW: &str = "\
Aims: in WebAssembly within 1.5 of the native engine on one thread; twice as fast as ONNX Runtime Web on the same \
backend. There is no graphics card in this machine: WebGPU and Vulkan run in software, which says nothing of a card.

Chromium is headless. Medians of nine scores and three answers; in the browser one of each where a card is \
imitated, after one that is not counted. Ours is the whole way from a JPEG to the score, and so is that of transformers.js; ONNX \
Runtime Web and candle get the pixels as the model takes them. The peers have the same weights, exported for this \
photo's shape (`tests/bench/web_peers`), one thread, and give PyTorch's score to 0.05 or are not listed with one; \
candle is the server's own model code. Tokens a second are those of a whole answer, the photo and the prompt \
included. Peak MiB are those of the page's and the graphics process together, in a browser of their own; ours hold both \
backends, since the page measures which is faster.";

/// Measures and writes the tables.
pub fn run(workspace: &Workspace) -> Result<()> {
    setup::ensure(&[setup::FOR_TESTS, setup::FOR_BROWSER], false)?;
    web::build(workspace)?;
    let mut cargo = process::cargo(workspace.root());
    process::run(cargo.arg("build").args(up::SELECTION).args(["--example", "web", "--bins"]))?;
    let debug = workspace.target().join("debug");
    let mut measured = Command::new(debug.join("examples/web"));
    measured.env("QPONDER_BIN", debug.join("qponder")).current_dir(workspace.root()).stderr(Stdio::inherit());
    match web_peers::prepare(workspace, &workspace.path(PHOTO)) {
        Ok(folder) => _ = measured.env("QPONDER_BENCH_WEB_PEERS", folder),
        Err(error) => eprintln!("bench: no peers in the browser: {error:#}"),
    }
    let tables = process::read(&mut measured)?;
    let provenance = table::provenance(workspace, "cargo xtask bench web")?;
    let report = format!("# Quick score\n\n{provenance}\n\n{HOW}\n\n{tables}\n");
    print!("{report}");
    let path = workspace.path(PATH);
    fs::write(&path, report).with_context(|| format!("cannot write {}", path.display()))?;
    println!("Written to {PATH}");
    Ok(())
}
