//! `check`: everything that must be clean before a commit. All parts run, and the verdicts come last.

mod expression;
mod licences;
mod metadata;
mod page;
mod unused;

use anyhow::{Result, bail};

use crate::{process, setup, wasm::Toolchain, workspace::Workspace};

/// The packages that compile for this machine.
const NATIVE: [&str; 3] = ["--workspace", "--exclude", "qponder-frontend"];

/// How one part ended.
struct Verdict {
    part: &'static str,
    /// `None` when the part could not run here, which is said and is no failure.
    passed: Option<bool>,
    note: String,
}

impl Verdict {
    fn of(part: &'static str, outcome: Result<()>) -> Self {
        let passed = outcome.is_ok();
        let note = outcome.err().map(|error| format!("{error:#}")).unwrap_or_default();
        Self { part, passed: Some(passed), note }
    }

    fn skipped(part: &'static str, note: &str) -> Self {
        Self { part, passed: None, note: note.to_owned() }
    }
}

/// Runs every part and fails if any of them did.
pub fn run(workspace: &Workspace) -> Result<()> {
    setup::ensure(&[setup::FOR_UP], false)?;
    let metadata = metadata::read(workspace)?;
    let mut verdicts = vec![
        Verdict::of("format", cargo(workspace, &["fmt", "--all", "--", "--check"])),
        Verdict::of("clippy", clippy(workspace)),
        Verdict::of("documentation", documentation(workspace)),
    ];
    verdicts.extend(frontend(workspace));
    verdicts.push(Verdict::of("licences", licences::check(workspace, &metadata)));
    verdicts.push(advisories(workspace));
    verdicts.push(Verdict::of("unused dependencies", unused::check(&metadata)));

    println!();
    for Verdict { part, passed, note } in &verdicts {
        let word = passed.map_or("skipped", |passed| if passed { "ok" } else { "FAILED" });
        println!("{word:8} {part}{}{note}", if note.is_empty() { "" } else { ": " });
    }
    let failed = verdicts.iter().filter(|verdict| verdict.passed == Some(false)).count();
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

/// Debian's compiler for the page comes without clippy. There the lints run on the native build of the
/// same code, and the compiler's own warnings on the real target.
fn frontend(workspace: &Workspace) -> Vec<Verdict> {
    let lints = ["clippy", "-p", "qponder-frontend", "--all-targets", "--", "-D", "warnings"];
    match Toolchain::find() {
        Some(toolchain @ Toolchain::Ours) => {
            let mut cargo = toolchain.cargo(workspace.root(), "clippy");
            let outcome = process::run(cargo.args(["-p", "qponder-frontend", "--", "-D", "warnings"]));
            vec![Verdict::of("page, clippy on wasm", outcome)]
        }
        Some(Toolchain::Debian) => vec![
            Verdict::of("page, clippy on the native build", cargo(workspace, &lints)),
            Verdict::of("page, warnings on wasm", page::check_with_debian(workspace)),
        ],
        None => vec![Verdict::skipped("page", "no compiler for WebAssembly")],
    }
}

/// Only cargo-deny reads the advisory database; building it here would take longer than all the rest.
fn advisories(workspace: &Workspace) -> Verdict {
    let part = "advisories, bans and sources";
    if process::find_program("cargo-deny").is_none() {
        return Verdict::skipped(part, "cargo-deny is not installed (`cargo install cargo-deny --locked`)");
    }
    Verdict::of(part, cargo(workspace, &["deny", "check", "advisories", "bans", "sources", "licenses"]))
}
