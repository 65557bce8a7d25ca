//! `test`: every test of the repository, and what they need to run.

use anyhow::Result;
use lexopt::{Arg, Parser};

use crate::{process, setup, up, web, workspace::Workspace};

/// What the person asked for.
#[derive(Debug, Default)]
pub struct Options {
    no_browser: bool,
    dry_run: bool,
}

impl Options {
    /// Reads the rest of the command line.
    pub fn parse(arguments: &mut Parser) -> Result<Self> {
        let mut options = Self::default();
        while let Some(argument) = arguments.next()? {
            match argument {
                Arg::Long("no-browser") => options.no_browser = true,
                Arg::Long("dry-run") => options.dry_run = true,
                other => return Err(other.unexpected().into()),
            }
        }
        Ok(options)
    }
}

/// Sets up, builds what the tests start, runs them all, and says which parts ran.
pub fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let browser = if options.no_browser { &[] } else { setup::FOR_BROWSER };
    setup::ensure(&[setup::FOR_UP, setup::FOR_TESTS, browser], options.dry_run)?;
    if options.dry_run {
        return Ok(());
    }
    web::build(workspace)?;
    // The server that the tests start, and the tests, in one go: what tests alone depend on turns on more
    // of crates that both use, and those would be compiled once more after a build of the server alone.
    process::run(
        process::cargo(workspace.root()).arg("build").args(up::SELECTION).args(["--bins", "--tests"]),
    )?;
    let own = process::run(process::cargo(workspace.root()).args(["test", "--quiet", "-p", "xtask"]));

    let mut tests = process::cargo(workspace.root());
    tests.arg("test").args(up::SELECTION).arg("--no-fail-fast").env("QPONDER_BIN", workspace.qponder());
    if options.no_browser {
        // Tests that need a browser are named so, and only they are.
        tests.args(["--", "--skip", "browser_"]);
    }
    let all = process::run(&mut tests);

    let verdict = |outcome: &Result<()>| if outcome.is_ok() { "passed" } else { "FAILED, see above" };
    println!();
    println!("built    the page (wasm) and the server");
    println!("ran      tests of xtask: {}", verdict(&own));
    println!("ran      unit, doc, API and parity tests of every native crate: {}", verdict(&all));
    if options.no_browser {
        println!("skipped  browser tests (--no-browser)");
    } else {
        println!("ran      browser tests in headless Chromium, as part of the same run");
    }
    own.and(all)
}
