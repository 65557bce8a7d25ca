//! The training loop.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use candle_core::{DType, Device, Tensor, Var};
use qponder_shared::manifest::Split;
use qponder_shared::recipe::{Objective, Part, SftRecipe};

use super::checkpoint::Checkpoint;
use super::data::{Examples, Item, Order, read_manifests, spread};
use super::objective::{Losses, PooledHeads, gradients, loss};
use super::optimiser::Optimiser;
use super::schedule::learning_rate;
use super::validate::validate;
use super::{Progress, TrainError};
use crate::ops;
use crate::processor::Processor;
use crate::qwen2_5_vl::{Config, Qwen2_5Vl, Weights};
use crate::{nano, save};

/// candle's backward pass recurses over the graph.
const STACK: usize = 256 << 20;

/// The part of the model that a parameter belongs to; the pooled heads go with the tower.
fn part(name: &str) -> Part {
    if name.starts_with("visual.merger.") {
        Part::Merger
    } else if name.starts_with("visual.") || name.starts_with("heads.") {
        Part::Vision
    } else {
        Part::Language
    }
}

/// Trains as the recipe says, from the newest checkpoint in `recipe.out` if there is one, and saves
/// the model into `recipe.out` at the end.
///
/// `stop` is looked at between micro-batches; a stopped run writes a checkpoint first.
///
/// # Errors
/// When the recipe's files cannot be read, the disk refuses, the loss is no number, or it was stopped.
pub fn sft(
    recipe: &SftRecipe,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(&Progress),
) -> Result<(), TrainError> {
    let base = Path::new(&recipe.base);
    let fresh = recipe.base == nano::INIT;
    let training = read_manifests(&recipe.data.manifests, Split::Train)?;
    let held_out = read_manifests(&recipe.data.manifests, Split::Val)?;
    if training.is_empty() {
        return Err(TrainError::NoRows { split: "train" });
    }
    let (config, processor, mut tensors) = if fresh {
        let (config, processor) = nano::processor()?;
        let weights = nano::initial_weights(&config, &processor, &training, recipe.train.seed)?;
        (config, processor, weights)
    } else {
        let config = Config::read(base)?;
        let processor = Processor::read(base, &config)?;
        let weights = Weights::read(base, DType::F32, &Device::Cpu)?;
        (config, processor, weights.tensors().clone())
    };
    let with_heads = recipe.train.objective == Objective::Tower || recipe.train.auxiliary_weight > 0.0;
    if with_heads {
        let saved = save::read_heads(base)?;
        tensors.extend(match saved {
            Some(heads) => heads,
            None => PooledHeads::initial(config.vision.hidden_size)?,
        });
    }
    let identity = serde_json::to_string(recipe)
        .map_err(|e| TrainError::Checkpoint { path: recipe.out.clone().into(), reason: e.to_string() })?;
    let out = Path::new(&recipe.out);
    let checkpoint = Checkpoint::newest(out, &identity)?.unwrap_or_default();
    tensors.extend(checkpoint.weights);

    let mut variables = BTreeMap::new();
    let mut all = BTreeMap::new();
    for (name, tensor) in tensors {
        let is_reached = recipe.train.objective == Objective::Answer || part(&name) == Part::Vision;
        if recipe.train.parts.contains(&part(&name)) && is_reached {
            let variable = Var::from_tensor(&tensor)?;
            all.insert(name.clone(), variable.as_tensor().clone());
            variables.insert(name, variable);
        } else {
            all.insert(name, tensor);
        }
    }
    let weights = Weights::new(all);
    let model = Qwen2_5Vl::new(config.clone(), &weights, &Device::Cpu)?;
    let heads = if with_heads { Some(PooledHeads::load(&weights, config.vision.hidden_size)?) } else { None };
    let mut trainer = Trainer {
        recipe,
        identity,
        model,
        heads,
        examples: Examples { processor: &processor, seed: recipe.train.seed, augment: recipe.data.augment },
        optimiser: Optimiser::new(recipe.train.optimiser, recipe.train.weight_decay, checkpoint.moments),
        variables,
        order: Order::new(training.len(), recipe.train.seed),
        training: &training,
    };
    let mut metrics = open_metrics(out)?;
    let mut tell = |event: Progress| -> Result<(), TrainError> {
        let line = serde_json::to_string(&event).unwrap_or_default();
        writeln!(metrics, "{line}")
            .map_err(|source| TrainError::Io { path: out.join("metrics.jsonl"), source })?;
        progress(&event);
        Ok(())
    };
    let validation = spread(&held_out, recipe.validation.images);
    tell(Progress::Started {
        step: checkpoint.step,
        steps: recipe.train.steps,
        parameters: weights.parameters(),
        trained: trainer.variables.values().map(|v| v.elem_count() as u64).sum(),
        images: training.len(),
        validation_images: validation.len(),
    })?;
    for step in checkpoint.step + 1..=recipe.train.steps {
        match trainer.step(step, stop) {
            Ok(event) => tell(event)?,
            Err(TrainError::Stopped { .. }) => {
                trainer.checkpoint(step - 1)?.write(out)?;
                tell(Progress::Saved { step: step - 1 })?;
                return Err(TrainError::Stopped { step: step - 1 });
            }
            Err(error) => return Err(error),
        }
        let last = step == recipe.train.steps;
        if !validation.is_empty() && (last || step % recipe.validation.every == 0) {
            let report = validate(&trainer.model, trainer.heads.as_ref(), &processor, &validation, recipe)?;
            tell(Progress::Validated { step, report })?;
        }
        if last || step % recipe.train.checkpoint_every == 0 {
            trainer.checkpoint(step)?.write(out)?;
            tell(Progress::Saved { step })?;
        }
    }
    save::model(out, &trainer.model.config, &weights, if fresh { None } else { Some(base) })?;
    Ok(())
}

