//! `check`: everything that must be clean before a commit. All parts run, and the verdicts come last.

mod expression;
mod licences;
mod metadata;
mod page;
mod unused;

use anyhow::{Result, bail};
use lexopt::{Arg, Parser};

use crate::{process, setup, wasm::Toolchain, workspace::Workspace};

/// The packages that compile for this machine.
const NATIVE: [&str; 3] = ["--workspace", "--exclude", "qponder-frontend"];

/// What the person asked for.
#[derive(Debug, Default)]
pub struct Options {
    /// Only the parts whose names contain this.
    filter: Option<String>,
}

impl Options {
    /// Reads the rest of the command line.
    pub fn parse(arguments: &mut Parser) -> Result<Self> {
        let mut options = Self::default();
        while let Some(argument) = arguments.next()? {
            match argument {
                Arg::Value(name) if options.filter.is_none() => {
                    options.filter = Some(name.to_string_lossy().into_owned());
                }
                other => return Err(other.unexpected().into()),
            }
        }
        Ok(options)
    }
}

/// How one part ended.
enum Verdict {
    Passed,
    Failed(String),
    /// It could not run here, for the reason given; that is said, and is no failure.
    Skipped(&'static str),
}

impl From<Result<()>> for Verdict {
    fn from(outcome: Result<()>) -> Self {
        outcome.map_or_else(|error| Self::Failed(format!("{error:#}")), |()| Self::Passed)
    }
}

type Part = (&'static str, fn(&Workspace) -> Verdict);

const PARTS: [Part; 8] = [
    ("format", |workspace| cargo(workspace, &["fmt", "--all", "--", "--check"]).into()),
    ("clippy", |workspace| clippy(workspace).into()),
    ("documentation", |workspace| documentation(workspace).into()),
    ("page lints", page_lints),
    ("page warnings on wasm", page_warnings),
    ("licences", |workspace| licences::check(workspace).into()),
    ("advisories, bans and sources", advisories),
    ("unused dependencies", unused_dependencies),
];

/// Runs every part and fails if any of them did.
pub fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    setup::ensure(&[setup::FOR_UP], false)?;
    let chosen =
        |(name, _): &&Part| options.filter.as_ref().is_none_or(|filter| name.contains(filter.as_str()));
    let verdicts: Vec<_> = PARTS.iter().filter(chosen).map(|(name, part)| (name, part(workspace))).collect();
    println!();
    let mut failed = 0;
    for (name, verdict) in &verdicts {
        match verdict {
            Verdict::Passed => println!("ok       {name}"),
            Verdict::Skipped(why) => println!("skipped  {name}: {why}"),
            Verdict::Failed(why) => {
                println!("FAILED   {name}: {why}");
                failed += 1;
            }
        }
    }
    if failed > 0 {
        bail!("{failed} of {} checks failed", verdicts.len());
    }
    Ok(())
}

fn cargo(workspace: &Workspace, arguments: &[&str]) -> Result<()> {
    process::run(process::cargo(workspace.root()).args(arguments))
}

fn clippy(workspace: &Workspace) -> Result<()> {
    let mut cargo = process::cargo(workspace.root());
    process::run(cargo.arg("clippy").args(NATIVE).args(["--all-targets", "--", "-D", "warnings"]))
}

fn documentation(workspace: &Workspace) -> Result<()> {
    let mut cargo = process::cargo(workspace.root());
    process::run(cargo.env("RUSTDOCFLAGS", "-Dwarnings").arg("doc").args(NATIVE).arg("--no-deps"))
}

/// Clippy on the real target. Debian's compiler for it comes without clippy: there the lints run on the
/// native build of the same code.
fn page_lints(workspace: &Workspace) -> Verdict {
    let page = ["-p", "qponder-frontend", "-p", "qponder-kernels", "--features", "qponder-kernels/web"];
    let mut cargo = match Toolchain::find() {
        Some(toolchain @ Toolchain::Ours) => toolchain.cargo(workspace.root(), "clippy"),
        Some(Toolchain::Debian) => {
            let mut cargo = process::cargo(workspace.root());
            cargo.arg("clippy");
            cargo
        }
        None => return Verdict::Skipped("no compiler for WebAssembly"),
    };
    process::run(cargo.args(page).args(["--", "-D", "warnings"])).into()
}

fn page_warnings(workspace: &Workspace) -> Verdict {
    match Toolchain::find() {
        Some(Toolchain::Debian) => page::check_with_debian(workspace).into(),
        Some(Toolchain::Ours) => Verdict::Skipped("clippy has reported them"),
        None => Verdict::Skipped("no compiler for WebAssembly"),
    }
}

/// Only cargo-deny reads the advisory database; building it here would take longer than all the rest.
fn advisories(workspace: &Workspace) -> Verdict {
    if process::find_program("cargo-deny").is_none() {
        return Verdict::Skipped("cargo-deny is not installed (`cargo install cargo-deny --locked`)");
    }
    cargo(workspace, &["deny", "check", "advisories", "bans", "sources", "licenses"]).into()
}

/// Our own search, and cargo-machete's where it is installed.
fn unused_dependencies(workspace: &Workspace) -> Verdict {
    let searched = unused::check(workspace);
    if searched.is_ok() && process::find_program("cargo-machete").is_some() {
        return cargo(workspace, &["machete"]).into();
    }
    searched.into()
}
