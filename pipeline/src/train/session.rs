//! The loop around every kind of training: steps, validations, checkpoints, stopping and going on.

use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use qponder_shared::recipe::Learning;

use super::learner::Learner;
use super::parameters::Parameters;
use super::{Progress, TrainError, ValidationReport, log};

/// What one kind of training does.
pub trait Training {
    /// Makes the step, which counts from 1. A step that was stopped has changed nothing.
    fn step(&mut self, step: usize, stop: &AtomicBool) -> Result<Progress, TrainError>;
    /// Judges held-out images; `None` where there are none.
    fn validate(&self) -> Result<Option<ValidationReport>, TrainError>;
    /// The parameters in training.
    fn learner(&self) -> &Learner;
}

/// How long a run is, and what it writes when.
pub struct Session<'a> {
    out: &'a Path,
    done: usize,
    steps: usize,
    checkpoint_every: usize,
    validate_every: usize,
    validate_first: bool,
}

impl<'a> Session<'a> {
    /// A run after `done` steps; `out` gets the checkpoints and `metrics.jsonl`.
    pub fn new(out: &'a Path, done: usize, learning: &Learning, validate_every: usize) -> Self {
        let Learning { steps, checkpoint_every, .. } = *learning;
        Self { out, done, steps, checkpoint_every, validate_every, validate_first: false }
    }

    /// The base model is validated too.
    pub fn validating_first(self) -> Self {
        Self { validate_first: true, ..self }
    }

    /// What is told first.
    pub fn started(&self, parameters: &Parameters, images: usize, validation_images: usize) -> Progress {
        Progress::Started {
            step: self.done,
            steps: self.steps,
            parameters: parameters.weights.parameters(),
            trained: parameters.trained(),
            images,
            validation_images,
        }
    }

    /// Trains to the end. Every event goes to `metrics.jsonl` and to `progress`.
    ///
    /// A stopped run writes a checkpoint first, and so does one whose judge is of no use. After a loss that is no number the newest checkpoint is
    /// the last good one.
    pub fn run(
        &self,
        training: &mut impl Training,
        started: Progress,
        stop: &AtomicBool,
        progress: &mut dyn FnMut(&Progress),
    ) -> Result<(), TrainError> {
        let path = self.out.join("metrics.jsonl");
        let mut metrics = log::open(&path, self.done)?;
        let mut tell = |event: Progress| -> Result<(), TrainError> {
            let line = serde_json::to_string(&event).unwrap_or_default();
            writeln!(metrics, "{line}").map_err(|source| TrainError::Io { path: path.clone(), source })?;
            progress(&event);
            Ok(())
        };
        if matches!(started, Progress::Started { trained: 0, .. }) {
            return Err(TrainError::NothingTrained);
        }
        tell(started)?;
        if self.done == 0
            && self.validate_first
            && let Some(report) = training.validate()?
        {
            tell(Progress::Validated { step: 0, report })?;
        }
        for step in self.done + 1..=self.steps {
            match training.step(step, stop) {
                Ok(event) => tell(event)?,
                Err(error @ (TrainError::Stopped { .. } | TrainError::Judge { .. })) => {
                    training.learner().checkpoint(step - 1)?.write(self.out)?;
                    tell(Progress::Saved { step: step - 1 })?;
                    return Err(match error {
                        TrainError::Stopped { .. } => TrainError::Stopped { step: step - 1 },
                        error => error,
                    });
                }
                Err(error) => return Err(error),
            }
            let last = step == self.steps;
            if (last || step % self.validate_every == 0)
                && let Some(report) = training.validate()?
            {
                tell(Progress::Validated { step, report })?;
            }
            if last || step % self.checkpoint_every == 0 {
                training.learner().checkpoint(step)?.write(self.out)?;
                tell(Progress::Saved { step })?;
            }
        }
        Ok(())
    }
}
