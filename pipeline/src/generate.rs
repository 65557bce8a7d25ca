//! Batched generation: one prefill of all prompts, then one token of every unfinished one at a time.
//!
//! Prompts are packed, so a batch of unequal lengths wastes nothing. With our own matrix products a prompt
//! gets the same numbers in every batch of up to 16 sequences, to the bit, unless its image has fewer than
//! 17 tokens; in larger batches, for tiny images and on other processors sums may be formed in another
//! order, and the last bits differ.

use candle_core::{Device, IndexOp, Tensor};
use candle_transformers::generation::{LogitsProcessor, Sampling as Strategy};
use candle_transformers::utils::apply_repeat_penalty;
use qponder_shared::api::Sampling;
use rayon::prelude::*;

use crate::ops::{self, slices};
use crate::qwen2_5_vl::{Continuation, Inputs, KvCache, Qwen2_5Vl};

/// Why nothing was generated.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    #[error("what the model computes are no numbers: its weights are damaged, or a training broke them")]
    NotNumbers,
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

type Result<T> = std::result::Result<T, GenerateError>;

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
    /// It reached `max_new_tokens`, or as many tokens as the model takes.
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
        // The likeliest of no numbers would be some token.
        let are_numbers =
            slices::with([logits], "next token", |[row]| Ok(row.iter().all(|logit| logit.is_finite())))?;
        if !are_numbers {
            return Err(GenerateError::NotNumbers);
        }
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

/// Answers several prompts together, each as often as there are samplings for it: there is a multiple of
/// samplings to prompts, and the first ones belong to the first prompt. However many answers it gets, a
/// prompt and its images are computed once.
///
/// `on_step(answer, step)` is called as things happen; what it returns at an end is of no account.
///
/// # Errors
/// When the inputs do not fit the model, or it computes no numbers.
pub fn generate(
    model: &Qwen2_5Vl,
    inputs: &Inputs,
    samplings: &[Sampling],
    end_of_text: &[u32],
    on_step: &mut dyn FnMut(usize, Step) -> Flow,
) -> Result<Vec<Generated>> {
    let (prompts, sequences) = (inputs.lengths.len(), samplings.len());
    if prompts == 0 || sequences % prompts != 0 {
        return Err(candle_core::Error::msg(format!("{sequences} samplings for {prompts} prompts")).into());
    }
    let group = sequences / prompts;
    let lengths = inputs.lengths.iter().flat_map(|&length| std::iter::repeat_n(length, group));
    let text = &model.config.text;
    // An answer ends where the model's positions do.
    let room = |length: usize| text.max_position_embeddings.saturating_sub(length).max(1);
    let limits: Vec<usize> =
        lengths.clone().zip(samplings).map(|(length, s)| s.max_new_tokens.min(room(length))).collect();
    let longest = lengths.zip(&limits).map(|(length, limit)| length + limit).max().unwrap_or(0);
    let embeddings = model.embed(inputs)?.detach();
    let mut cache = KvCache::new(text, sequences, longest, embeddings.dtype(), model.device())?;
    let mut samplers = Vec::with_capacity(sequences);
    let mut last_rows = Vec::with_capacity(sequences);
    let mut next_positions = Vec::with_capacity(sequences);
    let mut end = 0;
    for (&length, samplings) in inputs.lengths.iter().zip(samplings.chunks(group.max(1))) {
        let rows = end..end + length;
        end += length;
        let next = inputs.positions[rows.clone()].iter().flatten().max().map_or(0, |p| p + 1);
        for sampling in samplings {
            samplers.push(Sampler::new(sampling, &inputs.ids[rows.clone()]));
            last_rows.push(end as u32 - 1);
            next_positions.push(next);
        }
    }
    let firsts = inputs.lengths.iter().enumerate().map(|(prompt, &length)| (prompt * group, length));
    let whole = Continuation { sequences: firsts.collect() };
    let hidden = model.text.forward_cached(&embeddings, &inputs.positions, &whole, &mut cache)?;
    for sequence in (0..sequences).filter(|sequence| sequence % group != 0) {
        cache.copy(sequence - sequence % group, sequence)?;
    }
    let last_rows = Tensor::from_vec(last_rows, sequences, model.device())?;
    let mut logits = on_cpu(&model.text.logits(&hidden.index_select(&last_rows, 0)?)?)?;

    let mut results: Vec<Generated> =
        (0..sequences).map(|_| Generated { ids: Vec::new(), end: None, finish: Finish::Length }).collect();
    let mut active: Vec<usize> = (0..sequences).collect();
    loop {
        let mut going_on = Vec::with_capacity(active.len());
        for (&sequence, token) in active.iter().zip(choose(&mut samplers, &active, &logits)?) {
            let result = &mut results[sequence];
            let end = if end_of_text.contains(&token) {
                result.end = Some(token);
                Some(Finish::Stop)
            } else {
                result.ids.push(token);
                match on_step(sequence, Step::Token(token)) {
                    Flow::Cancel => Some(Finish::Cancelled),
                    Flow::Continue if result.ids.len() >= limits[sequence] => Some(Finish::Length),
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

/// The next token of each active sequence, whose logits are a row; on all threads where they are many.
fn choose(samplers: &mut [Sampler], active: &[usize], logits: &Tensor) -> Result<Vec<u32>> {
    let mut next = active.iter().copied().peekable();
    let chosen = samplers.iter_mut().enumerate().filter(|(sequence, _)| next.next_if_eq(sequence).is_some());
    let rows: Vec<_> = chosen.map(|(_, sampler)| sampler).enumerate().collect();
    let choose = |(row, sampler): (usize, &mut Sampler)| sampler.next(&logits.i(row)?);
    if ops::worth_splitting(logits.elem_count()) {
        rows.into_par_iter().map(choose).collect()
    } else {
        rows.into_iter().map(choose).collect()
    }
}

fn on_cpu(logits: &Tensor) -> candle_core::Result<Tensor> {
    logits.to_dtype(candle_core::DType::F32)?.to_device(&Device::Cpu)
}
