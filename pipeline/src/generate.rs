//! Batched generation: one prefill of all prompts, then one token of every unfinished one at a time.
//!
//! Prompts are packed, so a batch of unequal lengths wastes nothing and gives each prompt exactly the
//! numbers that it gets alone.

use candle_core::{Device, IndexOp, Result, Tensor};
use candle_transformers::generation::{LogitsProcessor, Sampling as Strategy};
use candle_transformers::utils::apply_repeat_penalty;
use qponder_shared::api::Sampling;

use crate::qwen2_5_vl::{Continuation, Inputs, KvCache, Qwen2_5Vl};

/// Whether a sequence goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    Continue,
    /// End this sequence; the others go on.
    Cancel,
}

/// Why a sequence ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The model ended it.
    Stop,
    /// It reached `max_new_tokens`.
    Length,
    /// The caller ended it.
    Cancelled,
}

/// A generated sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generated {
    /// New token ids, without the one that ended the sequence.
    pub ids: Vec<u32>,
    /// The token that ended the sequence, where the model did.
    pub end: Option<u32>,
    pub finish: Finish,
}

impl Generated {
    /// The new tokens, the one that ended the sequence included.
    pub fn tokens(&self) -> impl Iterator<Item = u32> {
        self.ids.iter().copied().chain(self.end)
    }

    /// How many tokens that is.
    #[must_use]
    pub fn length(&self) -> usize {
        self.ids.len() + usize::from(self.end.is_some())
    }
}

/// Chooses tokens of one sequence.
struct Sampler {
    sampling: Sampling,
    processor: LogitsProcessor,
    /// Prompt and answer so far; what the repetition penalty looks at.
    seen: Vec<u32>,
}

impl Sampler {
    fn new(sampling: &Sampling, prompt: &[u32]) -> Self {
        let Sampling { temperature, top_k, top_p, .. } = *sampling;
        let strategy = match (temperature > 0.0, top_k, top_p < 1.0) {
            (false, ..) => Strategy::ArgMax,
            (true, 0, false) => Strategy::All { temperature },
            (true, 0, true) => Strategy::TopP { p: top_p, temperature },
            (true, k, false) => Strategy::TopK { k, temperature },
            (true, k, true) => Strategy::TopKThenTopP { k, p: top_p, temperature },
        };
        let processor = LogitsProcessor::from_sampling(sampling.seed, strategy);
        Self { sampling: *sampling, processor, seen: prompt.to_vec() }
    }

    fn next(&mut self, logits: &Tensor) -> Result<u32> {
        let token = if self.sampling.repetition_penalty == 1.0 {
            self.processor.sample(logits)?
        } else {
            let logits = apply_repeat_penalty(logits, self.sampling.repetition_penalty as f32, &self.seen)?;
            self.processor.sample(&logits)?
        };
        self.seen.push(token);
        Ok(token)
    }
}

/// What happens to a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A new token, which does not end the sequence.
    Token(u32),
    /// Nothing more comes.
    End(Finish),
}

/// Answers several prompts together.
///
/// `on_step(sequence, step)` is called as things happen; what it returns at an end is of no account.
///
/// # Errors
/// When the inputs do not fit the model.
pub fn generate(
    model: &Qwen2_5Vl,
    inputs: &Inputs,
    samplings: &[Sampling],
    end_of_text: &[u32],
    on_step: &mut dyn FnMut(usize, Step) -> Flow,
) -> Result<Vec<Generated>> {
    let prompts = inputs.lengths.len();
    if samplings.len() != prompts {
        candle_core::bail!("{} samplings for {prompts} prompts", samplings.len());
    }
    generate_from(model, &model.embed(inputs)?, inputs, samplings, end_of_text, on_step)
}

