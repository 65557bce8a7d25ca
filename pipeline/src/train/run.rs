//! The training loop.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use candle_core::{DType, Device, Var};
use qponder_shared::manifest::Split;
use qponder_shared::recipe::{Objective, Part, SftRecipe};

use super::checkpoint::Checkpoint;
use super::data::{Examples, Item, Order, read_manifests, spread};
use super::learner::{self, Gradients, Learner, part};
use super::objective::{Losses, PooledHeads, gradients, loss};
use super::optimiser::Optimiser;
use super::validate::validate;
use super::{Progress, TrainError};
use crate::processor::Processor;
use crate::qwen2_5_vl::{Config, Qwen2_5Vl, Weights};
use crate::{nano, save};

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
    let train = &recipe.train;
    let learner = Learner {
        identity,
        variables,
        optimiser: Optimiser::new(train.optimiser, train.weight_decay, checkpoint.moments),
        schedule: train.schedule(),
        vision_rate: train.vision_rate,
        clip: train.clip,
        threads: train.threads,
    };
    let mut trainer = Trainer {
        recipe,
        model,
        heads,
        examples: Examples { processor: &processor, seed: train.seed, augment: recipe.data.augment },
        learner,
        order: Order::new(training.len(), recipe.train.seed),
        training: &training,
    };
    let mut metrics = append(&out.join("metrics.jsonl"))?;
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
        trained: trainer.learner.variables.values().map(|v| v.elem_count() as u64).sum(),
        images: training.len(),
        validation_images: validation.len(),
    })?;
    for step in checkpoint.step + 1..=recipe.train.steps {
        match trainer.step(step, stop) {
            Ok(event) => tell(event)?,
            Err(TrainError::Stopped { .. }) => {
                trainer.learner.checkpoint(step - 1)?.write(out)?;
                tell(Progress::Saved { step: step - 1 })?;
                return Err(TrainError::Stopped { step: step - 1 });
            }
            Err(error) => return Err(error),
        }
        let last = step == recipe.train.steps;
        if !validation.is_empty() && (last || step % recipe.validation.every == 0) {
            let report = validate(
                &trainer.model,
                trainer.heads.as_ref(),
                &processor,
                &validation,
                &recipe.validation,
                recipe.train.objective,
            )?;
            tell(Progress::Validated { step, report })?;
        }
        if last || step % recipe.train.checkpoint_every == 0 {
            trainer.learner.checkpoint(step)?.write(out)?;
            tell(Progress::Saved { step })?;
        }
    }
    save::model(out, &trainer.model.config, &weights, if fresh { None } else { Some(base) })?;
    Ok(())
}

/// Opens a log to add lines to it, and makes its directory.
pub fn append(path: &Path) -> Result<File, TrainError> {
    let dir = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(dir)
        .and_then(|()| OpenOptions::new().create(true).append(true).open(path))
        .map_err(|source| TrainError::Io { path: path.to_owned(), source })
}

struct Trainer<'a> {
    recipe: &'a SftRecipe,
    model: Qwen2_5Vl,
    heads: Option<PooledHeads>,
    examples: Examples<'a>,
    learner: Learner,
    order: Order,
    training: &'a [Item],
}

impl Trainer<'_> {
    fn step(&mut self, step: usize, stop: &AtomicBool) -> Result<Progress, TrainError> {
        let train = &self.recipe.train;
        let started = Instant::now();
        let first = (step - 1) as u64 * train.batch as u64;
        let draws: Vec<(u64, usize)> =
            (first..first + train.batch as u64).map(|draw| (draw, self.order.item(draw))).collect();
        let parts: Vec<_> = draws.chunks(train.micro_batch).collect();
        let results = self.learner.each(&parts, stop, step, |draws| self.micro_batch(draws))?;
        let (mut losses, mut gradients) = (Losses::default(), Gradients::new());
        for (loss, gradient) in results {
            losses.add(loss);
            learner::add(&mut gradients, gradient);
        }
        let scale = 1.0 / draws.len() as f64;
        gradients.values_mut().flatten().for_each(|g| *g *= scale as f32);
        for value in [&mut losses.total, &mut losses.reason, &mut losses.quick, &mut losses.score] {
            *value *= scale;
        }
        if !losses.total.is_finite() {
            return Err(TrainError::NotANumber { step });
        }
        let (grad_norm, learning_rate) = self.learner.update(step, step, gradients)?;
        Ok(Progress::Step {
            step,
            loss: losses.total,
            reason: losses.reason,
            quick: losses.quick,
            score: losses.score,
            grad_norm,
            learning_rate,
            images_per_second: train.batch as f64 / started.elapsed().as_secs_f64(),
        })
    }

    /// Losses and gradients of some draws, summed over them.
    fn micro_batch(&self, draws: &[(u64, usize)]) -> Result<(Losses, Gradients), TrainError> {
        let examples = draws
            .iter()
            .map(|&(draw, item)| self.examples.make(&self.training[item], draw))
            .collect::<Result<Vec<_>, _>>()?;
        let (total, losses) = loss(&self.model, self.heads.as_ref(), &examples, &self.recipe.train)?;
        Ok((losses, gradients(&total, &self.learner.variables)?))
    }
}
