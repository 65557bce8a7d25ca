//! How good a model is on labelled images.
//!
//! [`run()`] makes a whole [`Evaluation`]. Its parts: [`cases`] reads what is judged, [`evaluate()`] asks one model
//! in one mode and measures its scores ([`Statistics`]) and its words ([`DescriptionReport`]). A [`Suite`] holds that
//! of several models and sets them against each other: the model × dataset [`Matrix`] and the paired [`Comparison`]
//! of stages.
//! [`check_determinism`] asks for the same answers twice, [`swap()`] whether the reasoning decides the score,
//! [`judge_answers`] what a judge thinks of the reasoning, and [`report`] puts it all on one page.
//!
//! Every interval is the 95 % percentile bootstrap over reference photographs: distorted copies of one photograph
//! are no independent evidence.

mod answers;
mod cases;
mod compare;
mod describe;
mod determinism;
mod estimate;
mod judged;
mod kept;
mod matrix;
mod mode;
pub mod report;
mod run;
mod statistics;
mod suite;
mod swap;

use std::path::PathBuf;

pub use answers::Scored;
pub use cases::{Case, Consistency, cases, consistency, spread};
pub use compare::{CompareError, Comparison, compare};
pub use describe::{Agreement, AttributeAgreement, Confusion, DescriptionReport, Named, Naming, Support};
pub use determinism::{Determinism, Difference, TOLERANCE, check_determinism};
pub use estimate::{Estimate, Interval, RESAMPLES};
pub use judged::{Graded, JudgeReport, judge_answers};
pub use kept::Kept;
pub use matrix::{Cell, Matrix, MatrixRow};
pub use mode::{ModeReport, Plan, evaluate};
pub use run::{ANSWERS, Evaluated, Evaluation, Progress, Work, run, write_scores};
pub use statistics::{Fitted, FittedOn, Statistics};
pub use suite::{ManifestUsed, ModelReport, Provenance, Stages, Suite};
pub use swap::{Effect, SwapReport, swap};

use crate::assess::LoadError;
use crate::calls::CallsError;
use crate::journal::JournalError;
use crate::train::TrainError;

/// Why an evaluation cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    #[error(transparent)]
    Data(#[from] TrainError),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("{manifest} has no {split} rows; choose another split")]
    NoRows { manifest: PathBuf, split: &'static str },
    #[error("{manifest} is given twice; its images would count twice")]
    Repeated { manifest: PathBuf },
    #[error("{id}: the model failed: {reason}")]
    Model { id: String, reason: String },
    #[error("{id}: its picture cannot be drawn: {reason}")]
    Picture { id: String, reason: String },
    #[error("a judge judges the reasoning, and quick mode writes none: ask for the mode reason too")]
    NothingToJudge,
    #[error(transparent)]
    Judge(#[from] CallsError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("stopped before its end; no report is written")]
    Stopped,
    #[error("scores of models cannot be compared: {0}")]
    Compare(#[from] CompareError),
}
