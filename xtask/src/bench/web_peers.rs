//! The peers in the browser: ONNX Runtime Web, transformers.js, and candle compiled to WebAssembly, on the same
//! model and photo.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use wasm_bindgen_cli_support::Bindgen;

use super::python;
use crate::{process, wasm::Toolchain, workspace::Workspace};

/// Pages and scripts of the peers, in the repository.
const SOURCE: &str = "tests/bench/web_peers";
/// Our model code on candle, as a module for browsers.
const CANDLE: &str = "tests/bench/candle_wasm";

/// Makes the folder that is served to the browser; returns it.
pub fn prepare(workspace: &Workspace, photo: &Path) -> Result<PathBuf> {
    let folder = workspace.target().join("web_peers");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for name in ["index.html", "package.json", "peers.js"] {
        let from = workspace.path(SOURCE).join(name);
        fs::copy(&from, folder.join(name)).with_context(|| format!("cannot copy {}", from.display()))?;
    }
    let mut npm = Command::new("npm");
    npm.args(["install", "--no-package-lock", "--no-audit", "--no-fund", "--silent", "--ignore-scripts"]);
    process::run(npm.current_dir(&folder)).context("the peers need Node.js and npm")?;
    export(workspace, photo, &folder)?;
    compile_candle(workspace, &folder.join("candle"))?;
    Ok(folder)
}

/// Writes the model as ONNX, and what is asked of every peer.
fn export(workspace: &Workspace, photo: &Path, folder: &Path) -> Result<()> {
    let python = python::prepare(workspace)?;
    let mut export = Command::new(python.interpreter);
    export.arg(workspace.path(SOURCE).join("export.py")).current_dir(workspace.root());
    export.args(["--model", "models/nano", "--system", "shared/prompts/system-1.txt"]);
    export.args(["--prompt", "shared/prompts/quick-1.txt", "--reason", "shared/prompts/reason-1.txt"]);
    export.arg("--photo").arg(photo).arg("--out").arg(folder.join("nano"));
    process::read(&mut export)?;
    Ok(())
}

fn compile_candle(workspace: &Workspace, folder: &Path) -> Result<()> {
    let toolchain = Toolchain::find().context("no compiler for WebAssembly is installed")?;
    let mut cargo = toolchain.cargo(workspace.root(), "build");
    cargo
        .arg("--manifest-path")
        .arg(workspace.path(CANDLE).join("Cargo.toml"))
        .args(["--release", "--locked"]);
    cargo.env("RUSTFLAGS", "-C target-feature=+simd128 --cfg getrandom_backend=\"wasm_js\"");
    process::run(&mut cargo)?;
    let module =
        workspace.target().join("wasm").join(crate::wasm::TARGET).join("release").join("candle_wasm.wasm");
    let mut bindgen = Bindgen::new();
    bindgen.input_path(&module).out_name("candle").typescript(false).web(true)?;
    bindgen.generate(folder).with_context(|| format!("wasm-bindgen cannot read {}", module.display()))
}
