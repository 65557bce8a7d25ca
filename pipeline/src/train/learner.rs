//! What every kind of training shares: gradients summed over micro-batches, the update, checkpoints.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

use candle_core::{Tensor, Var};
use qponder_shared::recipe::{Learning, Part, Schedule};
use rayon::prelude::*;

use super::TrainError;
use super::checkpoint::Checkpoint;
use super::identity::Identity;
use super::optimiser::{Moments, Optimiser};
use crate::device::Place;
use crate::ops;

/// candle's backward pass recurses over the graph.
const STACK: usize = 256 << 20;

/// Gradients by parameter name.
pub type Gradients = BTreeMap<String, Vec<f32>>;

/// The part of the model that a parameter belongs to; the pooled heads go with the tower.
pub fn part(name: &str) -> Part {
    if name.starts_with("visual.merger.") {
        Part::Merger
    } else if name.starts_with("visual.") || name.starts_with("heads.") {
        Part::Vision
    } else {
        Part::Language
    }
}

/// The settings of a run on a device: a GPU takes one micro-batch at a time.
pub fn on(place: Place, learning: Learning) -> Learning {
    match place {
        Place::Cpu => learning,
        Place::Cuda(_) => Learning { threads: 1, ..learning },
    }
}

/// Parameters in training, and how they are updated.
pub struct Learner {
    /// Checkpoints carry it.
    identity: Identity,
    pub variables: BTreeMap<String, Var>,
    optimiser: Optimiser,
    schedule: Schedule,
    vision_rate: f64,
    clip: f64,
    threads: usize,
    is_on_gpu: bool,
}

impl Learner {
    /// A learner that goes on from the moments of a checkpoint, or begins without any.
    pub fn new(
        identity: Identity,
        variables: BTreeMap<String, Var>,
        learning: &Learning,
        moments: BTreeMap<String, Moments>,
    ) -> Self {
        let is_on_gpu = variables.values().any(|variable| !variable.device().is_cpu());
        Self {
            identity,
            is_on_gpu,
            variables,
            optimiser: Optimiser::new(learning.optimiser, learning.weight_decay, moments),
            schedule: learning.schedule(),
            vision_rate: learning.vision_rate,
            clip: learning.clip,
            threads: learning.threads,
        }
    }

    /// Calls `work` for every part of a batch on all threads. They take parts as they come, but `gather`
    /// gets the results in order, so that sums of gradients do not depend on the number of threads. It gets
    /// each as soon as those before it are there: few are in memory at once, however large the batch.
    pub fn each<P: Sync, T: Send>(
        &self,
        parts: &[P],
        stop: &AtomicBool,
        step: usize,
        work: impl Fn(&P) -> Result<T, TrainError> + Sync,
        mut gather: impl FnMut(T),
    ) -> Result<(), TrainError> {
        let threads = match self.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        };
        let next = AtomicUsize::new(0);
        let failed = AtomicBool::new(false);
        let (sender, receiver) = mpsc::channel();
        let take = |sender: mpsc::Sender<(usize, Result<T, TrainError>)>| {
            while !failed.load(Ordering::Relaxed) {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(part) = parts.get(index) else { return };
                let stopped = stop.load(Ordering::Relaxed);
                let result = match stopped {
                    true => Err(TrainError::Stopped { step }),
                    // What a GPU leaves to do, such as sampling tokens, may take all threads.
                    false if self.is_on_gpu => work(part),
                    false => ops::serially(|| work(part)),
                };
                failed.fetch_or(result.is_err(), Ordering::Relaxed);
                if sender.send((index, result)).is_err() {
                    return;
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..threads.min(parts.len()) {
                let (take, sender) = (&take, sender.clone());
                let builder = std::thread::Builder::new().stack_size(STACK);
                builder
                    .spawn_scoped(scope, move || take(sender))
                    .map_err(|source| TrainError::Io { path: "thread".into(), source })?;
            }
            drop(sender);
            let mut waiting = BTreeMap::new();
            let mut due = 0;
            let mut first_error: Option<(usize, TrainError)> = None;
            for (index, result) in receiver {
                match result {
                    Ok(value) => {
                        waiting.insert(index, value);
                    }
                    Err(error) if first_error.as_ref().is_none_or(|(at, _)| index < *at) => {
                        first_error = Some((index, error));
                    }
                    Err(_) => {}
                }
                while let Some(value) = waiting.remove(&due) {
                    gather(value);
                    due += 1;
                }
            }
            first_error.map_or(Ok(()), |(_, error)| Err(error))
        })
    }

    /// As [`Self::each`], with all results in a list.
    pub fn map<P: Sync, T: Send>(
        &self,
        parts: &[P],
        stop: &AtomicBool,
        step: usize,
        work: impl Fn(&P) -> Result<T, TrainError> + Sync,
    ) -> Result<Vec<T>, TrainError> {
        let mut results = Vec::with_capacity(parts.len());
        self.each(parts, stop, step, work, |result| results.push(result))?;
        Ok(results)
    }

    /// Updates the parameters; returns the gradient's norm before clipping and the learning rate.
    ///
    /// `update` counts the updates from 1, `step` the steps of the schedule.
    pub fn update(
        &mut self,
        step: usize,
        update: usize,
        mut gradients: Gradients,
    ) -> Result<(f64, f64), TrainError> {
        let square = |gradient: &Vec<f32>| gradient.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>();
        // Summed in order, whatever thread was done first.
        let squares: Vec<f64> = gradients.par_iter().map(|(_, gradient)| square(gradient)).collect();
        let norm = squares.iter().sum::<f64>().sqrt();
        if !norm.is_finite() {
            return Err(TrainError::NotANumber { step });
        }
        let shrink = (self.clip / (norm + 1e-6)).min(1.0) as f32;
        scale(&mut gradients, shrink);
        let rate = self.schedule.at(step);
        let vision_rate = rate * self.vision_rate;
        let is_finite = self.optimiser.step(update, &self.variables, &gradients, |name| {
            if part(name) == Part::Vision { vision_rate } else { rate }
        })?;
        if !is_finite {
            return Err(TrainError::NotANumber { step });
        }
        Ok((norm, rate))
    }

    /// The state after `step`.
    pub fn checkpoint(&self, step: usize) -> Result<Checkpoint, TrainError> {
        let copy = |(name, variable): (&String, &Var)| Ok((name.clone(), variable.as_tensor().copy()?));
        let weights: BTreeMap<String, Tensor> =
            self.variables.iter().map(copy).collect::<candle_core::Result<_>>()?;
        let moments = self.optimiser.moments().clone();
        Ok(Checkpoint { step, identity: self.identity.clone(), weights, moments })
    }
}

/// Adds gradients to a sum.
pub fn add(sums: &mut Gradients, gradients: Gradients) {
    for (name, gradient) in gradients {
        match sums.get_mut(&name) {
            Some(sum) => sum.iter_mut().zip(gradient).for_each(|(s, g)| *s += g),
            None => {
                sums.insert(name, gradient);
            }
        }
    }
}

/// Multiplies all gradients.
pub fn scale(gradients: &mut Gradients, factor: f32) {
    gradients.par_iter_mut().for_each(|(_, gradient)| gradient.iter_mut().for_each(|g| *g *= factor));
}
