//! `bench jobs`: how fast jobs are handed out whatever was done before, and how fast a run page opens.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::table;
use crate::{process, up, workspace::Workspace};

const PATH: &str = "docs/benchmarks/jobs.md";

/// What stands before the tables.
const HOW: &str = "\
Aims: jobs a second flat within 20 % from 1,000 to 1,000,000 jobs done before; a run of 1,000,000 steps opens in under \
a second.

Debug build, our code and its dependencies optimised, with Postgres in its default settings on the same machine \
(`fsync` and `synchronous_commit` on). Jobs a second: tasks of one process claim and end jobs that do nothing, each \
claim and each end a transaction, until the queue of 2,000 is empty (`server/src/store/queue_speed.rs`). \
graphile-worker, in its default settings and on Node.js, does as many on the same Postgres \
(`tests/bench/graphile_worker`); it deletes what is done, so that it has no row for jobs done before: the ratio is to \
ours after 1,000. It is ahead on jobs that do nothing: a claim of ours also takes a lease and writes a row for the \
attempt, an end writes the outcome, and both are kept, which hours of training want and milliseconds of mail do not. \
Numbers are written as a worker writes them, 20 for each step. Everything else is asked over HTTP.";

/// Measures and writes the tables.
pub fn run(workspace: &Workspace) -> Result<()> {
    let mut cargo = process::cargo(workspace.root());
    process::run(cargo.arg("build").args(up::SELECTION).args(["--example", "jobs", "--bins"]))?;
    let peer = prepare_the_peer(workspace)?;
    let mut queue = process::cargo(workspace.root());
    queue.env("QPONDER_BENCH_GRAPHILE_WORKER", peer).arg("test").args(up::SELECTION).args([
        "--bin",
        "qponder",
        "--quiet",
        "--",
        "--ignored",
        "--nocapture",
    ]);
    let queue = process::read(queue.arg("measure_the_queue"))?;
    let rows: Vec<&str> = queue.lines().filter(|line| line.starts_with('|')).collect();
    let debug = workspace.target().join("debug");
    let mut pages = Command::new(debug.join("examples/jobs"));
    pages.env("QPONDER_BIN", debug.join("qponder")).current_dir(workspace.root()).stderr(Stdio::inherit());
    let pages = process::read(&mut pages)?;
    let provenance = table::provenance(workspace, "cargo xtask bench jobs")?;
    let rows = rows.join("\n").replace("| steps in a write", "\nNumbers written.\n\n| steps in a write");
    let report = format!("# Jobs\n\n{provenance}\n\n{HOW}\n\nJobs a second.\n\n{rows}\n\n{pages}\n");
    print!("{report}");
    let path = workspace.path(PATH);
    fs::write(&path, report).with_context(|| format!("cannot write {}", path.display()))?;
    println!("Written to {PATH}");
    Ok(())
}

/// Installs graphile-worker beside its script; the folder of both.
fn prepare_the_peer(workspace: &Workspace) -> Result<PathBuf> {
    let (script, folder) =
        (workspace.path("tests/bench/graphile_worker"), workspace.target().join("graphile_worker"));
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for name in ["package.json", "run.mjs"] {
        fs::copy(script.join(name), folder.join(name)).with_context(|| format!("cannot copy {name}"))?;
    }
    let mut npm = Command::new("npm");
    npm.args(["install", "--no-package-lock", "--no-audit", "--no-fund", "--silent"]).current_dir(&folder);
    process::run(&mut npm).context("the peer needs Node.js and npm")?;
    Ok(folder)
}
