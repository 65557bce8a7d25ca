//! The part of `cargo metadata` that the checks read.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::{process, workspace::Workspace};

/// All packages of the lock file, ours included.
#[derive(Debug, Deserialize)]
pub struct Metadata {
    packages: Vec<Package>,
}

impl Metadata {
    /// The packages that others wrote.
    pub fn foreign(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| package.source.is_some())
    }

    /// The packages of this workspace.
    pub fn ours(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| package.source.is_none())
    }
}

/// One package.
#[derive(Debug, Deserialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its licence as an SPDX expression, if it states one.
    pub license: Option<String>,
    /// What it asks for.
    pub dependencies: Vec<Dependency>,
    /// Notes that its manifest keeps for tools.
    #[serde(default)]
    pub metadata: serde_json::Value,
    manifest_path: PathBuf,
    source: Option<String>,
}

impl Package {
    /// The folder of its manifest.
    pub fn folder(&self) -> &Path {
        self.manifest_path.parent().unwrap_or(&self.manifest_path)
    }
}

/// One line of a package's dependency tables.
#[derive(Debug, Deserialize)]
pub struct Dependency {
    name: String,
    rename: Option<String>,
}

impl Dependency {
    /// The name that code uses for it.
    pub fn crate_name(&self) -> String {
        self.rename.as_ref().unwrap_or(&self.name).replace('-', "_")
    }
}

/// Asks cargo, for every target and feature.
pub fn read(workspace: &Workspace) -> Result<Metadata> {
    let json = process::read(process::cargo(workspace.root()).args(["metadata", "--format-version", "1"]))?;
    serde_json::from_str(&json).context("cannot read what `cargo metadata` printed")
}
