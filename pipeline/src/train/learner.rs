//! What every kind of training shares: gradients summed over micro-batches, the update, checkpoints.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use candle_core::{Tensor, Var};
use qponder_shared::recipe::{Learning, Part, Schedule};

use super::TrainError;
use super::checkpoint::Checkpoint;
use super::optimiser::{Moments, Optimiser};
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

/// Parameters in training, and how they are updated.
pub struct Learner {
    /// The recipe as canonical JSON; checkpoints carry it.
    identity: String,
    pub variables: BTreeMap<String, Var>,
    optimiser: Optimiser,
    schedule: Schedule,
    vision_rate: f64,
    clip: f64,
    threads: usize,
}

impl Learner {
    /// A learner that goes on from the moments of a checkpoint, or begins without any. `identity` is the
    /// recipe as canonical JSON.
    pub fn new(
        identity: String,
        variables: BTreeMap<String, Var>,
        learning: &Learning,
        moments: BTreeMap<String, Moments>,
    ) -> Self {
        Self {
            identity,
            variables,
            optimiser: Optimiser::new(learning.optimiser, learning.weight_decay, moments),
            schedule: learning.schedule(),
            vision_rate: learning.vision_rate,
            clip: learning.clip,
            threads: learning.threads,
        }
    }

    /// Calls `work` for every part of a batch on all threads. They take parts as they come, but the
    /// results are in order and so are the sums of the gradients, so that nothing depends on the number
    /// of threads.
    pub fn each<P: Sync, T: Send>(
        &self,
        parts: &[P],
        stop: &AtomicBool,
        step: usize,
        work: impl Fn(&P) -> Result<T, TrainError> + Sync,
    ) -> Result<Vec<T>, TrainError> {
        let threads = match self.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        };
        let next = AtomicUsize::new(0);
        let take = || {
            let mut done: Vec<(usize, Result<T, TrainError>)> = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(part) = parts.get(index) else { return done };
                if stop.load(Ordering::Relaxed) {
                    done.push((index, Err(TrainError::Stopped { step })));
                    return done;
                }
                done.push((index, ops::serially(|| work(part))));
            }
        };
        let mut results = std::thread::scope(|scope| -> Result<Vec<_>, TrainError> {
            let handles: Vec<_> = (0..threads.min(parts.len()))
                .map(|_| std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, take))
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
        results.into_iter().map(|(_, result)| result).collect()
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
        let norm = gradients.values().flatten().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
        if !norm.is_finite() {
            return Err(TrainError::NotANumber { step });
        }
        let shrink = (self.clip / (norm + 1e-6)).min(1.0) as f32;
        gradients.values_mut().flatten().for_each(|g| *g *= shrink);
        let rate = self.schedule.at(step);
        let vision_rate = rate * self.vision_rate;
        self.optimiser.step(update, &self.variables, &gradients, |name| {
            if part(name) == Part::Vision { vision_rate } else { rate }
        })?;
        Ok((norm, rate))
    }

    /// The state after `step`.
    pub fn checkpoint(&self, step: usize) -> Result<Checkpoint, TrainError> {
        let copy = |(name, variable): (&String, &Var)| Ok((name.clone(), variable.as_tensor().copy()?));
        let weights: BTreeMap<String, Tensor> =
            self.variables.iter().map(copy).collect::<candle_core::Result<_>>()?;
        let moments = self.optimiser.moments().clone();
        Ok(Checkpoint { step, recipe: self.identity.clone(), weights, moments })
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
