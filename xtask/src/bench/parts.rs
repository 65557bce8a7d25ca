//! What is measured: one entry a part, with both commands.
//!
//! Our side is `tests/examples/bench`, whose subcommands take the options of the scripts in `tests/bench`
//! and print the same keys.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use anyhow::{Context, Result};

use super::Environment;
use crate::{process, workspace::Workspace};

/// The shipped model: what a person's machine runs.
const MODEL: &str = "models/nano";
/// Real photographs, small enough to be in the repository.
const IMAGES: &str = "tests/fixtures/photographs";
/// The question that assessments ask.
const PROMPT: &str = "shared/prompts/reason-1.txt";
/// The system's words before it, for the peers of training.
const SYSTEM: &str = "shared/prompts/system-1.txt";
/// Both sides write exactly this many tokens, so that their work is equal.
const NEW_TOKENS: &str = "64";

/// A figure that both sides print.
#[derive(Debug)]
pub struct Rate {
    /// Where it stands in the JSON line, as a JSON pointer.
    pub key: &'static str,
    /// What the table calls it.
    pub label: &'static str,
    /// Whether less is better: the ratio is then the other way round.
    pub less: bool,
    /// The ratio to the peer that we want to reach.
    pub aim: Option<f64>,
}

/// Two commands that do the same work.
#[derive(Debug)]
pub struct Part {
    /// What the work is.
    pub name: &'static str,
    /// The figures to compare.
    pub rates: &'static [Rate],
    subcommand: &'static str,
    script: &'static str,
    options: Vec<OsString>,
}

impl Part {
    /// Ours.
    pub fn our_command(&self, workspace: &Workspace) -> Command {
        let mut command = Command::new(binary(workspace));
        command.arg(self.subcommand).args(&self.options);
        command
    }

    /// The peer's.
    pub fn peer_command(&self, python: &Environment) -> Command {
        let mut command = Command::new(&python.interpreter);
        command.arg(Path::new("tests/bench").join(self.script)).args(&self.options);
        command
    }
}

/// Files made for this run.
#[derive(Debug)]
pub struct Work {
    samples: PathBuf,
}

/// Writes what the peer of training reads: the samples that our trainer makes of the same images.
pub fn prepare(workspace: &Workspace) -> Result<Work> {
    let folder = workspace.target().join("bench");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let samples = folder.join("samples.jsonl");
    let mut writer = Command::new(binary(workspace));
    writer.args(["samples", "--images"]).arg(workspace.path(IMAGES)).arg("--out").arg(&samples);
    process::read(&mut writer)?;
    Ok(Work { samples })
}

fn binary(workspace: &Workspace) -> PathBuf {
    workspace.target().join("debug/examples/bench")
}

const ASSESS_ALONE: &[Rate] = &[
    Rate { key: "/assessments_per_second", label: "assessments/s", less: false, aim: Some(2.0) },
    Rate { key: "/prefill_tokens_per_second", label: "prefill tokens/s", less: false, aim: None },
    Rate { key: "/decode_tokens_per_second", label: "decode tokens/s", less: false, aim: None },
];
const ASSESS_BATCH: &[Rate] = &[
    Rate { key: "/assessments_per_second", label: "assessments/s", less: false, aim: Some(1.5) },
    Rate { key: "/prefill_tokens_per_second", label: "prefill tokens/s", less: false, aim: None },
    Rate { key: "/decode_tokens_per_second", label: "decode tokens/s", less: false, aim: None },
];
/// What a run of either side needs at most, the program and its libraries included.
const MEMORY: Rate =
    Rate { key: "/peak_resident_mib", label: "peak resident memory, MiB", less: true, aim: Some(1.0) };
const SFT: &[Rate] =
    &[Rate { key: "/samples_per_second", label: "samples/s", less: false, aim: Some(1.0) }, MEMORY];
const ROLLOUT: &[Rate] =
    &[Rate { key: "/tokens_per_second", label: "tokens/s", less: false, aim: Some(2.0) }, MEMORY];
const GRPO: &[Rate] = &[
    Rate { key: "/steps_per_minute", label: "steps/min", less: false, aim: Some(2.0) },
    Rate { key: "/answer_tokens_per_second", label: "answer tokens/s", less: false, aim: None },
    Rate { key: "/mean_length", label: "tokens an answer", less: false, aim: None },
    MEMORY,
];
/// One row of the table for each operation that the peer's libraries have.
macro_rules! operation {
    ($name:literal) => {
        Rate {
            key: concat!("/megapixels_per_second/", $name),
            label: concat!($name, ", megapixels/s"),
            less: false,
            aim: Some(1.0),
        }
    };
}
const DEGRADE: &[Rate] = &[
    operation!("gaussian_blur"),
    operation!("lens_blur"),
    operation!("motion_blur"),
    operation!("jpeg"),
    operation!("jpeg2000"),
    operation!("white_noise"),
    operation!("impulse_noise"),
    operation!("multiplicative_noise"),
    operation!("brighten"),
    operation!("darken"),
    operation!("mean_shift"),
    operation!("contrast"),
    operation!("saturation_hsv"),
    operation!("quantization"),
    operation!("color_quantization"),
    operation!("pixelate"),
    operation!("unsharp"),
];

/// All parts, in the order of the table.
pub fn all(workspace: &Workspace, work: &Work) -> Result<Vec<Part>> {
    let threads = thread::available_parallelism().context("cannot count the processors")?.to_string();
    let path = |relative: &str| workspace.path(relative).into_os_string();
    let assess = |batch: &str| {
        let mut options = vec!["--model".into(), path(MODEL), "--images".into(), path(IMAGES)];
        options.extend(["--prompt".into(), path(PROMPT), "--batch".into(), batch.into()]);
        options.extend(
            ["--max-new-tokens", NEW_TOKENS, "--ignore-end", "--limit", "16", "--threads"]
                .map(OsString::from),
        );
        options.push(threads.clone().into());
        options
    };
    let part = |name, rates, subcommand, script, options| Part { name, rates, subcommand, script, options };
    let mut sft: Vec<OsString> = vec!["--model".into(), path(MODEL), "--images".into(), path(IMAGES)];
    sft.extend(["--samples".into(), work.samples.clone().into_os_string()]);
    sft.extend(["--batch", "4", "--steps", "8", "--threads", &threads].map(OsString::from));
    let grouped = |options: &[&str]| {
        let mut all = vec!["--model".into(), path(MODEL), "--images".into(), path(IMAGES)];
        all.extend(["--system".into(), path(SYSTEM), "--prompt".into(), path(PROMPT)]);
        all.extend(["--limit", "4", "--group", "8", "--threads", &threads].map(OsString::from));
        all.extend(options.iter().map(OsString::from));
        all
    };
    let rollout = grouped(&["--max-new-tokens", "96", "--rounds", "7"]);
    let grpo = grouped(&["--max-new-tokens", "192", "--steps", "7"]);
    let degrade = vec!["--images".into(), path(IMAGES), "--threads".into(), threads.clone().into()];
    Ok(vec![
        part("assess, batch 1", ASSESS_ALONE, "assess", "transformers_assess.py", assess("1")),
        part("assess, batch 8", ASSESS_BATCH, "assess", "transformers_assess.py", assess("8")),
        part("supervised fine-tuning, batch 4", SFT, "sft", "torch_sft.py", sft),
        part("rollout, 4 images × 8", ROLLOUT, "rollout", "transformers_rollout.py", rollout),
        part("GRPO step, 4 images × 8", GRPO, "grpo", "trl_grpo.py", grpo),
        part("degrade", DEGRADE, "degrade", "degrade_peer.py", degrade),
    ])
}
