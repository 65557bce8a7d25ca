//! Groups of sampled answers of a fixed number of tokens, as GRPO samples them: each thread takes images.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, anyhow, ensure};
use qponder_kernels::pixels::{Patches, RgbImage};
use qponder_pipeline::assess::Assessor;
use qponder_pipeline::device::Place;
use qponder_pipeline::ops;
use qponder_pipeline::train::grpo::rollout::{Question, sample};
use qponder_shared::recipe;
use serde_json::{Value, json};

use super::memory::peak_resident_mib;
use super::options::{Options, median, open};

/// Runs the benchmark.
pub fn run(options: &Options) -> Result<Value> {
    let model = Path::new(options.text("model")?);
    let assessor =
        Assessor::load(model, Place::Cpu).with_context(|| format!("cannot load {}", model.display()))?;
    let text = |name| {
        let path = options.text(name)?;
        fs::read_to_string(path).with_context(|| format!("cannot read {path}"))
    };
    let (system, prompt) = (text("system")?, text("prompt")?);
    let chat = assessor.processor().chat(system.trim(), prompt.trim(), 1).map_err(|e| anyhow!("{e}"))?;
    let group: usize = options.number("group", 8)?;
    let settings = recipe::Rollout {
        group,
        max_new_tokens: options.number("max-new-tokens", 96)?,
        ..recipe::Rollout::default()
    };
    let threads: usize = options.number("threads", 1)?;
    let rounds: usize = options.number("rounds", 5)?;
    let limit: usize = options.number("limit", 4)?;
    let pictures = options.pictures()?;
    let pictures = pictures.iter().take(limit).map(|path| open(path)).collect::<Result<Vec<RgbImage>>>()?;

    // The first round warms up.
    let mut times = Vec::with_capacity(rounds);
    for number in 0..=rounds {
        let begun = Instant::now();
        round(&assessor, &chat, &settings, &pictures, threads)?;
        if number > 0 {
            times.push(begun.elapsed().as_secs_f64());
        }
    }
    let tokens = pictures.len() * group * settings.max_new_tokens;
    Ok(json!({
        "ours": format!("qponder {}", env!("CARGO_PKG_VERSION")),
        "threads": threads,
        "batch": pictures.len() * group,
        "tokens_per_second": tokens as f64 / median(&times),
        "seconds": times,
        "peak_resident_mib": peak_resident_mib()?,
    }))
}

/// A group of answers to every picture.
fn round(
    assessor: &Assessor,
    chat: &str,
    settings: &recipe::Rollout,
    pictures: &[RgbImage],
    threads: usize,
) -> Result<()> {
    let next = AtomicUsize::new(0);
    let work = || -> Result<()> {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(picture) = pictures.get(index) else { return Ok(()) };
            let processor = assessor.processor();
            let patches = Patches::new(picture, processor.patches())?;
            let outline = Patches { values: Vec::new(), grid: patches.grid };
            let prompt = processor.inputs_of_patches(chat, &[outline]).map_err(|e| anyhow!("{e}"))?;
            let seeds = (0..settings.group).map(|i| (index * settings.group + i) as u64).collect();
            let question = [Question { patches, prompt, seeds }];
            // No token ends an answer: both sides write equally many.
            let sample = || sample(assessor.model(), &question, settings, &[]);
            let answers = ops::serially(sample).context("the model failed")?;
            let whole = answers.iter().flatten().all(|answer| answer.length() == settings.max_new_tokens);
            ensure!(whole, "an answer is shorter than {} tokens", settings.max_new_tokens);
        }
    };
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        handles.into_iter().try_for_each(|handle| handle.join().map_err(|_| anyhow!("a thread panicked"))?)
    })
}
