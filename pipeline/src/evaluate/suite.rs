//! Everything that one evaluation found, of one model or several.

use std::path::{Path, PathBuf};

use qponder_shared::api::{Mode, ModelInfo};
use qponder_shared::prompt;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::cases::names;
use super::{
    Case, Comparison, Determinism, EvaluateError, JudgeReport, Matrix, ModeReport, RESAMPLES, Scored,
    SwapReport, compare,
};
use crate::calls::Calls;
use crate::train::TrainError;

/// What an evaluation found, and everything needed to repeat it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Suite {
    pub provenance: Provenance,
    pub models: Vec<ModelReport>,
    /// Model × dataset, by mode; empty of one model on one dataset.
    pub matrices: Vec<Matrix>,
    /// Each pair of models, earlier against later in the order given.
    pub stages: Vec<Stages>,
}

/// One model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelReport {
    /// The directory's name, or its path where two models have one name.
    pub name: String,
    pub model: ModelInfo,
    pub modes: Vec<ModeReport>,
    /// What a judge says of the reasoning; `None` without one.
    pub judge: Option<JudgeReport>,
    /// Whether the reasoning decides the score; `None` where that was not asked.
    pub swap: Option<SwapReport>,
    /// `None` where it was not checked.
    pub determinism: Option<Determinism>,
}

/// Two models on the same images.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Stages {
    pub first: String,
    pub second: String,
    /// Second less first.
    pub comparisons: Vec<Comparison>,
}

/// How it came about.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Provenance {
    /// Version of Q-Ponder.
    pub version: &'static str,
    /// When it ended, in UTC.
    pub date: String,
    pub split: &'static str,
    pub manifests: Vec<ManifestUsed>,
    /// Versions of the prompts, quick mode and reasoning mode.
    pub prompts: [&'static str; 2],
    /// Resamples of each bootstrap.
    pub resamples: usize,
    /// What a judge's calls took, those of earlier runs in the same journal included; `None` without a judge.
    pub judge_calls: Option<Calls>,
}

/// A manifest as it was read.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ManifestUsed {
    pub dataset: String,
    /// As it was given.
    pub path: PathBuf,
    /// Of the file, lower-case hex.
    pub sha256: String,
    /// Images of it that were assessed.
    pub images: usize,
}

impl Provenance {
    /// Of an evaluation of `cases`, which come from these manifests.
    ///
    /// # Errors
    /// When a manifest cannot be read.
    pub fn of(
        manifests: &[PathBuf],
        cases: &[Case],
        split: &'static str,
        date: String,
    ) -> Result<Self, EvaluateError> {
        let used = |(path, dataset): (&PathBuf, String)| {
            let images = cases.iter().filter(|case| case.dataset == dataset).count();
            Ok(ManifestUsed { sha256: sha256(path)?, path: path.clone(), images, dataset })
        };
        Ok(Self {
            version: env!("CARGO_PKG_VERSION"),
            date,
            split,
            manifests: manifests
                .iter()
                .zip(names(manifests))
                .map(used)
                .collect::<Result<_, EvaluateError>>()?,
            prompts: [Mode::Quick, Mode::Reason].map(|mode| prompt::current(mode).version),
            resamples: RESAMPLES,
            judge_calls: None,
        })
    }
}

fn sha256(path: &Path) -> Result<String, EvaluateError> {
    let bytes = std::fs::read(path).map_err(|source| TrainError::Io { path: path.to_owned(), source })?;
    Ok(Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect())
}

impl Suite {
    /// Sets the models against each other; `scored` holds every model's scores.
    ///
    /// # Errors
    /// When two models were not asked about the same images.
    pub fn new(
        provenance: Provenance,
        models: Vec<ModelReport>,
        scored: &[Vec<Scored>],
    ) -> Result<Self, EvaluateError> {
        let mut stages = Vec::new();
        for (later, second) in models.iter().enumerate() {
            for (earlier, first) in models[..later].iter().enumerate() {
                stages.push(Stages {
                    first: first.name.clone(),
                    second: second.name.clone(),
                    comparisons: compare(&scored[earlier], &scored[later])?,
                });
            }
        }
        Ok(Self { provenance, matrices: Matrix::of(&models), models, stages })
    }
}
