//! Cold start: supervised training.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use candle_core::{DType, Device};
use qponder_shared::recipe::{Objective, Part, SftRecipe};

use super::ahead::{self, Ahead, Maker};
use super::checkpoint::Checkpoint;
use super::data::{Examples, Item, Order, read_dataset, spread};
use super::destination;
use super::dropout::AdapterDropout;
use super::identity::Identity;
use super::learner::{self, Gradients, Learner, on, part};
use super::objective::{ExampleBatch, Losses, PooledHeads, gradients, loss};
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
    // The CPU's threads are all busy with the model: each makes what it needs.
    run(recipe, place, place != Place::Cpu, stop, progress)
}

/// See [`sft`]. `is_ahead` says whether examples are made on other threads while those before are learned.
fn run(
    recipe: &SftRecipe,
    place: Place,
    is_ahead: bool,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(&Progress),
) -> Result<(), TrainError> {
    let base = Path::new(&recipe.base);
    let fresh = recipe.base == nano::INIT;
    let train = &recipe.train;
    let (device, dtype) = (place.open()?, dtype(train.precision));
    destination::check(Path::new(&recipe.out), base)?;
    let (training, held_out) = read_dataset(&recipe.data)?;
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
    let identity = Identity::new(recipe, (!fresh).then_some(base), &training)?;
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
        let is_reached = train.objective != Objective::Tower || part(name) == Part::Vision;
        trains(name, &train.parts, lora) && is_reached
    })?;
    let weights = &parameters.weights;
    let model = Qwen2_5Vl::new(config.clone(), weights, &device)?.with_dtype(dtype);
    let model = model.with_recompute(train.recompute);
    let judged = model.over(&parameters.without_graph())?;
    let heads = if with_heads { Some(PooledHeads::load(weights, config.vision.hidden_size)?) } else { None };
    let validation = spread(&held_out, recipe.validation.images);
    let learning = on(place, train.learning());
    let examples = || Examples {
        processor: &processor,
        seed: train.seed,
        augment: recipe.data.augment,
        reasons: train.objective == Objective::Answer,
    };
    let order = || Order::new(training.len(), train.seed);
    let session = Session::new(out, checkpoint.step, &learning, recipe.validation.every);
    let started = session.started(&parameters, training.len(), validation.len());
    let mut trainer = Trainer {
        recipe,
        dropout: AdapterDropout::new(&model, weights, lora, train.seed)?,
        model,
        judged,
        heads,
        processor: &processor,
        examples: examples(),
        learner: Learner::new(identity, parameters.variables, &learning, checkpoint.moments),
        order: order(),
        training: &training,
        ahead: None,
        validation,
    };
    if !is_ahead {
        session.run(&mut trainer, started, stop, progress)?;
    } else {
        let maker = Maker {
            examples: examples(),
            training: &training,
            order: order(),
            batch: train.batch,
            micro_batch: train.micro_batch,
            steps: checkpoint.step + 1..=train.steps,
            device: device.clone(),
        };
        trainer = std::thread::scope(|scope| {
            let mut trainer = trainer;
            let (sender, ahead) = ahead::channel();
            scope.spawn(move || maker.run(&sender));
            // However this ends, a panic included, nobody receives then, and the maker stops.
            trainer.ahead = Some(ahead);
            session.run(&mut trainer, started, stop, progress)?;
            trainer.ahead = None;
            Ok::<_, TrainError>(trainer)
        })?;
    }
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
    /// Where the examples come from, unless the thread that needs them makes them.
    ahead: Option<Ahead>,
    validation: Vec<Item>,
}

impl Training for Trainer<'_> {
    fn step(&mut self, step: usize, stop: &AtomicBool) -> Result<Progress, TrainError> {
        let train = &self.recipe.train;
        let started = Instant::now();
        let draws = self.order.step(step, train.batch);
        let parts: Vec<_> = draws.chunks(train.micro_batch).collect();
        let (mut losses, mut gradients) = (Losses::default(), Gradients::new());
        let work = |draws: &&[_]| self.micro_batch(draws);
        self.learner.each(&parts, stop, step, work, |(loss, gradient)| {
            losses.add(loss);
            learner::add(&mut gradients, gradient);
        })?;
        let scale = 1.0 / draws.len() as f64;
        learner::scale(&mut gradients, scale as f32);
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
        let batch = match &self.ahead {
            Some(ahead) => ahead.next()?,
            None => {
                let make = |&(draw, item): &(u64, usize)| self.examples.make(&self.training[item], draw);
                let examples = draws.iter().map(make).collect::<Result<Vec<_>, _>>()?;
                ExampleBatch::new(examples, self.model.device())?
            }
        };
        let first_draw = draws.first().map_or(0, |&(draw, _)| draw);
        let dropped = self.dropout.as_ref().map(|dropout| dropout.model(first_draw)).transpose()?;
        let model = dropped.as_ref().unwrap_or(&self.model);
        let (total, losses) = loss(model, self.heads.as_ref(), &batch, &self.recipe.train)?;
        Ok((losses, gradients(&total, &self.learner.variables)?))
    }
}

#[cfg(test)]
mod tests {
    use qponder_kernels::pixels::{RgbImage, encode_png};
    use qponder_shared::manifest::{Label, Row, Split};
    use qponder_shared::recipe::{Data, Train, Validation};
    use qponder_shared::{Distortion, DistortionKind, Severity};

