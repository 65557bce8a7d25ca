//! Cold start: supervised training.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use candle_core::{DType, Device};
use qponder_shared::manifest::Split;
use qponder_shared::recipe::{Objective, Part, SftRecipe};
use rayon::prelude::*;

use super::checkpoint::Checkpoint;
use super::data::{Examples, Item, Order, read_manifests, spread};
use super::dropout::AdapterDropout;
use super::learner::{self, Gradients, Learner, on, part};
use super::objective::{Losses, PooledHeads, gradients, loss};
use super::parameters::{self, Parameters, trains};
use super::session::{Session, Training};
use super::validate::validate;
use super::{Progress, TrainError, ValidationReport};
use crate::device::{Place, dtype};
use crate::processor::Processor;
use crate::qwen2_5_vl::{Config, Qwen2_5Vl, Weights};
use crate::{adapter, nano, save};

/// Trains as the recipe says, from the newest checkpoint in `recipe.out` if there is one, and saves
/// the model into `recipe.out` at the end.
///
/// `stop` is looked at between micro-batches; a stopped run writes a checkpoint first.
///
/// # Errors
/// When the recipe's files cannot be read, the device or the disk refuses, the loss is no number, or it was
/// stopped.
pub fn sft(
    recipe: &SftRecipe,
    place: Place,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(&Progress),
) -> Result<(), TrainError> {
    let base = Path::new(&recipe.base);
    let fresh = recipe.base == nano::INIT;
    let train = &recipe.train;
    let (device, dtype) = (place.open()?, dtype(train.precision));
    let training = read_manifests(&recipe.data.manifests, Split::Train)?;
    let held_out = read_manifests(&recipe.data.manifests, Split::Val)?;
    if training.is_empty() {
        return Err(TrainError::NoRows { split: "train" });
    }
    let (config, processor, mut tensors) = if fresh {
        let (config, processor) = nano::processor()?;
        let weights = nano::initial_weights(&config, &processor, &training, train.seed)?;
        (config, processor, weights)
    } else {
        let config = Config::read(base)?;
        let processor = Processor::read(base, &config)?;
        // What is trained begins with every digit that the checkpoint has.
        let read = if recipe.lora.is_some() { dtype } else { DType::F32 };
        let weights = Weights::read(base, read, &Device::Cpu)?;
        (config, processor, weights.tensors().clone())
    };
    let with_heads = train.objective == Objective::Tower || train.auxiliary_weight > 0.0;
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
    let checkpoint = Checkpoint::newest(out, &identity, &mut |error| {
        progress(&Progress::Damaged { error: error.to_string() });
    })?
    .unwrap_or_default();
    let lora = recipe.lora.as_ref();
    if let Some(lora) = lora {
        tensors.extend(adapter::initial(&tensors, lora, train.seed)?);
    }
    tensors.extend(checkpoint.weights);

    let parameters = Parameters::new(tensors, &device, dtype, lora, |name| {
        let is_reached = train.objective == Objective::Answer || part(name) == Part::Vision;
        trains(name, &train.parts, lora) && is_reached
    })?;
    let weights = &parameters.weights;
    let model = Qwen2_5Vl::new(config.clone(), weights, &device)?.with_dtype(dtype);
    let model = model.with_recompute(train.recompute);
    let judged = model.over(&parameters.without_graph())?;
    let heads = if with_heads { Some(PooledHeads::load(weights, config.vision.hidden_size)?) } else { None };
    let validation = spread(&held_out, recipe.validation.images);
    let mut learning = on(place, train.learning());
    if place != Place::Cpu {
        // One thread's micro-batch is on the GPU while the other's is read and decoded.
        learning.threads = 2;
    }
    let session = Session::new(out, checkpoint.step, &learning, recipe.validation.every);
    let started = session.started(&parameters, training.len(), validation.len());
    let mut trainer = Trainer {
        recipe,
        dropout: AdapterDropout::new(&model, weights, lora, train.seed)?,
        model,
        judged,
        heads,
        processor: &processor,
        examples: Examples { processor: &processor, seed: train.seed, augment: recipe.data.augment },
        learner: Learner::new(identity, parameters.variables, &learning, checkpoint.moments),
        order: Order::new(training.len(), train.seed),
        training: &training,
        turn: (place != Place::Cpu).then(Mutex::default),
        validation,
    };
    session.run(&mut trainer, started, stop, progress)?;
    parameters::save(
        out,
        &trainer.model.config,
        weights,
        if fresh { None } else { Some(base) },
        lora,
        train.precision,
    )
}

struct Trainer<'a> {
    recipe: &'a SftRecipe,
    model: Qwen2_5Vl,
    /// The same weights without a graph.
    judged: Qwen2_5Vl,
    /// Makes the micro-batches' models where adapters have dropout.
    dropout: Option<AdapterDropout>,
    heads: Option<PooledHeads>,
    processor: &'a Processor,
    examples: Examples<'a>,
    learner: Learner,
    order: Order,
    training: &'a [Item],
    /// Held by the thread that computes, where only one may.
    turn: Option<Mutex<()>>,
    validation: Vec<Item>,
}

impl Training for Trainer<'_> {
    fn step(&mut self, step: usize, stop: &AtomicBool) -> Result<Progress, TrainError> {
        let train = &self.recipe.train;
        let started = Instant::now();
        let first = (step - 1) as u64 * train.batch as u64;
        let draws: Vec<(u64, usize)> =
            (first..first + train.batch as u64).map(|draw| (draw, self.order.item(draw))).collect();
        let parts: Vec<_> = draws.chunks(train.micro_batch).collect();
        let (mut losses, mut gradients) = (Losses::default(), Gradients::new());
        let work = |draws: &&[_]| self.micro_batch(draws);
        self.learner.each(&parts, stop, step, work, |(loss, gradient)| {
            losses.add(loss);
            learner::add(&mut gradients, gradient);
        })?;
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

    fn validate(&self) -> Result<Option<ValidationReport>, TrainError> {
        if self.validation.is_empty() {
            return Ok(None);
        }
        let (heads, settings) = (self.heads.as_ref(), &self.recipe.validation);
        let objective = self.recipe.train.objective;
        validate(&self.judged, heads, self.processor, &self.validation, settings, objective).map(Some)
    }

    fn learner(&self) -> &Learner {
        &self.learner
    }
}

impl Trainer<'_> {
    /// Losses and gradients of some draws, summed over them.
    fn micro_batch(&self, draws: &[(u64, usize)]) -> Result<(Losses, Gradients), TrainError> {
        let make = |&(draw, item): &(u64, usize)| self.examples.make(&self.training[item], draw);
        let examples: Vec<_> = match self.turn {
            Some(_) => draws.par_iter().map(make).collect::<Result<_, _>>()?,
            None => draws.iter().map(make).collect::<Result<_, _>>()?,
        };
        let _turn = self.turn.as_ref().map(|turn| turn.lock().unwrap_or_else(PoisonError::into_inner));
        let first_draw = draws.first().map_or(0, |&(draw, _)| draw);
        let dropped = self.dropout.as_ref().map(|dropout| dropout.model(first_draw)).transpose()?;
        let model = dropped.as_ref().unwrap_or(&self.model);
        let (total, losses) = loss(model, self.heads.as_ref(), &examples, &self.recipe.train)?;
        Ok((losses, gradients(&total, &self.learner.variables)?))
    }
}
