//! Every dependency's licence against the list in `deny.toml`.

use std::fs;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::{expression, metadata};
use crate::workspace::Workspace;

/// What we read of `deny.toml`; the rest of it speaks to cargo-deny alone.
#[derive(Deserialize)]
struct Policy {
    licenses: Licenses,
}

#[derive(Deserialize)]
struct Licenses {
    allow: Vec<String>,
    #[serde(default)]
    exceptions: Vec<Exception>,
}

/// Licences that one package alone may have.
#[derive(Deserialize)]
struct Exception {
    #[serde(rename = "crate")]
    package: String,
    allow: Vec<String>,
}

impl Licenses {
    fn allowed_for(&self, package: &str) -> Vec<String> {
        let own = self.exceptions.iter().filter(|exception| exception.package == package);
        own.flat_map(|exception| &exception.allow).chain(&self.allow).cloned().collect()
    }
}

/// Fails with the name and licence of each package that the list does not cover.
pub fn check(workspace: &Workspace) -> Result<()> {
    let metadata = metadata::read(workspace)?;
    let path = workspace.path("deny.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let policy: Policy = toml::from_str(&text).with_context(|| format!("cannot read {}", path.display()))?;

    let mut refused = Vec::new();
    for package in metadata.foreign() {
        let licence = package.license.as_deref().unwrap_or("no licence stated");
        if !expression::is_met(licence, &policy.licenses.allowed_for(&package.name)) {
            refused.push(format!("{} {} ({licence})", package.name, package.version));
        }
    }
    if !refused.is_empty() {
        bail!("not covered by the list in deny.toml: {}", refused.join(", "));
    }
    eprintln!("    licences of {} packages are on the list in deny.toml", metadata.foreign().count());
    Ok(())
}
