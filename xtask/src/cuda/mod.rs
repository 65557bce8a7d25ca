//! `cuda`: the program that runs on NVIDIA GPUs, built on any machine and checked on one that has a GPU.

mod report;
mod toolkit;

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use lexopt::{Arg, Parser};

use self::toolkit::Toolkit;
use crate::{bench::python, process, setup, workspace::Workspace};

/// The compute capability that kernels are built for unless told otherwise: Hopper. Newer GPUs run it too.
const CAPABILITY: &str = "90";

/// What the person asked for.
#[derive(Debug)]
pub struct Options {
    check: bool,
    capability: String,
}

impl Options {
    /// Reads the rest of the command line.
    pub fn parse(arguments: &mut Parser) -> Result<Self> {
        let mut options = Self { check: false, capability: CAPABILITY.to_owned() };
        let mut task = None;
        while let Some(argument) = arguments.next()? {
            match argument {
                Arg::Value(name) if task.is_none() => task = Some(name.to_string_lossy().into_owned()),
                Arg::Long("capability") => {
                    options.capability = arguments.value()?.to_string_lossy().into_owned()
                }
                other => return Err(other.unexpected().into()),
            }
        }
        options.check = match task.as_deref() {
            Some("build") => false,
            Some("check") => true,
            _ => bail!("say `cuda build` or `cuda check`"),
        };
        if options.capability.is_empty() || !options.capability.bytes().all(|byte| byte.is_ascii_digit()) {
            bail!("--capability takes two or three digits, such as 80 for Ampere, 89 for Ada, 90 for Hopper");
        }
        Ok(options)
    }
}

/// Builds, and checks if asked to.
pub fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    setup::ensure(&[setup::FOR_UP], false)?;
    let toolkit = Toolkit::prepare(workspace)?;
    let binary = build(workspace, &toolkit, &options.capability)?;
    println!("Built {}", binary.display());
    println!("It needs the driver's libcuda.so.1, and the libraries in {}", toolkit.libraries().display());
    if options.check { check(workspace, &toolkit, &binary) } else { Ok(()) }
}

/// Compares the GPU with the CPU, measures it beside the peer, and writes `docs/benchmarks/cuda.md`.
/// The sections that somebody wrote there stay: whether they still hold is for whoever ran this to say.
fn check(workspace: &Workspace, toolkit: &Toolkit, binary: &Path) -> Result<()> {
    let query = ["--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"];
    let hardware = process::read(Command::new("nvidia-smi").args(query))
        .context("there is no GPU to check: `cuda build` alone needs none")?;
    let path = workspace.path("docs/benchmarks/cuda.md");
    // Before minutes of work: a page that cannot be read is not one to overwrite.
    let earlier = match fs::read_to_string(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        read => read.with_context(|| format!("cannot read {}", path.display()))?,
    };
    let date = process::read(Command::new("date").arg("+%Y-%m-%d"))?;
    let mut ours = Command::new(binary);
    toolkit.environment(&mut ours);
    ours.args(["check-device", "--json", "--size", "nano", "--size", "3b", "--size", "7b"]);
    let ours = process::read(ours.current_dir(workspace.root()))?;
    let theirs =
        peer(workspace).inspect_err(|error| eprintln!("cuda: no peer, so no ratios: {error:#}")).ok();
    let page = report::render(&hardware, &date, &ours, theirs.as_deref())?;
    print!("{page}");
    let kept = report::sections(&earlier);
    if !kept.is_empty() {
        println!("The sections of {} stay: look whether they still hold.", path.display());
    }
    fs::write(&path, page + kept).with_context(|| format!("cannot write {}", path.display()))
}

/// The same work in transformers and PEFT.
fn peer(workspace: &Workspace) -> Result<String> {
    let python = python::prepare(workspace)?;
    let mut command = Command::new(python.interpreter);
    command.args(["tests/bench/torch_device.py", "--size", "nano", "--size", "3b", "--size", "7b"]);
    process::read(command.current_dir(workspace.root()))
}

/// Builds the program into a target directory of its own: its features differ, and so do all its parts.
fn build(workspace: &Workspace, toolkit: &Toolkit, capability: &str) -> Result<PathBuf> {
    let target = workspace.target().join("cuda");
    let mut cargo = process::cargo(workspace.root());
    toolkit.environment(&mut cargo);
    cargo.env("CUDA_COMPUTE_CAP", capability);
    cargo.args(["build", "--package", "qponder-server", "--features", "cuda", "--target-dir"]).arg(&target);
    process::run(&mut cargo)?;
    let binary = target.join("qponder-cuda");
    fs::copy(target.join("debug/qponder"), &binary).context("cannot copy the program")?;
    process::run(Command::new("strip").arg(&binary))?;
    Ok(binary)
}
