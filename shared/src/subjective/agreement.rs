//! Krippendorff's α: how far subjects agree, corrected for chance (Krippendorff, 2011, "Computing
//! Krippendorff's alpha-reliability"). Missing votes are allowed.
//!
//! α = 1 − D_o / D_e. With n values v in m votes of an item, the sum over ordered pairs of (v − v')² is
//! 2 m Σ(v − mean)², so interval distances take linear time; ordinal distances are interval distances of the
//! values' mean ranks.

use serde::{Deserialize, Serialize};

use super::{Interval, Ratings};
use crate::stats;

/// How values are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Equal or not.
    Nominal,
    /// By how many votes lie between.
    Ordinal,
    /// By the squared difference.
    #[default]
    Interval,
}

/// α with its interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Agreement {
    /// How values were compared.
    pub level: Level,
    /// 1 is full agreement, 0 what chance gives, below 0 systematic disagreement. None where no item has
    /// votes of two subjects, or all such votes are equal.
    pub alpha: Option<f64>,
    /// 95 % by bootstrap over items.
    pub interval: Option<Interval>,
    /// Items with votes of two subjects or more.
    pub items: usize,
}

/// α of all votes. A subject's first vote on an item counts, repeats do not: agreeing with oneself is not
/// agreement.
#[must_use]
pub fn alpha(ratings: &Ratings, level: Level) -> Option<f64> {
    let units = units(ratings);
    let all: Vec<usize> = (0..units.len()).collect();
    alpha_of(&units, &all, level)
}

/// α with the 95 % percentile interval of `resamples` resamples of the items; equal seeds give equal
/// intervals.
#[must_use]
pub fn alpha_with_interval(ratings: &Ratings, level: Level, resamples: usize, seed: u64) -> Agreement {
    let units = units(ratings);
    let all: Vec<usize> = (0..units.len()).collect();
    let alpha = alpha_of(&units, &all, level);
    let interval = alpha.and_then(|_| {
        stats::bootstrap_interval(&all, resamples, seed, |items| alpha_of(&units, items, level))
    });
    let interval = interval.map(|(low, high)| Interval { low, high });
    Agreement { level, alpha, interval, items: units.len() }
}

/// An item's pairable votes.
struct Unit {
    /// Places of the values among all values in order, with how often each was given.
    counts: Vec<(usize, f64)>,
    /// The places of the lowest and the highest value.
    least: usize,
    most: usize,
    votes: f64,
    /// Σ v and 2 m Σ(v − mean)² / (m − 1), with v from the middle of the scale.
    sum: f64,
    disagreement: f64,
    /// Σ v².
    squares: f64,
}

fn units(ratings: &Ratings) -> Vec<Unit> {
    let mut values: Vec<f64> = ratings.all().iter().map(|rating| rating.score).collect();
    values.sort_by(f64::total_cmp);
    values.dedup();
    let middle = f64::midpoint(ratings.scale().low, ratings.scale().high);
    let mut seen = vec![usize::MAX; ratings.subjects()];
    let unit = |item: usize| {
        let mut scores = Vec::new();
        for rating in ratings.of_item(item) {
            if seen[rating.subject] != item {
                seen[rating.subject] = item;
                scores.push(rating.score);
            }
        }
        if scores.len() < 2 {
            return None;
        }
        scores.sort_by(f64::total_cmp);
        let place = |score: f64| values.partition_point(|&value| value < score);
        let counts = scores.chunk_by(|a, b| a == b).map(|same| (place(same[0]), same.len() as f64)).collect();
        let votes = scores.len() as f64;
        let sum: f64 = scores.iter().map(|score| score - middle).sum();
        let squares: f64 = scores.iter().map(|score| (score - middle).powi(2)).sum();
        let mean = sum / votes;
        let spread: f64 = scores.iter().map(|score| (score - middle - mean).powi(2)).sum();
        Some(Unit {
            counts,
            least: place(scores[0]),
            most: place(scores[scores.len() - 1]),
            votes,
            sum,
            disagreement: 2.0 * votes * spread / (votes - 1.0),
            squares,
        })
    };
    (0..ratings.items()).filter_map(unit).collect()
}

/// α of some units, each as often as it is named.
fn alpha_of(units: &[Unit], named: &[usize], level: Level) -> Option<f64> {
    let named = named.iter().map(|&at| &units[at]);
    let n: f64 = named.clone().map(|unit| unit.votes).sum();
    let least = named.clone().map(|unit| unit.least).min();
    let most = named.clone().map(|unit| unit.most).max();
    // Asked of the values: the expected disagreement of equal ones is a rounding error, not always 0.
    let varied = least < most;
    let places = || units.iter().map(|unit| unit.most + 1).max().unwrap_or(0);
    let totals = || {
        let mut totals = vec![0.0; places()];
        named.clone().flat_map(|unit| &unit.counts).for_each(|&(place, count)| totals[place] += count);
        totals
    };
    let (observed, expected) = match level {
        Level::Interval => {
            let sum: f64 = named.clone().map(|unit| unit.sum).sum();
            let squares: f64 = named.clone().map(|unit| unit.squares).sum();
            let observed = named.map(|unit| unit.disagreement).sum::<f64>();
            (observed, 2.0 * (n * squares - sum * sum))
        }
        Level::Nominal => {
            let totals = totals();
            let disagreement = |unit: &Unit| {
                let same: f64 = unit.counts.iter().map(|count| count.1 * count.1).sum();
                (unit.votes * unit.votes - same) / (unit.votes - 1.0)
            };
            let same: f64 = totals.iter().map(|total| total * total).sum();
            (named.map(disagreement).sum::<f64>(), n * n - same)
        }
        Level::Ordinal => {
            let totals = totals();
            let mut before = 0.0;
            let rank = |total: &f64| {
                before += total;
                before - total / 2.0 - n / 2.0
            };
            let ranks: Vec<f64> = totals.iter().map(rank).collect();
            let disagreement = |unit: &Unit| {
                let mean = unit.counts.iter().map(|&(at, count)| count * ranks[at]).sum::<f64>() / unit.votes;
                let spread: f64 =
                    unit.counts.iter().map(|&(at, count)| count * (ranks[at] - mean).powi(2)).sum();
                2.0 * unit.votes * spread / (unit.votes - 1.0)
            };
            // The ranks' mean is 0: they are counted from the middle.
            let spread: f64 = totals.iter().zip(&ranks).map(|(total, rank)| total * rank * rank).sum();
            (named.map(disagreement).sum::<f64>(), 2.0 * n * spread)
        }
    };
    (varied && expected > 0.0).then(|| 1.0 - (n - 1.0) * observed / expected)
}
