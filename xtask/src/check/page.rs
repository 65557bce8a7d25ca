//! The compiler's warnings about the page, from a toolchain without clippy.

use std::process::Stdio;

use anyhow::{Context, Result, bail};

use crate::{wasm::Toolchain, workspace::Workspace};

/// Checks the frontend on its real target and fails on any warning about it.
///
/// `-D warnings` in `RUSTFLAGS` would also reach the standard library that this toolchain builds, whose
/// warnings are not ours: so the messages are read instead.
pub fn check_with_debian(workspace: &Workspace) -> Result<()> {
    let mut cargo = Toolchain::Debian.cargo(workspace.root(), "check");
    cargo.args(["-p", "qponder-frontend", "--message-format", "json-diagnostic-rendered-ansi"]);
    let output = cargo.stderr(Stdio::inherit()).output().context("cannot start Debian's cargo")?;
    let mut warnings = 0;
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let message: serde_json::Value = serde_json::from_str(line).context("cargo printed no JSON")?;
        if message["reason"] != "compiler-message" || !is_about_ours(&message, workspace) {
            continue;
        }
        eprint!("{}", message["message"]["rendered"].as_str().unwrap_or_default());
        warnings += usize::from(message["message"]["level"] == "warning");
    }
    if !output.status.success() {
        bail!("the page does not compile");
    }
    if warnings > 0 {
        bail!("{warnings} warnings");
    }
    Ok(())
}

fn is_about_ours(message: &serde_json::Value, workspace: &Workspace) -> bool {
    let manifest = message["manifest_path"].as_str().unwrap_or_default();
    std::path::Path::new(manifest).starts_with(workspace.root())
}
