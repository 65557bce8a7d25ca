//! The loop: sample, reward, update.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use qponder_kernels::pixels::Patches;
use qponder_shared::api::{Mode, Sampling};
use qponder_shared::manifest::Split;
use qponder_shared::prompt;
use qponder_shared::recipe::{GrpoRecipe, Objective, Part};
use serde::Serialize;

use super::policy::{self, Advantages, PolicyLoss, PolicyStats, advantages};
use super::rewards::{Group, Judge, LevelMap, Sampled, Terms};
use crate::adapter;
use crate::degrade::Rng;
use crate::generate::{Flow, Generated, generate};
use crate::processor::Processor;
use crate::qwen2_5_vl::{Config, Inputs, Qwen2_5Vl, Weights};
use crate::train::answers::{Head, Packed, TokenLosses};
use crate::train::checkpoint::Checkpoint;
use crate::train::data::{Item, Order, Tokens, read_manifests, spread};
use crate::train::dropout::AdapterDropout;
use crate::train::learner::{self, Gradients, Learner, part};
use crate::train::objective::gradients;
use crate::train::parameters::{self, Parameters, trains};
use crate::train::session::{Session, Training, append};
use crate::train::validate::validate;
use crate::train::{Progress, TrainError, ValidationReport};

/// Labelled images that the map from levels to scores is fitted on.
const FITTED: usize = 4000;
/// Answers of each image that `completions.jsonl` keeps.
const KEPT: usize = 2;

/// Trains as the recipe says, from the newest checkpoint in `recipe.out` if there is one, and saves
/// the model into `recipe.out` at the end.
///
/// Beside the metrics, `completions.jsonl` keeps a few answers of every step with each reward.
/// `stop` is looked at between images; a stopped run writes a checkpoint first.
///
/// # Errors
/// When the recipe's files cannot be read, the disk refuses, the loss is no number, or it was stopped.
pub fn grpo(
    recipe: &GrpoRecipe,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(&Progress),
) -> Result<(), TrainError> {
    let (base, out) = (Path::new(&recipe.base), Path::new(&recipe.out));
    let training = read_manifests(&recipe.data.manifests, Split::Train)?;
    let held_out = read_manifests(&recipe.data.manifests, Split::Val)?;
    if training.is_empty() {
        return Err(TrainError::NoRows { split: "train" });
    }
    let config = Config::read(base)?;
    let processor = Processor::read(base, &config)?;
    let mut tensors = Weights::read(base, DType::F32, &Device::Cpu)?.tensors().clone();
    let train = &recipe.train;
    let reference = if train.beta > 0.0 {
        Some(Qwen2_5Vl::new(config.clone(), &Weights::new(tensors.clone()), &Device::Cpu)?)
    } else {
        None
    };
    let identity = serde_json::to_string(recipe)
        .map_err(|e| TrainError::Checkpoint { path: out.to_owned(), reason: e.to_string() })?;
    let checkpoint = Checkpoint::newest(out, &identity)?.unwrap_or_default();
    let lora = recipe.lora.as_ref();
    if let Some(lora) = lora {
        tensors.extend(adapter::initial(&tensors, lora, train.seed)?);
    }
    tensors.extend(checkpoint.weights);
    let parameters = Parameters::new(tensors, lora, |name| trains(name, &train.parts, lora))?;
    let weights = &parameters.weights;
    let validation = spread(&held_out, recipe.validation.images);
    let started = Progress::Started {
        step: checkpoint.step,
        steps: train.steps,
        parameters: weights.parameters(),
        trained: parameters.trained(),
        images: training.len(),
        validation_images: validation.len(),
    };
    let session = Session {
        out,
        done: checkpoint.step,
        steps: train.steps,
        checkpoint_every: train.checkpoint_every,
        validate_every: recipe.validation.every,
        validate_first: true,
    };
    let model = Qwen2_5Vl::new(config, weights, &Device::Cpu)?.with_recompute(train.recompute);
    let mut trainer = Trainer {
        recipe,
        dropout: AdapterDropout::new(&model, weights, lora, train.seed, train.recompute),
        model,
        reference,
        processor: &processor,
        judge: Judge {
            rewards: recipe.reward.clone(),
            levels: LevelMap::of_items(&spread(&training, FITTED)),
            max_new_tokens: recipe.rollout.max_new_tokens,
        },
        learner: Learner::new(identity, parameters.variables, &train.learning(), checkpoint.moments),
        order: Order::new(training.len(), train.seed),
        training: &training,
        validation,
        completions: append(&out.join("completions.jsonl"))?,
    };
    session.run(&mut trainer, started, stop, progress)?;
    parameters::save(out, &trainer.model.config, weights, Some(base), lora)
}

