//! The Python environment that the peers run in: `.venv`, with the versions that the fixtures pin.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context, Result, bail};

use crate::{process, workspace::Workspace};

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
    let wanted = workspace.path("tests/fixtures/requirements.txt");
    let requirements =
        fs::read_to_string(&wanted).with_context(|| format!("cannot read {}", wanted.display()))?;
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
    process::run(pip.args(["-m", "pip", "install", "--quiet", "--requirement"]).arg(&wanted))?;
    fs::write(&stamp, requirements).with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(Environment { interpreter })
}