/// As [`generate`], from the embeddings of the prompts, with one answer for each sampling: of the first
/// `samplings.len() / prompts` to the first prompt, and so on. A prompt is read once for all its answers.
///
/// # Errors
/// When the inputs do not fit the model or the embeddings.
pub fn generate_from(
    model: &Qwen2_5Vl,
    embeddings: &Tensor,
    inputs: &Inputs,
    samplings: &[Sampling],
    end_of_text: &[u32],
    on_step: &mut dyn FnMut(usize, Step) -> Flow,
) -> Result<Vec<Generated>> {
    let (prompts, sequences) = (inputs.lengths.len(), samplings.len());
    if prompts == 0 || sequences == 0 || sequences % prompts != 0 {
        candle_core::bail!("{sequences} samplings cannot be shared equally by {prompts} prompts");
    }
    let each = sequences / prompts;
    let groups = inputs.lengths.iter().zip(samplings.chunks(each));
    let longest =
        groups.clone().flat_map(|(length, group)| group.iter().map(move |s| length + s.max_new_tokens));
    let longest = longest.max();
    let mut cache = KvCache::new(
        &model.config.text,
        sequences,
        longest.unwrap_or(0),
        embeddings.dtype(),
        model.device(),
    )?;
    let mut samplers = Vec::with_capacity(sequences);
    let mut last_rows = Vec::with_capacity(sequences);
    let mut next_positions = Vec::with_capacity(sequences);
    let mut end = 0;
    for (&length, group) in groups {
        let rows = end..end + length;
        end += length;
        let next_position = inputs.positions[rows.clone()].iter().flatten().max().map_or(0, |p| p + 1);
        for sampling in group {
            samplers.push(Sampler::new(sampling, &inputs.ids[rows.clone()]));
            last_rows.push(end as u32 - 1);
            next_positions.push(next_position);
        }
    }
    let first_of_each = inputs.lengths.iter().enumerate().map(|(prompt, &length)| (prompt * each, length));
    let whole = Continuation { sequences: first_of_each.collect() };
    let hidden = model.text.forward_cached(embeddings, &inputs.positions, &whole, &mut cache)?;
    for first in (0..sequences).step_by(each) {
        cache.copy(first, first + 1..first + each)?;
    }
    let last_rows = Tensor::from_vec(last_rows, sequences, model.device())?;
    let mut logits = on_cpu(&model.text.logits(&hidden.index_select(&last_rows, 0)?)?)?;

    let mut results: Vec<Generated> =
        (0..sequences).map(|_| Generated { ids: Vec::new(), end: None, finish: Finish::Length }).collect();
    let mut active: Vec<usize> = (0..sequences).collect();
    loop {
        let mut going_on = Vec::with_capacity(active.len());
        for (row, &sequence) in active.iter().enumerate() {
            let token = samplers[sequence].next(&logits.i(row)?)?;
            let result = &mut results[sequence];
            let end = if end_of_text.contains(&token) {
                result.end = Some(token);
                Some(Finish::Stop)
            } else {
                result.ids.push(token);
                match on_step(sequence, Step::Token(token)) {
                    Flow::Cancel => Some(Finish::Cancelled),
                    Flow::Continue if result.ids.len() >= samplings[sequence].max_new_tokens => {
                        Some(Finish::Length)
                    }
                    Flow::Continue => None,
                }
            };
            if let Some(finish) = end {
                result.finish = finish;
                on_step(sequence, Step::End(finish));
            } else {
                going_on.push((sequence, token));
            }
        }
        if going_on.is_empty() {
            return Ok(results);
        }
        active = going_on.iter().map(|&(sequence, _)| sequence).collect();
        let ids: Vec<u32> = going_on.iter().map(|&(_, token)| token).collect();
        let mut positions = Vec::with_capacity(active.len());
        for &sequence in &active {
            positions.push([next_positions[sequence]; 3]);
            next_positions[sequence] += 1;
        }
        let one_each = Continuation { sequences: active.iter().map(|&sequence| (sequence, 1)).collect() };
        let hidden =
            model.text.forward_cached(&model.text.embed(&ids)?, &positions, &one_each, &mut cache)?;
        logits = on_cpu(&model.text.logits(&hidden)?)?;
    }
}

fn on_cpu(logits: &Tensor) -> Result<Tensor> {
    logits.to_dtype(candle_core::DType::F32)?.to_device(&Device::Cpu)
}
