//! Mean opinion scores with their confidence.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};

use super::{Ratings, Scale};

/// A range with both ends.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Interval {
    pub low: f64,
    pub high: f64,
}

impl Interval {
    /// `centre ± half`, cut off at the ends of the scale.
    pub(super) fn clipped(centre: f64, half: f64, scale: Scale) -> Self {
        Self { low: (centre - half).max(scale.low), high: (centre + half).min(scale.high) }
    }

    /// Whether the value lies in it, its ends included.
    #[must_use]
    pub fn contains(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }
}

/// What one item's votes say. A repeat counts as a vote.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ItemMos {
    /// Mean of the votes; none without a vote.
    pub mos: Option<f64>,
    /// Number of votes.
    pub n: usize,
    /// Sample standard deviation (n − 1); none below two votes.
    pub deviation: Option<f64>,
    /// 95 % interval; none below two votes. Equal votes give one without width.
    pub interval: Option<Interval>,
}

/// MOS of every item with the 95 % interval of Student's t, clipped to the scale: `mos ± t · deviation / √n`
/// with n − 1 degrees of freedom.
#[must_use]
pub fn mos(ratings: &Ratings) -> Vec<ItemMos> {
    let mut quantiles = BTreeMap::new();
    let mut item_mos = |item: usize| {
        let scores = ratings.of_item(item).map(|rating| rating.score);
        let n = scores.len();
        let mos = mean(scores.clone());
        let deviation = mos.filter(|_| n > 1).map(|mos| {
            let squares: f64 = scores.map(|score| (score - mos).powi(2)).sum();
            (squares / (n - 1) as f64).sqrt()
        });
        let interval = mos.zip(deviation).map(|(mos, deviation)| {
            let t = *quantiles.entry(n).or_insert_with(|| t_quantile(n - 1));
            Interval::clipped(mos, t * deviation / (n as f64).sqrt(), ratings.scale())
        });
        ItemMos { mos, n, deviation, interval }
    };
    (0..ratings.items()).map(&mut item_mos).collect()
}

/// The mean; `None` of nothing.
pub(super) fn mean(values: impl ExactSizeIterator<Item = f64>) -> Option<f64> {
    let n = values.len();
    (n > 0).then(|| values.sum::<f64>() / n as f64)
}

/// The 97.5 % quantile of Student's t. The normal distribution's stands in where there is none, which no
/// positive number of degrees reaches.
fn t_quantile(degrees: usize) -> f64 {
    StudentsT::new(0.0, 1.0, degrees as f64).map_or(1.959_963_984_540_054, |t| t.inverse_cdf(0.975))
}
