//! `train-toy`: the whole path from photographs to an evaluated model, at a size that takes minutes.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::{process, setup, up, workspace::Workspace};

/// Where the teacher answers; `models/recipes/toy-distil.toml` says the same.
const TEACHER: &str = "127.0.0.1:3017";

/// Arguments of `qponder` before the teacher is needed.
const DATA: &[&str] = &[
    "degrade",
    "--fetch",
    "--input",
    "data/photographs",
    "--out",
    "data/toy/set",
    "--size",
    "112",
    "--per-image",
    "2",
    "--seed",
    "7",
];

/// What serves the teacher, which is nano itself.
const SERVE: &[&str] =
    &["serve", "--local", "--listen", TEACHER, "--data-dir", "data/toy/server", "--model", "models/nano"];

/// While the teacher is there.
const DISTIL: &[&str] = &["distil", "--recipe", "models/recipes/toy-distil.toml"];

/// Afterwards, in order.
const STAGES: &[&[&str]] = &[
    &["sft", "--recipe", "models/recipes/toy-ci.toml"],
    &["grpo", "--recipe", "models/recipes/toy-rl.toml"],
    &[
        "evaluate",
        "--model",
        "models/nano-ci",
        "--model",
        "data/toy/ci",
        "--model",
        "data/toy/rl",
        "--manifest",
        "data/toy/set/manifest.jsonl",
        "--limit",
        "120",
        "--html",
        "data/toy/report",
    ],
];

/// Runs the whole path, or with `dry_run` prints it.
pub fn run(workspace: &Workspace, dry_run: bool) -> Result<()> {
    if dry_run {
        for stage in [DATA, SERVE, DISTIL].iter().chain(STAGES) {
            println!("qponder {}", stage.join(" "));
        }
        return Ok(());
    }
    setup::ensure(&[setup::FOR_UP], false)?;
    up::build_server(workspace)?;
    let qponder = |arguments: &[&str]| {
        let mut command = Command::new(workspace.qponder());
        command.args(arguments).current_dir(workspace.root());
        command
    };
    process::run(&mut qponder(DATA))?;
    let teacher = Teacher::start(qponder(SERVE))?;
    process::run(&mut qponder(DISTIL))?;
    teacher.stop()?;
    for stage in STAGES {
        process::run(&mut qponder(stage))?;
    }
    println!("\nThe report is data/toy/report/index.html");
    Ok(())
}

/// The server while it answers as the teacher; it is stopped whichever way this ends.
struct Teacher(Child);

impl Teacher {
    fn start(mut command: Command) -> Result<Self> {
        println!("    $ the teacher: {command:?}");
        let mut teacher = Self(command.stdout(Stdio::piped()).spawn().context("the teacher does not start")?);
        let output = teacher.0.stdout.take().context("the teacher has no output")?;
        let mut lines = BufReader::new(output).lines();
        // The URL is the last thing that the server prints before it answers.
        match lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("http://"))) {
            Some(_) => {}
            None => bail!("the teacher ended before it answered; is {TEACHER} in use?"),
        }
        // Whatever else it prints is of no interest, but must not block it.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(teacher)
    }

    /// Ends the server in good order, so that its database is stopped too.
    fn stop(mut self) -> Result<()> {
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        let id = self.0.id().to_string();
        Command::new("kill").args(["-TERM", &id]).status().context("cannot stop the teacher")?;
        self.0.wait().context("the teacher does not end")?;
        Ok(())
    }
}

impl Drop for Teacher {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            // Nothing more can be done about it while another error is on its way.
            let _ = self.end();
        }
    }
}
