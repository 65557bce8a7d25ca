//! Dependencies that no source file of their package names.
//!
//! A dependency that only turns a feature on, or is used by a macro's output, is listed under
//! `[package.metadata.cargo-machete] ignored`, which cargo-machete reads too.

use std::{fs, path::Path};

use anyhow::{Context, Result, bail};

use super::metadata::{self, Package};
use crate::workspace::Workspace;

/// Fails with each unused dependency and its package.
pub fn check(workspace: &Workspace) -> Result<()> {
    let metadata = metadata::read(workspace)?;
    let mut unused = Vec::new();
    for package in metadata.ours() {
        let mut code = String::new();
        read_code(package.folder(), &mut code)?;
        let ignored = ignored_by(package);
        for dependency in &package.dependencies {
            let name = dependency.crate_name();
            if !ignored.contains(&name) && !names(&code, &name) {
                unused.push(format!("{name} in {}", package.name));
            }
        }
    }
    if !unused.is_empty() {
        bail!("no source names {}", unused.join(", "));
    }
    Ok(())
}

fn ignored_by(package: &Package) -> Vec<String> {
    let listed = package.metadata.pointer("/cargo-machete/ignored").and_then(|list| list.as_array());
    let names = listed.into_iter().flatten().filter_map(|name| name.as_str());
    names.map(|name| name.replace('-', "_")).collect()
}

/// Whether `name` occurs as a whole identifier.
fn names(code: &str, name: &str) -> bool {
    let is_part = |character: char| character.is_alphanumeric() || character == '_';
    code.match_indices(name).any(|(start, _)| {
        let before = code[..start].chars().next_back();
        let after = code[start + name.len()..].chars().next();
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

/// Appends every Rust file below `folder`.
fn read_code(folder: &Path, code: &mut String) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            read_code(&path, code)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            code.push_str(
                &fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?,
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn only_whole_identifiers_count() {
        assert!(names("use sha2::Digest;", "sha2"));
        assert!(!names("use sha256::Digest; fn my_sha2() {}", "sha2"));
        assert!(names("let x = rayon_cond; rayon::join(a, b)", "rayon"));
        assert!(!names("let x = rayon_cond;", "rayon"));
    }
}
