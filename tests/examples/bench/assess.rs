//! Greedy answers of a fixed number of tokens, from the file to the text.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use qponder_pipeline::assess::{Assessor, Flow};
use qponder_pipeline::device::Place;
use qponder_pipeline::generate::{Step, generate};
use qponder_pipeline::qwen2_5_vl::Inputs;
use qponder_shared::api::Sampling;
use serde_json::{Value, json};

use super::options::{Options, open};

/// What Qwen's chat template puts first when nobody says anything else, as the peer does not.
const SYSTEM: &str = "You are a helpful assistant.";

/// Runs the benchmark.
pub fn run(options: &Options) -> Result<Value> {
    let model = Path::new(options.text("model")?);
    let assessor =
        Assessor::load(model, Place::Cpu).with_context(|| format!("cannot load {}", model.display()))?;
    let prompt_path = options.text("prompt")?;
    let prompt = fs::read_to_string(prompt_path).with_context(|| format!("cannot read {prompt_path}"))?;
    let text = assessor.processor().chat(SYSTEM, prompt.trim(), 1).map_err(|error| anyhow!("{error}"))?;
    let new_tokens = options.number("max-new-tokens", 64)?;
    let batch: usize = options.number("batch", 1)?;
    let pictures = options.pictures()?;
    let limit = options.number("limit", pictures.len())?;
    let pictures: Vec<PathBuf> = pictures.iter().cycle().take(limit).cloned().collect();

    let first = &pictures[..batch.min(pictures.len())];
    answer(&assessor, &text, first, new_tokens)?;
    let mut total = BTreeMap::new();
    for part in pictures.chunks(batch) {
        for (name, value) in answer(&assessor, &text, part, new_tokens)? {
            *total.entry(name).or_insert(0.0) += value;
        }
    }
    let sum = |name: &str| total.get(name).copied().unwrap_or(0.0);
    let mut line = json!({
        "ours": format!("qponder {}", env!("CARGO_PKG_VERSION")),
        "batch": batch,
        "images": pictures.len(),
        "max_new_tokens": new_tokens,
        "assessments_per_second": pictures.len() as f64 / sum("seconds"),
        "prefill_tokens_per_second": sum("prefill_tokens") / sum("prefill_seconds"),
        "decode_tokens_per_second": sum("decode_tokens") / sum("decode_seconds"),
    });
    for (name, value) in total {
        line[name] = json!(value);
    }
    Ok(line)
}

/// One batch: seconds spent and tokens handled.
fn answer(
    assessor: &Assessor,
    text: &str,
    pictures: &[PathBuf],
    new_tokens: usize,
) -> Result<[(&'static str, f64); 6]> {
    let begun = Instant::now();
    let processor = assessor.processor();
    let mut inputs = Inputs::default();
    for picture in pictures {
        let image = open(picture)?;
        inputs.extend(processor.inputs(text, &[&image]).map_err(|error| anyhow!("{error}"))?);
    }
    let prepared = begun.elapsed().as_secs_f64();

    let sampling = Sampling { max_new_tokens: new_tokens, ..Sampling::default() };
    let (mut first_token, mut last_token) = (None, 0.0);
    let samplings = vec![sampling; pictures.len()];
    // No token ends an answer: both sides write equally many.
    let generated = generate(assessor.model(), &inputs, &samplings, &[], &mut |_, step| {
        if let Step::Token(_) = step {
            last_token = begun.elapsed().as_secs_f64();
            first_token.get_or_insert(last_token);
        }
        Flow::Continue
    });
    let generated = generated.context("the model failed")?;
    for one in &generated {
        processor.text(&one.ids).map_err(|error| anyhow!("{error}"))?;
    }
    let first_token = first_token.unwrap_or(prepared);
    let decoded: usize = generated.iter().map(|one| one.ids.len().saturating_sub(1)).sum();
    Ok([
        ("seconds", begun.elapsed().as_secs_f64()),
        ("prepare_seconds", prepared),
        ("prefill_seconds", first_token - prepared),
        ("decode_seconds", last_token - first_token),
        ("prefill_tokens", inputs.lengths.iter().sum::<usize>() as f64),
        ("decode_tokens", decoded as f64),
    ])
}
