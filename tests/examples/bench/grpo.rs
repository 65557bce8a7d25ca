//! GRPO steps, through the very trainer that `qponder grpo` runs.
//!
//! The prompts are the trainer's own, so `--system` and `--prompt` are for the peer; `xtask` names the same
//! texts. A micro-batch is one image's group, on either side.

use std::fs;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::{Context, Result};
use qponder_pipeline::device::Place;
use qponder_pipeline::train::Progress;
use qponder_pipeline::train::grpo::grpo;
use qponder_shared::recipe::GrpoRecipe;
use serde_json::{Value, json};

use super::memory::peak_resident_mib;
use super::options::{Options, manifest, median};

/// What an image is said to be worth; no cost depends on it.
const LABEL: f64 = 4.0;

/// Runs the benchmark.
pub fn run(options: &Options) -> Result<Value> {
    let steps: usize = options.number("steps", 5)?;
    let threads: usize = options.number("threads", 1)?;
    let group: usize = options.number("group", 8)?;
    let mut pictures = options.pictures()?;
    pictures.truncate(options.number("limit", 4)?);
    let folder = tempfile::tempdir().context("no temporary folder")?;
    let rows = folder.path().join("manifest.jsonl");
    fs::write(&rows, manifest(&pictures, LABEL)?).context("cannot write the manifest")?;
    let recipe = GrpoRecipe::parse(&format!(
        "base = {base:?}\nout = {out:?}\n[data]\nmanifests = [{manifest:?}]\naugment = false\n\
         [rollout]\ngroup = {group}\ntemperature = 1.0\nmax_new_tokens = {new_tokens}\n\
         [train]\nloss = \"dapo\"\nparts = [\"vision\", \"merger\", \"language\"]\nsteps = {all_steps}\n\
         images = {images}\nlearning_rate = 1e-6\nfinal_rate = 1.0\nwarmup = 0\nbeta = 0.0\n\
         mask_truncated = false\nthreads = {threads}\ncheckpoint_every = {all_steps}\n\
         [validation]\nevery = {all_steps}\nimages = 0\nreasoning_images = 0\n",
        base = options.text("model")?,
        out = folder.path().join("out").display().to_string(),
        manifest = rows.display().to_string(),
        new_tokens = options.number("max-new-tokens", 192_usize)?,
        all_steps = steps + 1,
        images = pictures.len(),
    ))?;

    // The first step warms up; what follows the last, saving, is not counted.
    let (mut last, mut times, mut lengths) = (Instant::now(), Vec::new(), Vec::new());
    grpo(&recipe, Place::Cpu, &AtomicBool::new(false), &mut |event| {
        if let Progress::Policy { metrics, .. } = event {
            times.push(last.elapsed().as_secs_f64());
            lengths.push(metrics.get("completions/mean_length").copied().unwrap_or(f64::NAN));
        }
        last = Instant::now();
    })?;
    let (times, lengths) = (&times[1..], &lengths[1..]);
    let answers = pictures.len() * group;
    Ok(json!({
        "ours": format!("qponder {}", env!("CARGO_PKG_VERSION")),
        "threads": threads,
        "answers": answers,
        "steps_per_minute": 60.0 / median(times),
        "answer_tokens_per_second": answers as f64 * lengths.iter().sum::<f64>() / times.iter().sum::<f64>(),
        "mean_length": lengths.iter().sum::<f64>() / lengths.len() as f64,
        "seconds": times,
        "peak_resident_mib": peak_resident_mib()?,
    }))
}