struct Trainer<'a> {
    recipe: &'a GrpoRecipe,
    model: Qwen2_5Vl,
    /// Makes the micro-batches' models where adapters have dropout.
    dropout: Option<AdapterDropout>,
    reference: Option<Qwen2_5Vl>,
    processor: &'a Processor,
    judge: Judge,
    learner: Learner,
    order: Order,
    training: &'a [Item],
    validation: Vec<Item>,
    completions: File,
}

/// An image with its group of answers.
struct Rolled {
    item: usize,
    patches: Patches,
    prompt: Inputs,
    answers: Vec<Generated>,
    texts: Vec<String>,
}

/// What one update's micro-batch gives.
struct MicroBatch {
    stats: PolicyStats,
    entropy: f64,
    gradients: Gradients,
}

/// A line of `completions.jsonl`.
#[derive(Serialize)]
struct Completion<'a> {
    step: usize,
    image: &'a Path,
    label: f64,
    text: &'a str,
    reward: f64,
    advantage: f64,
    #[serde(flatten)]
    terms: &'a Terms,
}

impl Training for Trainer<'_> {
    fn step(&mut self, step: usize, stop: &AtomicBool) -> Result<Progress, TrainError> {
        let started = Instant::now();
        let train = &self.recipe.train;
        let first = (step - 1) as u64 * train.images as u64;
        let draws: Vec<(u64, usize)> =
            (first..first + train.images as u64).map(|draw| (draw, self.order.item(draw))).collect();
        let rolled = self.learner.map(&draws, stop, step, |&(draw, item)| self.roll(draw, item))?;
        let groups: Vec<Group<'_>> = rolled.iter().map(|rolled| self.group(rolled)).collect();
        let terms = self.judge.judge(&groups);
        let rewards: Vec<f64> = terms.iter().flatten().map(|t| t.total(&self.recipe.reward)).collect();
        let advantages = advantages(&rewards, self.recipe.rollout.group, train.reward_scale);
        self.keep(step, &rolled, &terms, &rewards, &advantages)?;

        // With one update the sampling policy is the one in training, and its log-probabilities are known.
        let old = if train.epochs > 1 { Some(self.log_probabilities(&rolled, stop, step)?) } else { None };
        let mut metrics = BTreeMap::new();
        let counted = rolled.iter().flat_map(|r| &r.answers).filter(|a| self.counts(a));
        let loss = PolicyLoss {
            kind: train.loss,
            beta: train.beta,
            epsilon_low: train.epsilon_low,
            epsilon_high: train.epsilon_high,
            answers: rewards.len(),
            tokens: counted.map(answer_length).sum(),
            micro_batches: rolled.len(),
            max_length: self.recipe.rollout.max_new_tokens,
        };
        // After the first update a step is finished whatever happens: half of one could not be resumed.
        let go_on = AtomicBool::new(false);
        for epoch in 0..train.epochs {
            let stop = if epoch == 0 { stop } else { &go_on };
            let update = (step - 1) * train.epochs + epoch + 1;
            let indices: Vec<usize> = (0..rolled.len()).collect();
            let group = self.recipe.rollout.group;
            let (mut stats, mut entropy, mut gradients) = (PolicyStats::default(), 0.0, Gradients::new());
            let work = |&index: &usize| {
                let advantages = &advantages.values[index * group..][..group];
                let old = old.as_ref().map(|old| &old[index]);
                let micro_batch = ((update - 1) * train.images + index) as u64;
                let dropped = self.dropout.as_ref().map(|dropout| dropout.model(micro_batch)).transpose()?;
                let model = dropped.as_ref().unwrap_or(&self.model);
                self.micro_batch(model, &loss, &rolled[index], advantages, old)
            };
            self.learner.each(&indices, stop, step, work, |part| {
                stats.add(part.stats);
                entropy += part.entropy;
                learner::add(&mut gradients, part.gradients);
            })?;
            if !stats.loss.is_finite() {
                return Err(TrainError::NotANumber { step });
            }
            let (norm, rate) = self.learner.update(step, update, gradients)?;
            let tokens = stats.tokens.max(1) as f64;
            metrics.extend([
                ("loss".to_owned(), stats.loss),
                ("kl".to_owned(), stats.kl / tokens),
                ("entropy".to_owned(), entropy / tokens),
                ("clip_ratio/low_mean".to_owned(), stats.clipped_low / tokens),
                ("clip_ratio/high_mean".to_owned(), stats.clipped_high / tokens),
                ("grad_norm".to_owned(), norm),
                ("learning_rate".to_owned(), rate),
                ("num_tokens".to_owned(), tokens),
            ]);
        }
        self.describe(&mut metrics, &rolled, &terms, &rewards, &advantages);
        metrics.insert("step_time".to_owned(), started.elapsed().as_secs_f64());
        Ok(Progress::Policy { step, metrics })
    }

    fn validate(&self) -> Result<Option<ValidationReport>, TrainError> {
        if self.validation.is_empty() {
            return Ok(None);
        }
        let settings = &self.recipe.validation;
        validate(&self.model, None, self.processor, &self.validation, settings, Objective::Answer).map(Some)
    }

    fn learner(&self) -> &Learner {
        &self.learner
    }
}

