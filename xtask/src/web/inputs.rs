//! One hash over every file that the page is built from.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::{web::bundle::hex, workspace::Workspace};

/// The frontend, the crates that it may depend on, the model of the page *Quick score*, what fixes versions and flags, and this code.
const INPUTS: &[&str] = &[
    "frontend",
    "shared",
    "kernels",
    super::WEIGHTS,
    "xtask/src/web",
    "xtask/src/wasm.rs",
    "Cargo.toml",
    "Cargo.lock",
];

/// Hashes paths and contents in a fixed order, as lower-case hex.
pub fn hash(workspace: &Workspace) -> Result<String> {
    let mut files = Vec::new();
    for input in INPUTS {
        list(&workspace.path(input), &mut files)?;
    }
    files.sort();
    let mut hasher = Sha256::new();
    for file in files {
        let content = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let path = file.strip_prefix(workspace.root()).unwrap_or(&file);
        hasher.update(path.as_os_str().as_encoded_bytes());
        // Lengths keep "ab" + "c" apart from "a" + "bc".
        hasher.update([0]);
        hasher.update((content.len() as u64).to_le_bytes());
        hasher.update(content);
    }
    Ok(hex(&hasher.finalize()))
}

fn list(path: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if !path.is_dir() {
        files.push(path.to_path_buf());
        return Ok(());
    }
    let entries = fs::read_dir(path).with_context(|| format!("cannot list {}", path.display()))?;
    for entry in entries {
        list(&entry.with_context(|| format!("cannot list {}", path.display()))?.path(), files)?;
    }
    Ok(())
}
