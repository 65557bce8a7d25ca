//! Prefill, decoding, and training steps of a model with random weights.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use qponder_kernels::pixels::Patches;
use qponder_shared::api::Sampling;
use qponder_shared::recipe::{Lora, LossKind, Rollout as Settings, Target, Train};
use serde::Serialize;

use super::Size;
use super::memory::peak;
use super::random::{self, answered, prompt};
use crate::adapter;
use crate::device::Place;
use crate::generate::{Flow, generate};
use crate::qwen2_5_vl::{Inputs, Qwen2_5Vl};
use crate::train::TrainError;
use crate::train::answers::{Head, Packed};
use crate::train::grpo::policy::PolicyLoss;
use crate::train::grpo::rollout::{Question, Rollout, sample};
use crate::train::grpo::update::{Known, Update};
use crate::train::identity::Identity;
use crate::train::learner::{Gradients, Learner};
use crate::train::objective::gradients;
use crate::train::parameters::{Parameters, trains};

/// Answers to an image in a step of GRPO.
const GROUP: usize = 8;
/// Tokens of an answer.
const ANSWER: usize = 128;
/// Answer tokens whose logits are in memory at once.
const HEAD_TOKENS: usize = 256;
/// Runs that are timed, after one that is not.
const RUNS: usize = 3;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    Prefill,
    Decode,
    Sft,
    Grpo,
}

impl Work {
    /// Everything.
    pub const ALL: [Self; 4] = [Self::Prefill, Self::Decode, Self::Sft, Self::Grpo];

    fn name(self) -> &'static str {
        match self {
            Self::Prefill => "prefill",
            Self::Decode => "decode",
            Self::Sft => "sft",
            Self::Grpo => "grpo",
        }
    }
}

impl FromStr for Work {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|work| work.name() == name);
        found.ok_or_else(|| format!("`{name}` is not measured: use prefill, decode, sft or grpo"))
    }
}

/// How fast something was.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Speed {
    pub what: &'static str,
    /// Tokens that a run takes or makes, image tokens included.
    pub tokens: usize,
    /// Of the fastest run.
    pub seconds: f64,
    /// The most that tensors had of the GPU's memory.
    pub peak_bytes: Option<u64>,
}

/// Measures some work of a size on a device: f32 on the CPU, bf16 on a GPU. Training has adapters of rank 16
/// on the language model, and makes its layers again.
///
/// # Errors
/// When the device cannot be used, or has no room.
pub fn speed(
    size: Size,
    place: Place,
    works: &[Work],
    told: &mut dyn FnMut(&Speed),
) -> Result<(), TrainError> {
    let bench = Bench::new(size, place)?;
    let mut learner = bench.learner();
    for work in works {
        match work {
            Work::Prefill => bench.time("prefill", bench.prompt.ids.len(), told, || bench.decode(1, 1))?,
            Work::Decode => {
                bench.time("decode, 1 sequence", ANSWER, told, || bench.decode(1, ANSWER))?;
                bench.time("decode, 8 sequences", GROUP * ANSWER, told, || bench.decode(GROUP, ANSWER))?;
            }
            Work::Sft => bench.time("SFT step", bench.prompt.ids.len() + ANSWER, told, || {
                let gradients = bench.sft()?;
                learner.update(1, 1, gradients).map(|_| ())
            })?,
            Work::Grpo => bench.time("GRPO step", GROUP * ANSWER, told, || {
                let gradients = bench.grpo()?;
                learner.update(1, 1, gradients).map(|_| ())
            })?,
        }
    }
    Ok(())
}

struct Bench {
    device: Device,
    model: Qwen2_5Vl,
    sampler: Qwen2_5Vl,
    parameters: Parameters,
    train: Train,
    patches: Patches,
    prompt: Inputs,
}

