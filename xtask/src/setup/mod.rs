//! Makes a machine ready: finds what is missing, says what it will install, and installs it.
//!
//! Debian and its relatives are served through `apt-get`, as root or through sudo. On another system
//! the missing things are named, and the person installs them.

mod apt;
mod need;

use std::{env, process::Command};

use anyhow::{Context, Result, bail};

pub use self::need::Need;
use crate::{
    process,
    wasm::{self, Toolchain},
};

/// What `up` needs: to build the server and the page, and to run the embedded database.
pub const FOR_UP: &[Need] = &[need::COMPILER, need::PKG_CONFIG, need::POSTGRES, need::PAGE_COMPILER];

/// What the tests need as well.
pub const FOR_TESTS: &[Need] = &[need::VULKAN];

/// What those in a browser need.
pub const FOR_BROWSER: &[Need] = &[need::CHROMIUM];

/// Installs whatever of `needs` is missing. With `dry_run` it only says what it would do.
pub fn ensure(needs: &[&[Need]], dry_run: bool) -> Result<()> {
    let missing: Vec<&Need> = needs.iter().copied().flatten().filter(|need| !need.is_present()).collect();
    if dry_run {
        describe(&needs.concat());
        return Ok(());
    }
    let mut packages = Vec::new();
    for need in missing {
        if need.is(&need::PAGE_COMPILER) && add_wasm_target() {
            continue;
        }
        packages.push(need);
    }
    if packages.is_empty() {
        return Ok(());
    }
    if process::find_program("apt-get").is_none() {
        bail!("please install what this system lacks: {}", list_of(&packages));
    }
    apt::install(&packages)?;
    // A package can be there and still not bring what was promised, as on Ubuntu, where Chromium is a snap.
    match packages.iter().find(|need| !need.is_present()) {
        Some(need) => {
            bail!("{} is still missing after installing its packages: {}", need.name, need.otherwise)
        }
        None => Ok(()),
    }
}

/// Tries rustup before any system package. A toolchain that cannot have the target is no error here.
fn add_wasm_target() -> bool {
    if process::find_program("rustup").is_none() {
        return false;
    }
    eprintln!("setup: adding the {} target with rustup", wasm::TARGET);
    match wasm::add_with_rustup() {
        Ok(()) => Toolchain::find().is_some(),
        Err(error) => {
            eprintln!("setup: rustup cannot ({error:#}); turning to the system's packages");
            false
        }
    }
}

fn describe(needs: &[Need]) {
    for need in needs {
        let state = if need.is_present() { "present" } else { "missing" };
        println!("{state:8} {}: {}", need.name, need.reason);
        if need.is_present() {
            continue;
        }
        if need.is(&need::PAGE_COMPILER) && process::find_program("rustup").is_some() {
            println!("         would run: rustup target add {}, and where that fails:", wasm::TARGET);
        }
        if process::find_program("apt-get").is_some() {
            println!("         would install: {}", need.packages.join(" "));
        } else {
            println!("         you would have to: {}", need.otherwise);
        }
    }
}

fn list_of(needs: &[&Need]) -> String {
    needs.iter().map(|need| format!("{} ({})", need.name, need.otherwise)).collect::<Vec<_>>().join("; ")
}

/// A command that runs as root: as it is for root, else through sudo, which asks only where someone
/// can answer.
fn as_root(program: &str) -> Result<Command> {
    if process::read(Command::new("id").arg("-u")).context("cannot tell who runs this")? == "0" {
        return Ok(Command::new(program));
    }
    if process::find_program("sudo").is_none() {
        bail!("`{program}` needs root, and sudo is not installed: run this once as root");
    }
    let mut sudo = Command::new("sudo");
    if env::var_os("CI").is_some() || !std::io::IsTerminal::is_terminal(&std::io::stdin()) {
        sudo.arg("--non-interactive");
    }
    sudo.arg(program);
    Ok(sudo)
}
