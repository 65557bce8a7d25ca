//! `soak`: trainings while everything around them is killed, for as long as somebody likes.

use anyhow::{Result, ensure};
use lexopt::{Arg, Parser, ValueExt as _};

use crate::{process, setup, up, workspace::Workspace};

/// What the person asked for.
#[derive(Debug)]
pub struct Options {
    minutes: u64,
    seed: u64,
    dry_run: bool,
}

impl Options {
    /// Reads the rest of the command line.
    pub fn parse(arguments: &mut Parser) -> Result<Self> {
        let mut options = Self { minutes: 60, seed: 1, dry_run: false };
        while let Some(argument) = arguments.next()? {
            match argument {
                Arg::Long("minutes") => options.minutes = arguments.value()?.parse()?,
                Arg::Long("seed") => options.seed = arguments.value()?.parse()?,
                Arg::Long("dry-run") => options.dry_run = true,
                other => return Err(other.unexpected().into()),
            }
        }
        ensure!(options.minutes > 0, "--minutes must be at least 1");
        Ok(options)
    }
}

/// Sets up, builds the server, and runs the test for so long.
pub fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    setup::ensure(&[setup::FOR_UP], options.dry_run)?;
    if options.dry_run {
        return Ok(());
    }
    up::build_server(workspace)?;
    let mut test = process::cargo(workspace.root());
    test.arg("test").args(up::SELECTION).args(["--test", "soak", "--", "--nocapture"]);
    test.env("QPONDER_BIN", workspace.qponder());
    test.env("QPONDER_SOAK_SECONDS", (60 * options.minutes).to_string());
    test.env("QPONDER_SOAK_SEED", options.seed.to_string());
    process::run(&mut test)
}
