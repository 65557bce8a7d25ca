//! `up`: from a fresh machine to the running server.

use std::os::unix::process::CommandExt;
use std::{ffi::OsString, process::Command};

use anyhow::{Context, Result};
use lexopt::{Arg, Parser};

use crate::{process, setup, web, workspace::Workspace};

/// The packages that every native build selects, whatever it builds of them. Cargo turns on what all
/// selected packages ask of a dependency, so another selection would build hundreds of crates again.
/// The page has a compiler of its own, and xtask is built when it is called.
pub const SELECTION: [&str; 5] = ["--workspace", "--exclude", "qponder-frontend", "--exclude", "xtask"];

/// What the person asked for.
#[derive(Debug, Default)]
pub struct Options {
    /// Stop before the server starts.
    no_serve: bool,
    /// Say what would be installed, and do nothing.
    dry_run: bool,
    /// With accounts, rather than in local mode.
    accounts: bool,
    /// Handed on to `qponder serve`.
    serve: Vec<OsString>,
}

impl Options {
    /// Reads the rest of the command line. What follows `--` belongs to the server.
    pub fn parse(arguments: &mut Parser) -> Result<Self> {
        let mut options = Self::default();
        while let Some(argument) = arguments.next()? {
            match argument {
                Arg::Long("no-serve") => options.no_serve = true,
                Arg::Long("dry-run") => options.dry_run = true,
                Arg::Long("accounts") => options.accounts = true,
                Arg::Long("listen") => options.serve.extend(["--listen".into(), arguments.value()?]),
                Arg::Value(value) => {
                    options.serve.push(value);
                    options.serve.extend(arguments.raw_args()?);
                }
                other => return Err(other.unexpected().into()),
            }
        }
        Ok(options)
    }
}

/// Installs what is missing, builds the page and the server, and becomes the server.
pub fn run(workspace: &Workspace, options: Options) -> Result<()> {
    setup::ensure(&[setup::FOR_UP], options.dry_run)?;
    if options.dry_run {
        return Ok(());
    }
    web::build(workspace)?;
    build_server(workspace)?;
    if options.no_serve {
        println!("Ready. Start the server with: {} serve --local", workspace.qponder().display());
        return Ok(());
    }
    // Becoming the server rather than watching over it: signals reach it directly, whoever sends them,
    // and nothing is left behind whichever way it ends. It prints its URL once it answers.
    let mut server = Command::new(workspace.qponder());
    process::remove_outer_cargo(&mut server);
    server.arg("serve").args((!options.accounts).then_some("--local"));
    let error = server.args(options.serve).current_dir(workspace.root()).exec();
    Err(error).with_context(|| format!("cannot start {}", workspace.qponder().display()))
}

/// Builds the `qponder` binary; the first time takes minutes, and cargo shows how far it is.
pub fn build_server(workspace: &Workspace) -> Result<()> {
    process::run(process::cargo(workspace.root()).arg("build").args(SELECTION))
}
