//! The compiler that builds the page: rustup's, where it has the WebAssembly target, else Debian's.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;

use crate::process;

/// The target that browsers run.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// Debian's compiler as it is packaged for Firefox and Chromium, with the sources of its standard
/// library and the linker for WebAssembly.
pub const DEBIAN_PACKAGES: &[&str] = &["rustc-web", "cargo-web", "rust-web-src", "lld"];

/// The oldest compiler that takes this workspace.
pub const OLDEST_COMPILER: &str = env!("CARGO_PKG_RUST_VERSION");

/// Leptos then hides the type of each view behind a pointer: without it, every combination of elements is
/// compiled on its own, which makes the page's app half as large again.
const FLAGS: &str = "--cfg erase_components";

const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_CARGO: &str = "/usr/bin/cargo";

/// A compiler that can build for WebAssembly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Toolchain {
    /// The one that builds everything else: its standard library for the target is installed.
    Ours,
    /// Debian's, which comes without that library and so builds it from source first.
    Debian,
}

impl Toolchain {
    /// Finds an installed one; rustup's is preferred, since it spares building the standard library.
    pub fn find() -> Option<Self> {
        if ours_has_target() {
            Some(Self::Ours)
        } else if debian_is_installed() {
            Some(Self::Debian)
        } else {
            None
        }
    }

    /// A cargo with the subcommand given, for the WebAssembly target and in its own target folder.
    pub fn cargo(self, root: &Path, subcommand: &str) -> Command {
        let mut command = match self {
            Self::Ours => process::cargo(root),
            Self::Debian => debian_cargo(root),
        };
        // Flags in the environment are meant for this machine's processor.
        command.env_remove("CARGO_ENCODED_RUSTFLAGS").env("RUSTFLAGS", FLAGS);
        command.arg(subcommand);
        if self == Self::Debian {
            command.arg("-Zbuild-std=std,panic_abort");
        }
        command.args(["--target", TARGET]).arg("--target-dir").arg(target_dir(root));
        command
    }

    /// What to call it in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ours => "the active toolchain",
            Self::Debian => "Debian's rustc-web",
        }
    }
}

/// Where WebAssembly builds go: apart from the native ones, since two compilers would take turns
/// throwing each other's work away.
pub fn target_dir(root: &Path) -> PathBuf {
    root.join("target/wasm")
}

/// Asks rustup to add the target to the active toolchain. Without rustup, or offline, this fails.
pub fn add_with_rustup() -> Result<()> {
    process::run(Command::new("rustup").args(["target", "add", TARGET]))
}

fn debian_cargo(root: &Path) -> Command {
    let mut command = Command::new(DEBIAN_CARGO);
    command.current_dir(root);
    process::remove_outer_cargo(&mut command);
    for name in ["CARGO", "RUSTC", "RUSTDOC", "RUSTC_WRAPPER", "RUSTUP_TOOLCHAIN"] {
        command.env_remove(name);
    }
    // -Zbuild-std is the one unstable option used; the variable lets a stable compiler take it.
    command.env("RUSTC", DEBIAN_RUSTC).env("RUSTC_BOOTSTRAP", "1");
    command.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", "wasm-ld");
    command
}

fn ours_has_target() -> bool {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let Ok(sysroot) = process::read(Command::new(rustc).args(["--print", "sysroot"])) else { return false };
    Path::new(&sysroot).join("lib/rustlib").join(TARGET).join("lib").is_dir()
}

fn debian_is_installed() -> bool {
    let library = Path::new("/usr/lib/rustlib/src/rust/library/Cargo.toml");
    [Path::new(DEBIAN_RUSTC), Path::new(DEBIAN_CARGO), library].iter().all(|file| file.is_file())
        && process::find_program("wasm-ld").is_some()
        && process::read(Command::new(DEBIAN_RUSTC).arg("--version")).is_ok_and(|said| is_new_enough(&said))
}

/// Whether `rustc --version` names a release that takes this workspace.
fn is_new_enough(said: &str) -> bool {
    let release = |version: &str| -> Option<(u32, u32)> {
        let mut parts = version.split('.');
        Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    };
    said.split_whitespace().nth(1).and_then(release) >= release(OLDEST_COMPILER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_compiler_is_told_from_one_that_will_do() {
        assert!(is_new_enough(&format!("rustc {OLDEST_COMPILER}.0 (built from a source tarball)")));
        assert!(is_new_enough("rustc 2.0.0"));
        assert!(!is_new_enough("rustc 1.85.0 (4d91de4e4 2025-02-17) (built from a source tarball)"));
        assert!(!is_new_enough("something else"));
    }
}
