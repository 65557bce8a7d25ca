//! `train-nano`: trains a model like the shipped one from nothing.

use std::process::Command;

use anyhow::Result;

use crate::{process, setup, up, workspace::Workspace};

/// Arguments of `qponder`, a line for each stage, in order. Every stage resumes where an earlier call was
/// interrupted, and is over at once when it was finished.
const STAGES: &[&str] = &[
    "degrade --fetch --input data/photographs --out data/nano/crops --size 112 --per-image 320 --seed 1",
    "degrade --input data/photographs --out data/nano/large --size 168,224,336 --per-image 16 --seed 1",
    "degrade --input data/photographs --out data/nano/whole --per-image 12 --seed 1",
    "degrade --input data/photographs --out data/nano/whole-more --per-image 36 --seed 7",
    "degrade --input data/photographs --out data/nano/whole-small --max-side 384 --per-image 24 --seed 8",
    "degrade --input data/photographs --out data/nano/whole-varied --vary --per-image 100 --seed 9",
    "degrade --input data/photographs --out data/nano/varied --size 112 --per-image 640 --seed 2 --vary",
    "degrade --input data/photographs --out data/nano/varied-large --size 168,224 --per-image 24 \
     --seed 5 --vary",
    "degrade --input data/photographs --out data/nano/few --size 112,140,168,196,224,280,336 \
     --per-image 1 --seed 3 --vary",
    "sft --recipe models/recipes/nano-tower.toml",
    "sft --recipe models/recipes/nano-tower-varied.toml",
    "sft --recipe models/recipes/nano-ci.toml",
    "sft --recipe models/recipes/nano-ci-whole.toml",
    "export average --model data/nano/ci --model data/nano/ci-whole --out data/nano/ci-both --force",
    "grpo --recipe models/recipes/nano-rl.toml",
    "grpo --recipe models/recipes/nano-rl.toml --seed 2 --out data/nano/rl-2",
    "grpo --recipe models/recipes/nano-rl.toml --seed 3 --out data/nano/rl-3",
    "export average --model data/nano/rl --model data/nano/rl-2 --model data/nano/rl-3 --out \
     data/nano/rl-mean --force",
    "grpo --recipe models/recipes/nano-rl-last.toml",
    "export average --model data/nano/rl-mean --model data/nano/rl-last --out data/nano/rl-both --force",
    "sft --recipe models/recipes/nano-ci-varied.toml",
    "export average --model data/nano/ci-both --model data/nano/ci-varied --out data/nano/ci-mean --force",
    "export average --model data/nano/ci-varied --model data/nano/rl-both --out data/nano/rl-start --force",
    "grpo --recipe models/recipes/nano-rl-nucleus.toml",
    "grpo --recipe models/recipes/nano-rl-squared.toml",
    "export average --model data/nano/rl-start --model data/nano/rl-nucleus --model \
     data/nano/rl-squared --out data/nano/rl-more --force",
    "degrade --input data/photographs --out data/nano/double --vary --double --size 112 --per-image 60 \
     --seed 41",
    "degrade --input data/photographs --out data/nano/double-large --vary --double --size 168,224 \
     --per-image 12 --seed 42",
    "degrade --input data/photographs --out data/nano/double-whole --vary --double --per-image 14 --seed 43",
    "sft --recipe models/recipes/nano-ci-double.toml",
    "export average --model data/nano/ci-mean --model data/nano/ci-double --out data/nano/nano-ci --force",
    "export average --model data/nano/rl-more --change data/nano/ci-mean data/nano/nano-ci --out \
     data/nano/rl-changed --force",
    "grpo --recipe models/recipes/nano-rl-again.toml",
    "export average --model data/nano/rl-changed --model data/nano/rl-again --out data/nano/nano-rl --force",
];

/// Runs all stages, or with `dry_run` prints them.
pub fn run(workspace: &Workspace, dry_run: bool) -> Result<()> {
    if dry_run {
        for stage in STAGES {
            println!("qponder {stage}");
        }
        return Ok(());
    }
    setup::ensure(&[setup::FOR_UP], false)?;
    up::build_server(workspace)?;
    for stage in STAGES {
        process::run(
            Command::new(workspace.qponder()).args(stage.split_whitespace()).current_dir(workspace.root()),
        )?;
    }
    Ok(())
}
