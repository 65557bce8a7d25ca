//! Examples of steps to come, made on other threads while a GPU is busy with the ones before.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};

use candle_core::Device;
use rayon::prelude::*;

use super::TrainError;
use super::data::{Example, Examples, Item, Order};
use super::objective::ExampleBatch;

/// Micro-batches that wait at most.
const WAITING: usize = 4;

type Made = Result<ExampleBatch, TrainError>;

/// Where the micro-batches come out, in the order of their draws.
pub struct Ahead {
    made: Mutex<Receiver<Made>>,
}

/// Where they are made.
pub struct Maker<'a> {
    pub examples: Examples<'a>,
    pub training: &'a [Item],
    pub order: Order,
    pub batch: usize,
    pub micro_batch: usize,
    /// The steps that are made, which count from 1.
    pub steps: std::ops::RangeInclusive<usize>,
    /// Where their patches go.
    pub device: Device,
}

/// A way from the one to the other.
pub fn channel() -> (SyncSender<Made>, Ahead) {
    let (sender, receiver) = sync_channel(WAITING);
    (sender, Ahead { made: Mutex::new(receiver) })
}

impl Ahead {
    /// The next micro-batch.
    ///
    /// # Errors
    /// When an image of it could not be read.
    pub fn next(&self) -> Made {
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.recv().unwrap_or_else(|_| unreachable!("micro-batches are made until the last step"))
    }
}

impl Maker<'_> {
    /// Makes all micro-batches, until nobody takes them any more.
    pub fn run(mut self, sender: &SyncSender<Made>) {
        for step in self.steps.clone() {
            let draws = self.order.step(step, self.batch);
            for draws in draws.chunks(self.micro_batch) {
                let make = |&(draw, item): &(u64, usize)| self.examples.make(&self.training[item], draw);
                let examples: Result<Vec<Example>, TrainError> = draws.par_iter().map(make).collect();
                let made = examples.and_then(|examples| Ok(ExampleBatch::new(examples, &self.device)?));
                if sender.send(made).is_err() {
                    return;
                }
            }
        }
    }
}
