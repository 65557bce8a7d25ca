//! The Python environment that the peers run in: `.venv`, with the versions that the fixtures pin.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context, Result, bail};

use crate::{process, workspace::Workspace};

/// What the fixtures were made with, and so what the peers are.
const REQUIREMENTS: [&str; 4] = [
    "tests/fixtures/requirements.txt",
    "tests/fixtures/trl/requirements.txt",
    "tests/fixtures/peft/requirements.txt",
    "tests/bench/web_peers/requirements.txt",
];

/// A ready environment.
#[derive(Debug)]
pub struct Environment {
    /// Its interpreter.
    pub interpreter: PathBuf,
}

/// Creates the environment, or finds the one that an earlier run made from the same requirements.
pub fn prepare(workspace: &Workspace) -> Result<Environment> {
    let folder = workspace.path(".venv");
    let interpreter = folder.join("bin/python");
    let wanted = REQUIREMENTS.map(|relative| workspace.path(relative));
    let read =
        |path: &PathBuf| fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()));
    let requirements = wanted.iter().map(read).collect::<Result<String>>()?;
    let stamp = folder.join("requirements.installed");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == requirements) {
        return Ok(Environment { interpreter });
    }
    if process::find_program("python3").is_none() {
        bail!("python3 is not installed");
    }
    eprintln!("bench: installing the peers into {}", folder.display());
    process::run(Command::new("python3").args(["-m", "venv"]).arg(&folder))
        .context("python3 cannot make an environment (on Debian, install python3-venv)")?;
    let mut pip = Command::new(&interpreter);
    pip.args(["-m", "pip", "install", "--quiet"]);
    for path in &wanted {
        pip.arg("--requirement").arg(path);
    }
    process::run(&mut pip)?;
    fs::write(&stamp, requirements).with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(Environment { interpreter })
}