impl Bench {
    fn new(size: Size, place: Place) -> Result<Self, TrainError> {
        let (device, dtype) = (place.open()?, place.inference_dtype());
        let config = size.config()?;
        let mut tensors = random::weights(&config, &device, dtype)?;
        let language = [
            Target::Query,
            Target::Key,
            Target::Value,
            Target::Output,
            Target::Gate,
            Target::Up,
            Target::Down,
        ];
        let lora = Lora { rank: 16, targets: language.to_vec(), dropout: 0.0, ..Lora::default() };
        tensors.extend(adapter::initial(&tensors, &lora, 0)?);
        let train = Train { threads: 1, recompute: true, head_tokens: HEAD_TOKENS, ..Train::default() };
        let parameters =
            Parameters::new(tensors, &device, dtype, Some(&lora), |name| trains(name, &[], Some(&lora)))?;
        // 1008 pixels square are 1,296 image tokens; nano never sees more than 513 square: 504 are 324.
        let patches = random::image(&config, if size == Size::Nano { 36 } else { 72 });
        let prompt = prompt(&config, patches.grid);
        let model =
            Qwen2_5Vl::new(config, &parameters.weights, &device)?.with_dtype(dtype).with_recompute(true);
        let sampler = model.over(&parameters.without_graph())?;
        Ok(Self { device, model, sampler, parameters, train, patches, prompt })
    }

    fn learner(&self) -> Learner {
        let variables = self.parameters.variables.clone();
        Learner::new(Identity::default(), variables, &self.train.learning(), BTreeMap::new())
    }

    fn time(
        &self,
        what: &'static str,
        tokens: usize,
        told: &mut dyn FnMut(&Speed),
        mut work: impl FnMut() -> Result<(), TrainError>,
    ) -> Result<(), TrainError> {
        let (result, peak_bytes) = peak(&self.device, || {
            let mut best = f64::INFINITY;
            for run in 0..=RUNS {
                let begun = Instant::now();
                work()?;
                self.device.synchronize()?;
                if run > 0 {
                    best = best.min(begun.elapsed().as_secs_f64());
                }
            }
            Ok::<f64, TrainError>(best)
        })?;
        told(&Speed { what, tokens, seconds: result?, peak_bytes });
        Ok(())
    }

    fn settings(&self, tokens: usize) -> Settings {
        Settings { group: GROUP, max_new_tokens: tokens, ..Settings::default() }
    }

    /// Answers of exactly so many tokens: no token ends one.
    fn decode(&self, sequences: usize, tokens: usize) -> Result<(), TrainError> {
        let inputs = Inputs { patches: self.patches.values.clone(), ..self.prompt.clone() };
        let samplings = vec![Sampling { max_new_tokens: tokens, ..Sampling::default() }; sequences];
        generate(&self.sampler, &inputs, &samplings, &[], &mut |_, _| Flow::Continue)?;
        Ok(())
    }

    fn sft(&self) -> Result<Gradients, TrainError> {
        let config = &self.model.config;
        let count = self.patches.count();
        let shape = (count, self.patches.values.len() / count);
        let patches = Tensor::from_slice(&self.patches.values, shape, &self.device)?;
        let images = self.model.vision.forward(&patches, &[self.patches.grid])?.detach();
        let mut packed = Packed::default();
        packed.push(&[&answered(config, self.patches.grid, ANSWER)], config.image_token_id, 0);
        let head = Head { temperature: 1.0, tokens: HEAD_TOKENS, entropy: false };
        let losses = packed.losses(&self.model, &images, head)?.losses;
        Ok(gradients(&losses.to_dtype(DType::F32)?.mean_all()?, &self.parameters.variables)?)
    }

    fn grpo(&self) -> Result<Gradients, TrainError> {
        let (prompt, patches) = (self.prompt.clone(), self.patches.clone());
        let question = Question { patches, prompt, seeds: (0..GROUP as u64).collect() };
        let answers = sample(&self.sampler, std::slice::from_ref(&question), &self.settings(ANSWER), &[])?;
        let Question { patches, prompt, .. } = question;
        let rollout = Rollout { patches, prompt, answers: answers.into_iter().flatten().collect() };
        let loss = PolicyLoss {
            kind: LossKind::Dapo,
            beta: 0.0,
            epsilon_low: 0.2,
            epsilon_high: 0.2,
            answers: GROUP,
            tokens: GROUP * ANSWER,
            micro_batches: 1,
            max_length: ANSWER,
        };
        let update = Update { temperature: 1.0, head_tokens: HEAD_TOKENS, mask_truncated: false };
        let advantages: Vec<f64> =
            (0..GROUP).map(|answer| if answer % 2 == 0 { 1.0 } else { -1.0 }).collect();
        let known = Known { advantages: &advantages, old: None, reference: None };
        let part = update.of(&self.model, &self.parameters.variables, &rollout, known, &loss)?;
        Ok(part.gradients)
    }
}