fn open_metrics(out: &Path) -> Result<File, TrainError> {
    let path = out.join("metrics.jsonl");
    std::fs::create_dir_all(out)
        .and_then(|()| OpenOptions::new().create(true).append(true).open(&path))
        .map_err(|source| TrainError::Io { path, source })
}

struct Trainer<'a> {
    recipe: &'a SftRecipe,
    identity: String,
    model: Qwen2_5Vl,
    heads: Option<PooledHeads>,
    examples: Examples<'a>,
    optimiser: Optimiser,
    variables: BTreeMap<String, Var>,
    order: Order,
    training: &'a [Item],
}

/// What one micro-batch gives: losses and gradients, summed over its examples.
type MicroBatch = Result<(Losses, BTreeMap<String, Vec<f32>>), TrainError>;

impl Trainer<'_> {
    fn step(&mut self, step: usize, stop: &AtomicBool) -> Result<Progress, TrainError> {
        let train = &self.recipe.train;
        let started = Instant::now();
        let first = (step - 1) as u64 * train.batch as u64;
        let draws: Vec<(u64, usize)> =
            (first..first + train.batch as u64).map(|draw| (draw, self.order.item(draw))).collect();
        let (losses, gradients) = self.accumulate(&draws, step, stop)?;
        let norm = gradients.values().flatten().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
        if !norm.is_finite() || !losses.total.is_finite() {
            return Err(TrainError::NotANumber { step });
        }
        let shrink = (train.clip / (norm + 1e-6)).min(1.0) as f32;
        let gradients = gradients
            .into_iter()
            .map(|(name, mut gradient)| {
                gradient.iter_mut().for_each(|g| *g *= shrink);
                (name, gradient)
            })
            .collect();
        let rate = learning_rate(train, step);
        let vision_rate = rate * train.vision_rate;
        self.optimiser.step(step, &self.variables, &gradients, |name| {
            if part(name) == Part::Vision { vision_rate } else { rate }
        })?;
        Ok(Progress::Step {
            step,
            loss: losses.total,
            reason: losses.reason,
            quick: losses.quick,
            score: losses.score,
            grad_norm: norm,
            learning_rate: rate,
            images_per_second: train.batch as f64 / started.elapsed().as_secs_f64(),
        })
    }

    /// Means of losses and gradients over the draws. Threads take micro-batches as they come, but the
    /// sums are formed in order, so that the result does not depend on the number of threads.
    fn accumulate(
        &self,
        draws: &[(u64, usize)],
        step: usize,
        stop: &AtomicBool,
    ) -> Result<(Losses, BTreeMap<String, Vec<f32>>), TrainError> {
        let train = &self.recipe.train;
        let parts: Vec<_> = draws.chunks(train.micro_batch).collect();
        let threads = match train.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        };
        let next = AtomicUsize::new(0);
        let work = || {
            let mut done: Vec<(usize, MicroBatch)> = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(part) = parts.get(index) else { return done };
                if stop.load(Ordering::Relaxed) {
                    done.push((index, Err(TrainError::Stopped { step })));
                    return done;
                }
                done.push((index, ops::serially(|| self.micro_batch(part))));
            }
        };
        let mut results = std::thread::scope(|scope| -> Result<Vec<_>, TrainError> {
            let handles: Vec<_> = (0..threads.min(parts.len()))
                .map(|_| std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work))
                .collect();
            let mut results = Vec::new();
            for handle in handles {
                let handle = handle.map_err(|source| TrainError::Io { path: "thread".into(), source })?;
                match handle.join() {
                    Ok(done) => results.extend(done),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            Ok(results)
        })?;
        results.sort_by_key(|(index, _)| *index);
        let mut losses = Losses::default();
        let mut sums: BTreeMap<String, Vec<f32>> = BTreeMap::new();
        for (_, result) in results {
            let (loss, gradients) = result?;
            losses.add(loss);
            for (name, gradient) in gradients {
                match sums.get_mut(&name) {
                    Some(sum) => sum.iter_mut().zip(gradient).for_each(|(s, g)| *s += g),
                    None => {
                        sums.insert(name, gradient);
                    }
                }
            }
        }
        let scale = 1.0 / draws.len() as f64;
        sums.values_mut().flatten().for_each(|g| *g *= scale as f32);
        for value in [&mut losses.total, &mut losses.reason, &mut losses.quick, &mut losses.score] {
            *value *= scale;
        }
        Ok((losses, sums))
    }

    fn micro_batch(&self, draws: &[(u64, usize)]) -> MicroBatch {
        let examples = draws
            .iter()
            .map(|&(draw, item)| self.examples.make(&self.training[item], draw))
            .collect::<Result<Vec<_>, _>>()?;
        let (total, losses) = loss(&self.model, self.heads.as_ref(), &examples, &self.recipe.train)?;
        Ok((losses, gradients(&total, &self.variables)?))
    }

    fn checkpoint(&self, step: usize) -> Result<Checkpoint, TrainError> {
        let copy = |(name, variable): (&String, &Var)| Ok((name.clone(), variable.as_tensor().copy()?));
        let weights: BTreeMap<String, Tensor> =
            self.variables.iter().map(copy).collect::<candle_core::Result<_>>()?;
        let moments = self.optimiser.moments().clone();
        Ok(Checkpoint { step, recipe: self.identity.clone(), weights, moments })
    }
}
