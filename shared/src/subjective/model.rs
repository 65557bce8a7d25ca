//! A model's predictions against the MOS of a study.

use serde::{Deserialize, Serialize};

use super::mos::ItemMos;
use crate::stats;

/// How far predictions follow the MOS.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ModelFit {
    /// Items with a MOS and a prediction.
    pub n: usize,
    /// Spearman's rank correlation.
    pub srcc: Option<f64>,
    /// Pearson's linear correlation of the predictions as they are.
    pub plcc: Option<f64>,
    /// Items with a prediction and an interval.
    pub judged: usize,
    /// Those of them whose prediction lies outside.
    pub outliers: usize,
    /// `outliers / judged`: the outlier ratio of Recommendation ITU-T P.1401.
    pub outlier_ratio: Option<f64>,
}

/// Holds predictions against items, one for each; predictions that are missing or no numbers are left out.
#[must_use]
pub fn against_mos(predictions: &[Option<f64>], items: &[ItemMos]) -> ModelFit {
    let predicted = predictions.iter().zip(items).filter_map(|(prediction, item)| {
        let prediction = prediction.filter(|prediction| prediction.abs() <= 1e100)?;
        Some((prediction, item.mos?, item.interval))
    });
    let (scores, mos): (Vec<f64>, Vec<f64>) = predicted.clone().map(|(score, mos, _)| (score, mos)).unzip();
    let inside = predicted.filter_map(|(score, _, interval)| Some(interval?.contains(score)));
    let judged = inside.clone().count();
    let outliers = inside.filter(|inside| !inside).count();
    ModelFit {
        n: scores.len(),
        srcc: stats::srcc(&scores, &mos),
        plcc: stats::plcc(&scores, &mos),
        judged,
        outliers,
        outlier_ratio: (judged > 0).then(|| outliers as f64 / judged as f64),
    }
}
