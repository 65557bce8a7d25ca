//! What comes of jobs that train nothing: answers of a teacher or of models, measurements, and files.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::api::Mode;

/// What came of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Outcome {
    /// Of a distillation.
    Distilled {
        /// Answers that were wanted, that came, and that passed every filter.
        wanted: u64,
        answered: u64,
        accepted: u64,
        images: u64,
        /// Images with an accepted answer.
        images_accepted: u64,
        /// Answers that each filter refused; one may be refused by several.
        refused: BTreeMap<String, u64>,
    },
    /// Of an evaluation.
    Evaluated {
        measured: Vec<Measured>,
        /// Each two models on the same images.
        differences: Vec<Difference>,
    },
    /// Of a batch that was assessed.
    Assessed {
        /// What its models' answers are listed under.
        models: Vec<String>,
        images: u64,
        /// Answers that came, over all models.
        answered: u64,
        /// Of these, those without a readable score.
        unreadable: u64,
        /// Images that could not be assessed, over all models.
        failed: u64,
    },
    /// Of an export.
    Exported { files: u64, bytes: u64 },
}

/// A model on a dataset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Measured {
    /// As the recipe names it, `model:NAME` or `job:ID`.
    pub model: String,
    /// As the recipe names it; `None` of all together, where there are several.
    pub dataset: Option<String>,
    pub mode: Mode,
    pub images: u64,
    /// Answers without a readable score.
    pub parse_failures: u64,
    pub srcc: Option<Estimated>,
    /// Raw.
    pub plcc: Option<Estimated>,
    pub krcc: Option<Estimated>,
    /// In points.
    pub rmse: Option<Estimated>,
}

/// By how much a second model is better than a first on the same images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Difference {
    pub first: String,
    pub second: String,
    pub mode: Mode,
    /// Images that both gave a score for.
    pub images: u64,
    /// Second less first; paired bootstrap over reference photographs.
    pub srcc: Option<Estimated>,
    pub plcc: Option<Estimated>,
    /// In points; below 0 the second is better.
    pub rmse: Option<Estimated>,
}

/// A statistic with its 95 % bootstrap interval over reference photographs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Estimated {
    pub value: f64,
    /// `None` of a single reference, which says nothing of others.
    pub interval: Option<Interval>,
}

/// From where to where.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Interval {
    pub low: f64,
    pub high: f64,
}