    use super::*;

    fn recipe(dir: &Path, out: &str, steps: usize) -> SftRecipe {
        let train = Train { steps, batch: 4, micro_batch: 3, warmup: 1, threads: 1, ..Train::default() };
        SftRecipe {
            base: nano::INIT.into(),
            out: dir.join(out).to_string_lossy().into_owned(),
            data: Data {
                manifests: vec![dir.join("manifest.jsonl").to_string_lossy().into_owned()],
                augment: true,
                pristine: 0.0,
            },
            train,
            lora: None,
            validation: Validation { every: 100, images: 0, reasoning_images: 0 },
        }
    }

    /// Five images, each with another distortion, and their manifest.
    fn write_images(dir: &Path) {
        let mut lines = String::new();
        for (index, kind) in DistortionKind::ALL.into_iter().take(5).enumerate() {
            let data = (0..56 * 56 * 3).map(|i| (i * (index + 3) * 7 / 11) as u8).collect();
            let image = RgbImage::new(56, 56, data).expect("56 x 56");
            let row = Row {
                id: index.to_string(),
                image: format!("{index}.png"),
                label: Label::Proxy(1.0 + index as f64 * 0.9),
                mos_std: None,
                reference: index.to_string(),
                distortions: vec![Distortion { kind, level: Severity::ALL[index] }],
                split: Split::Train,
                source: "synthetic".into(),
                metrics: None,
                answer: None,
            };
            std::fs::write(dir.join(&row.image), encode_png(&image).expect("encodes")).expect("writes");
            lines.push_str(&serde_json::to_string(&row).expect("serialises"));
            lines.push('\n');
        }
        std::fs::write(dir.join("manifest.jsonl"), lines).expect("writes");
    }

    #[test]
    fn examples_made_ahead_are_those_made_on_demand() {
        let dir = tempfile::tempdir().expect("a directory");
        write_images(dir.path());
        let trained = |out: &str, is_ahead: bool, stop_after: Option<usize>| {
            let stop = AtomicBool::new(false);
            let recipe = recipe(dir.path(), out, 3);
            let ended = run(&recipe, Place::Cpu, is_ahead, &stop, &mut |event| {
                if matches!(event, Progress::Step { step, .. } if Some(*step) == stop_after) {
                    stop.store(true, std::sync::atomic::Ordering::Relaxed);
                }
            });
            assert_eq!(ended.is_err(), stop_after.is_some(), "{ended:?}");
            std::fs::read(dir.path().join(out).join("model.safetensors")).ok()
        };
        let on_demand = trained("demand", false, None).expect("a model");
        assert!(trained("ahead", true, None) == Some(on_demand.clone()));
        // Stopped in the middle, and resumed.
        assert_eq!(trained("resumed", true, Some(1)), None);
        assert!(trained("resumed", true, None) == Some(on_demand));
    }

    #[test]
    fn weights_that_are_no_numbers_stop_a_training_and_spare_its_checkpoint() {
        let dir = tempfile::tempdir().expect("a directory");
        write_images(dir.path());
        let mut recipe = recipe(dir.path(), "out", 4);
        // The first update leaves weights so large that their products overflow.
        (recipe.train.learning_rate, recipe.train.checkpoint_every) = (1e25, 1);
        let stop = AtomicBool::new(false);
        let ended = run(&recipe, Place::Cpu, false, &stop, &mut |_| {});
        assert!(matches!(ended, Err(TrainError::NotANumber { step: 2 })), "{ended:?}");
        let (training, _) = read_dataset(&recipe.data).expect("reads");
        let identity = Identity::new(&recipe, None, &training).expect("serialises");
        let newest = Checkpoint::newest(Path::new(&recipe.out), &identity, &mut |error| panic!("{error}"));
        assert_eq!(newest.expect("is read").map(|checkpoint| checkpoint.step), Some(1));
        // One that overflows at once leaves none.
        (recipe.train.learning_rate, recipe.out) = (1e39, format!("{}-2", recipe.out));
        let ended = run(&recipe, Place::Cpu, false, &stop, &mut |_| {});
        assert!(matches!(ended, Err(TrainError::NotANumber { step: 1 })), "{ended:?}");
    }

    #[test]
    fn loss_curves_do_not_depend_on_chunks_or_recomputation() {
        let dir = tempfile::tempdir().expect("a directory");
        write_images(dir.path());
        let curve = |out: &str, head_tokens: usize, recompute: bool| {
            let mut recipe = recipe(dir.path(), out, 4);
            (recipe.train.head_tokens, recipe.train.recompute) = (head_tokens, recompute);
            let mut losses = Vec::new();
            run(&recipe, Place::Cpu, false, &AtomicBool::new(false), &mut |event| {
                if let Progress::Step { loss, .. } = event {
                    losses.push(*loss);
                }
            })
            .expect("trains");
            losses
        };
        let whole = curve("whole", 0, false);
        assert_eq!(whole.len(), 4);
        assert!(whole[3] < whole[0], "{whole:?}");
        for (out, head_tokens, recompute) in [("chunks", 7, false), ("again", 0, true), ("both", 7, true)] {
            let other = curve(out, head_tokens, recompute);
            assert!(whole.iter().zip(&other).all(|(a, b)| (a - b).abs() < 1e-5 * a), "{whole:?} {other:?}");
        }
    }
}
