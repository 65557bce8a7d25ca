//! A statistic with its uncertainty.

use qponder_shared::stats;
use serde::Serialize;

/// Resamples of the bootstrap.
pub const RESAMPLES: usize = 1000;
/// Seed of the bootstrap.
const SEED: u64 = 0;

/// The 2.5 and 97.5 percentiles of the bootstrap over reference photographs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    pub low: f64,
    pub high: f64,
}

/// A statistic of some images.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    pub value: f64,
    /// `None` of a single reference, which says nothing of others.
    pub interval: Option<Interval>,
}

impl Estimate {
    /// The statistic of all images and its interval; `None` where it does not exist. `groups[i]` numbers the
    /// reference of image `i`, the statistic gets the indices of a resample.
    pub(super) fn of(groups: &[usize], statistic: impl Fn(&[usize]) -> Option<f64>) -> Option<Self> {
        let all: Vec<usize> = (0..groups.len()).collect();
        let value = statistic(&all).filter(|value| value.is_finite())?;
        let several = groups.iter().any(|&group| group != groups[0]);
        let interval =
            several.then(|| stats::bootstrap_interval(groups, RESAMPLES, SEED, statistic)).flatten();
        Some(Self { value, interval: interval.map(|(low, high)| Interval { low, high }) })
    }

    /// The mean of some numbers.
    pub(super) fn mean(groups: &[usize], values: &[f64]) -> Option<Self> {
        Self::of(groups, |chosen| {
            let sum: f64 = chosen.iter().map(|&i| values[i]).sum();
            (!chosen.is_empty()).then(|| sum / chosen.len() as f64)
        })
    }

    /// A statistic of pairs, such as a correlation.
    pub(super) fn paired(
        groups: &[usize],
        x: &[f64],
        y: &[f64],
        statistic: fn(&[f64], &[f64]) -> Option<f64>,
    ) -> Option<Self> {
        Self::of(groups, |chosen| {
            let (x, y): (Vec<f64>, Vec<f64>) = chosen.iter().map(|&i| (x[i], y[i])).unzip();
            statistic(&x, &y)
        })
    }
}

/// Numbers for names, equal for equal ones.
pub(super) fn groups<T: Ord + Copy>(names: impl Iterator<Item = T>) -> Vec<usize> {
    let names: Vec<T> = names.collect();
    let mut known = names.clone();
    known.sort_unstable();
    known.dedup();
    names.iter().map(|name| known.binary_search(name).unwrap_or(0)).collect()
}
