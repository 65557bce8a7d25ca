//! Training steps, through the very trainer that `qponder sft` runs.
//!
//! Each image teaches two samples, an answer with its reasoning and a level word. The peer gets them as two
//! samples; our trainer lets both share the image's pass through the vision tower.

use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::{Context, Result};
use qponder_pipeline::device::Place;
use qponder_pipeline::teacher;
use qponder_pipeline::train::{Progress, sft};
use qponder_shared::api::Mode;
use qponder_shared::recipe::SftRecipe;
use qponder_shared::{Score, prompt};
use serde_json::{Value, json};

use super::memory::peak_resident_mib;
use super::options::{Options, manifest};

/// What an image is said to be worth; the answers' lengths hardly depend on it.
const LABEL: f64 = 4.0;

/// Runs the benchmark. `--batch` counts samples, of which an image has two.
pub fn run(options: &Options) -> Result<Value> {
    let images = (options.number("batch", 4_usize)? / 2).max(1);
    let steps: usize = options.number("steps", 8)?;
    let threads: usize = options.number("threads", 1)?;
    let folder = tempfile::tempdir().context("no temporary folder")?;
    let rows = folder.path().join("manifest.jsonl");
    fs::write(&rows, manifest(&options.pictures()?, LABEL)?).context("cannot write the manifest")?;
    let recipe = SftRecipe::parse(&format!(
        "base = {base:?}\nout = {out:?}\n[data]\nmanifests = [{manifest:?}]\naugment = false\n\
         [train]\nsteps = {all_steps}\nbatch = {images}\nmicro_batch = {micro_batch}\nwarmup = 0\n\
         learning_rate = 1e-5\nweight_decay = 0.01\nthreads = {threads}\ncheckpoint_every = {never}\n\
         [validation]\nimages = 0\nreasoning_images = 0\n",
        base = options.text("model")?,
        out = folder.path().join("out").display().to_string(),
        manifest = rows.display().to_string(),
        all_steps = steps + 1,
        micro_batch = images.div_ceil(threads).max(1),
        never = steps + 1,
    ))?;

    // The first step warms up; what follows the last, saving, is not counted.
    let (mut begun, mut seconds, mut losses) = (Instant::now(), 0.0, Vec::new());
    sft(&recipe, Place::Cpu, &AtomicBool::new(false), &mut |event| {
        if let Progress::Step { step, loss, .. } = event {
            losses.push(*loss);
            if *step == 1 {
                begun = Instant::now();
            }
            seconds = begun.elapsed().as_secs_f64();
        }
    })?;
    Ok(json!({
        "ours": format!("qponder {}", env!("CARGO_PKG_VERSION")),
        "threads": threads,
        "batch": 2 * images,
        "steps": steps,
        "samples_per_second": (2 * images * steps) as f64 / seconds,
        "seconds": seconds,
        "first_loss": losses.first(),
        "last_loss": losses.last(),
        "peak_resident_mib": peak_resident_mib()?,
    }))
}

/// Writes what the peer trains on: for each image the two samples that ours makes of it.
pub fn write_samples(options: &Options) -> Result<Value> {
    let score = Score::clamped(LABEL).context("the label is on the scale")?;
    let mut lines = String::new();
    for (number, picture) in options.pictures()?.iter().enumerate() {
        let reasoning = teacher::write(&[], score, number as u64);
        for (mode, answer) in [(Mode::Reason, reasoning.as_str()), (Mode::Quick, "good")] {
            let image = file_name(picture);
            let sample = json!({ "image": image, "prompt": prompt::current(mode).text, "answer": answer });
            lines.push_str(&format!("{sample}\n"));
        }
    }
    let out = options.text("out")?;
    fs::write(out, &lines).with_context(|| format!("cannot write {out}"))?;
    Ok(json!({ "samples": lines.lines().count(), "out": out }))
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
