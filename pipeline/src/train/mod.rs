//! Training of any part of the model, resumable to the bit: the cold start ([`sft()`]) and
//! reinforcement learning ([`mod@grpo`]).

mod ahead;
pub mod answers;
pub mod checkpoint;
pub mod data;
mod destination;
mod dropout;
pub mod grpo;
pub mod identity;
pub(crate) mod learner;
mod log;
mod memory;
pub mod objective;
pub mod optimiser;
pub(crate) mod parameters;
mod session;
mod sft;
mod validate;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

pub use memory::Estimate;
pub use sft::sft;
pub use validate::ValidationReport;

use crate::adapter::AdapterError;
use crate::calls::CallsError;
use crate::dataset::manifest::ManifestError;
use crate::dataset::preflight::Unfit;
use crate::device::DeviceError;
use crate::generate::GenerateError;
use crate::processor::PromptError;
use crate::qwen2_5_vl::LoadError;

/// Why training stopped.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Device(#[from] DeviceError),
    #[error(transparent)]
    Prompt(#[from] PromptError),
    #[error(transparent)]
    Adapter(#[from] AdapterError),
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Unfit(#[from] Unfit),
    #[error("the manifests have no {split} rows")]
    NoRows { split: &'static str },
    #[error(
        "data.pristine is {share}, but the manifests have no train row that is known to have no distortion; add \
         some (`qponder degrade` makes them), or set it to 0"
    )]
    NoPristine { share: f64 },
    #[error("{path}: {reason}")]
    Image { path: PathBuf, reason: String },
    #[error("{path}: {reason}")]
    Checkpoint { path: PathBuf, reason: String },
    #[error("{out} {reason}; name another directory as `out`")]
    Destination { out: PathBuf, reason: &'static str },
    #[error("{path} is in use by another run; wait for it, or train into another `out`")]
    InUse { path: PathBuf },
    #[error("nothing of the model would be trained: see train.parts, train.objective and [lora]")]
    NothingTrained,
    #[error(
        "the loss or a weight is no number at step {step}; the newest checkpoint is unharmed, try a lower learning rate"
    )]
    NotANumber { step: usize },
    #[error(transparent)]
    Calls(#[from] CallsError),
    #[error(
        "the judge gave no verdict in step {step}: {reason}; a checkpoint of the step before is written, and the \
         same command goes on from there"
    )]
    Judge { step: usize, reason: String },
    #[error("stopped at step {step}; the same command goes on from there")]
    Stopped { step: usize },
    #[error(transparent)]
    Generate(#[from] GenerateError),
    #[error("the model failed: {0}")]
    Tensor(#[from] candle_core::Error),
}

/// What a run tells as it goes; also the lines of `metrics.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Progress {
    /// The run begins, or goes on after `step`.
    Started {
        step: usize,
        steps: usize,
        parameters: u64,
        trained: u64,
        images: usize,
        validation_images: usize,
    },
    /// A step was made.
    Step {
        step: usize,
        loss: f64,
        reason: f64,
        quick: f64,
        score: f64,
        grad_norm: f64,
        learning_rate: f64,
        images_per_second: f64,
    },
    /// A GRPO step was made; the metrics have TRL's names.
    Policy {
        step: usize,
        #[serde(flatten)]
        metrics: BTreeMap<String, f64>,
    },
    /// Held-out images were assessed.
    Validated {
        step: usize,
        #[serde(flatten)]
        report: ValidationReport,
    },
    /// A checkpoint cannot be used, so that the run goes on from an older one.
    Damaged { error: String },
    /// A checkpoint is safe on disk.
    Saved { step: usize },
}