impl Trainer<'_> {
    /// Samples the answers to one image.
    fn roll(&self, draw: u64, item: usize) -> Result<Rolled, TrainError> {
        let (recipe, item_of) = (self.recipe, &self.training[item]);
        let mut rng = Rng::new(recipe.train.seed ^ 0x6772_706F, draw);
        let mut image = item_of.image()?;
        if recipe.data.augment {
            image = image.symmetry(rng.below(8));
        }
        let text = self.processor.chat(prompt::SYSTEM, prompt::current(Mode::Reason).text, 1)?;
        let patches = Patches::new(&image, self.processor.patches())
            .map_err(|e| TrainError::Image { path: item_of.path.clone(), reason: e.to_string() })?;
        let prompt = self.processor.inputs_of_patches(&text, std::slice::from_ref(&patches))?;
        let outline = Patches { values: Vec::new(), grid: patches.grid };
        let bare = self.processor.inputs_of_patches(&text, &[outline])?;
        let group = recipe.rollout.group;
        let rollout = &recipe.rollout;
        let samplings: Vec<Sampling> = (0..group)
            .map(|_| Sampling {
                temperature: rollout.temperature,
                top_p: rollout.top_p,
                top_k: rollout.top_k,
                max_new_tokens: rollout.max_new_tokens,
                seed: rng.next_u64(),
                ..Sampling::default()
            })
            .collect();
        let ends = self.processor.end_of_text();
        let answers = generate(&self.model, &prompt, &samplings, ends, &mut |_, _| Flow::Continue)?;
        let texts = answers.iter().map(|a| self.processor.text(&a.ids)).collect::<Result<Vec<_>, _>>()?;
        Ok(Rolled { item, patches, prompt: bare, answers, texts })
    }

    fn group<'a>(&'a self, rolled: &'a Rolled) -> Group<'a> {
        let row = &self.training[rolled.item].row;
        let answers = rolled.texts.iter().zip(&rolled.answers);
        Group {
            label: row.label.value(),
            distortions: row.distortions_known().then_some(&row.distortions),
            answers: answers.map(|(text, answer)| Sampled { text, ids: &answer.ids }).collect(),
        }
    }

    /// Whether an answer teaches.
    fn counts(&self, answer: &Generated) -> bool {
        answer.end.is_some() || !self.recipe.train.mask_truncated
    }

    /// The losses of the tokens of a group's answers.
    fn losses(&self, model: &Qwen2_5Vl, rolled: &Rolled, entropy: bool) -> Result<TokenLosses, TrainError> {
        let (count, values) = (rolled.patches.count(), &rolled.patches.values);
        let patches = Tensor::from_slice(values, (count, values.len() / count), model.device())?;
        let mut images = model.vision.forward(&patches, &[rolled.patches.grid])?;
        if !self.learner.variables.keys().any(|name| part(name) != Part::Language) {
            images = images.detach();
        }
        let answers = rolled.answers.iter().map(|answer| Tokens {
            prompt: rolled.prompt.clone(),
            answer: answer.ids.iter().copied().chain(answer.end).collect(),
        });
        let answers: Vec<Tokens> = answers.collect();
        let mut packed = Packed::default();
        packed.push(&answers.iter().collect::<Vec<_>>(), model.config.image_token_id, 0);
        let (temperature, tokens) = (self.recipe.rollout.temperature, self.recipe.train.head_tokens);
        Ok(packed.losses(model, &images, Head { temperature, tokens, entropy })?)
    }

    /// Log-probabilities of every answer's tokens, by image and answer.
    fn log_probabilities(
        &self,
        rolled: &[Rolled],
        stop: &AtomicBool,
        step: usize,
    ) -> Result<Vec<Vec<Vec<f64>>>, TrainError> {
        let indices: Vec<usize> = (0..rolled.len()).collect();
        self.learner.map(&indices, stop, step, |&index| {
            let losses = self.losses(&self.model, &rolled[index], false)?.losses;
            Ok(by_answer(&losses, &rolled[index])?)
        })
    }

    /// The policy loss of one image's answers.
    fn micro_batch(
        &self,
        model: &Qwen2_5Vl,
        loss: &PolicyLoss,
        rolled: &Rolled,
        advantages: &[f64],
        old: Option<&Vec<Vec<f64>>>,
    ) -> Result<MicroBatch, TrainError> {
        let TokenLosses { losses, entropies } = self.losses(model, rolled, true)?;
        let new = by_answer(&losses, rolled)?;
        let reference = match &self.reference {
            Some(model) => by_answer(&self.losses(model, rolled, false)?.losses, rolled)?,
            None => vec![Vec::new(); new.len()],
        };
        let answers: Vec<policy::Tokens<'_>> = (0..new.len())
            .map(|i| policy::Tokens {
                new: &new[i],
                old: old.map_or(&new[i], |old| &old[i]),
                reference: &reference[i],
                advantage: advantages[i],
                counts: self.counts(&rolled.answers[i]),
            })
            .collect();
        let (stats, slopes) = loss.of(&answers);
        let weights: Vec<f32> = slopes.iter().flatten().map(|slope| -slope as f32).collect();
        let entropy = self.entropy(&entropies, rolled);
        let weights = Tensor::from_vec(weights, losses.dims1()?, losses.device())?;
        let surrogate = (losses * weights)?.sum_all()?;
        let gradients = gradients(&surrogate, &self.learner.variables)?;
        Ok(MicroBatch { stats, entropy, gradients })
    }

    /// The sum of the entropies, in nats, at the tokens of the answers that count.
    fn entropy(&self, entropies: &[f32], rolled: &Rolled) -> f64 {
        let mut rest = entropies;
        let mut sum = 0.0;
        for answer in &rolled.answers {
            let (own, others) = rest.split_at(answer_length(answer).min(rest.len()));
            rest = others;
            if self.counts(answer) {
                sum += own.iter().copied().map(f64::from).sum::<f64>();
            }
        }
        sum
    }

    fn keep(
        &mut self,
        step: usize,
        rolled: &[Rolled],
        terms: &[Vec<Terms>],
        rewards: &[f64],
        advantages: &Advantages,
    ) -> Result<(), TrainError> {
        let mut lines = String::new();
        for (index, (rolled, terms)) in rolled.iter().zip(terms).enumerate() {
            let item = &self.training[rolled.item];
            for (at, terms) in terms.iter().enumerate().take(KEPT) {
                let place = index * self.recipe.rollout.group + at;
                let completion = Completion {
                    step,
                    image: &item.path,
                    label: item.row.label.value(),
                    text: &rolled.texts[at],
                    reward: rewards[place],
                    advantage: advantages.values[place],
                    terms,
                };
                lines += &serde_json::to_string(&completion).unwrap_or_default();
                lines.push('\n');
            }
        }
        let path = Path::new(&self.recipe.out).join("completions.jsonl");
        self.completions.write_all(lines.as_bytes()).map_err(|source| TrainError::Io { path, source })
    }

    /// The metrics that need no update, under TRL's names.
    fn describe(
        &self,
        metrics: &mut BTreeMap<String, f64>,
        rolled: &[Rolled],
        terms: &[Vec<Terms>],
        rewards: &[f64],
        advantages: &Advantages,
    ) {
        let (mean, deviation) = policy::mean_and_deviation(rewards);
        metrics.insert("reward".to_owned(), mean);
        metrics.insert("reward_std".to_owned(), deviation);
        metrics.insert("frac_reward_zero_std".to_owned(), advantages.zero_variance);
        for (index, (name, _)) in Terms::default().named().into_iter().enumerate() {
            let values: Vec<f64> = terms.iter().flatten().map(|t| t.named()[index].1).collect();
            let (mean, deviation) = policy::mean_and_deviation(&values);
            metrics.insert(format!("rewards/{name}/mean"), mean);
            metrics.insert(format!("rewards/{name}/std"), deviation);
        }
        let answers: Vec<&Generated> = rolled.iter().flat_map(|rolled| &rolled.answers).collect();
        let count = answers.len() as f64;
        let length: usize = answers.iter().map(|a| answer_length(a)).sum();
        let cut = answers.iter().filter(|a| a.end.is_none()).count();
        metrics.insert("completions/mean_length".to_owned(), length as f64 / count);
        metrics.insert("completions/clipped_ratio".to_owned(), cut as f64 / count);
    }
}

/// Tokens of an answer, with the one that ends it.
fn answer_length(answer: &Generated) -> usize {
    answer.ids.len() + usize::from(answer.end.is_some())
}

/// Log-probabilities from negative log-likelihoods, cut into answers.
fn by_answer(losses: &Tensor, rolled: &Rolled) -> candle_core::Result<Vec<Vec<f64>>> {
    let all: Vec<f32> = losses.detach().to_vec1()?;
    let mut rest = all.as_slice();
    let mut answers = Vec::with_capacity(rolled.answers.len());
    for answer in &rolled.answers {
        let (own, others) = rest.split_at(answer_length(answer).min(rest.len()));
        answers.push(own.iter().map(|loss| -f64::from(*loss)).collect());
        rest = others;
    }
    Ok(answers)
}
