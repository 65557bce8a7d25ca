//! The model of Recommendation ITU-T P.910 (11/21), annex E: a vote is the item's quality plus the subject's
//! bias plus noise of the subject's inconsistency. Solved by alternating projection, as SUREAL's
//! `SubjectMLEModelProjectionSolver2` does (Li, Bampis, Krasula, Janowski, Katsavounidis, 2020, "A simple
//! model for subject behavior in subjective experiments"), whose numbers these are.

use serde::{Deserialize, Serialize};

use super::{Interval, Ratings};

/// The fitted model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct P910 {
    pub items: Vec<ItemQuality>,
    pub subjects: Vec<SubjectBehaviour>,
    /// How often the estimates were improved.
    pub iterations: usize,
    /// Whether the last improvement moved the qualities by less than 1e-8.
    pub converged: bool,
}

/// One item, freed of its subjects' biases; the consistent weigh more.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ItemQuality {
    /// None without a vote. Not bound to the scale.
    pub quality: Option<f64>,
    /// Number of votes.
    pub n: usize,
    /// Standard deviation (by n) of the votes from what the model expects; none below two votes.
    pub deviation: Option<f64>,
    /// `quality ± 1.95996 · deviation / √n`, not clipped; none below two votes.
    pub interval: Option<Interval>,
}

/// One subject.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SubjectBehaviour {
    /// Number of votes.
    pub n: usize,
    /// How much milder (above 0) than the mean of the subjects; none without a vote.
    pub bias: Option<f64>,
    /// Standard deviation (by n) of the votes from quality plus bias; none below two votes.
    pub inconsistency: Option<f64>,
}

const MOST_ITERATIONS: usize = 1000;
const SMALLEST_CHANGE: f64 = 1e-8;
/// Keeps the weight of a perfectly consistent subject finite.
const SMALLEST_VARIANCE: f64 = 1e-8;
/// SUREAL's quantile of the normal distribution.
const Z: f64 = 1.95996;

/// Fits the model.
#[must_use]
pub fn fit(ratings: &Ratings) -> P910 {
    let item_counts: Vec<usize> = (0..ratings.items()).map(|item| ratings.of_item(item).len()).collect();
    let subject_counts: Vec<usize> = (0..ratings.subjects()).map(|s| ratings.of_subject(s).len()).collect();
    let mut quality = means(ratings, &item_counts, |at| at.0, |_, _, score| score);
    let mut bias = means(ratings, &subject_counts, |at| at.1, |item, _, score| score - quality[item]);
    let mut iterations = 0;
    let (mut converged, mut inconsistency, mut deviation);
    loop {
        let residual = |item: usize, subject: usize, score| score - quality[item] - bias[subject];
        inconsistency = deviations(ratings, &subject_counts, |at| at.1, residual);
        let weights: Vec<f64> = inconsistency.iter().map(|v| 1.0 / (v.powi(2) + SMALLEST_VARIANCE)).collect();
        let mut sums = vec![(0.0, 0.0); quality.len()];
        for rating in ratings.all() {
            let weight = weights[rating.subject];
            sums[rating.item].0 += weight * (rating.score - bias[rating.subject]);
            sums[rating.item].1 += weight;
        }
        let next: Vec<f64> =
            sums.iter().map(|&(sum, weight)| if weight > 0.0 { sum / weight } else { 0.0 }).collect();
        let change: f64 = next.iter().zip(&quality).map(|(a, b)| (a - b).powi(2)).sum();
        iterations += 1;
        converged = change.sqrt() < SMALLEST_CHANGE;
        let last = converged || iterations == MOST_ITERATIONS;
        // Of the estimates before the last step, as SUREAL has it.
        deviation = if last { deviations(ratings, &item_counts, |at| at.0, residual) } else { Vec::new() };
        quality = next;
        bias = means(ratings, &subject_counts, |at| at.1, |item, _, score| score - quality[item]);
        if last {
            break;
        }
    }
    let voters = subject_counts.iter().filter(|&&n| n > 0).count().max(1);
    let mean_bias = bias.iter().sum::<f64>() / voters as f64;
    let item = |item: usize| {
        let n = item_counts[item];
        let quality = (n > 0).then(|| quality[item] + mean_bias);
        let deviation = (n > 1).then(|| deviation[item]);
        let interval = quality.zip(deviation).map(|(quality, deviation)| {
            let half = Z * deviation / (n as f64).sqrt();
            Interval { low: quality - half, high: quality + half }
        });
        ItemQuality { quality, n, deviation, interval }
    };
    let subject = |subject: usize| {
        let n = subject_counts[subject];
        SubjectBehaviour {
            n,
            bias: (n > 0).then(|| bias[subject] - mean_bias),
            inconsistency: (n > 1).then(|| inconsistency[subject]),
        }
    };
    let items = (0..item_counts.len()).map(item).collect();
    let subjects = (0..subject_counts.len()).map(subject).collect();
    P910 { items, subjects, iterations, converged }
}

/// The mean of `value(item, subject, score)` by what `group` picks of (item, subject); 0 of nothing.
fn means(
    ratings: &Ratings,
    counts: &[usize],
    group: impl Fn((usize, usize)) -> usize,
    value: impl Fn(usize, usize, f64) -> f64,
) -> Vec<f64> {
    let mut sums = vec![0.0; counts.len()];
    for rating in ratings.all() {
        sums[group((rating.item, rating.subject))] += value(rating.item, rating.subject, rating.score);
    }
    sums.iter().zip(counts).map(|(sum, &n)| sum / n.max(1) as f64).collect()
}

/// The standard deviation (by n) of the same.
fn deviations(
    ratings: &Ratings,
    counts: &[usize],
    group: impl Fn((usize, usize)) -> usize,
    value: impl Fn(usize, usize, f64) -> f64,
) -> Vec<f64> {
    let mean = means(ratings, counts, &group, &value);
    let square = |item: usize, subject: usize, score| {
        (value(item, subject, score) - mean[group((item, subject))]).powi(2)
    };
    means(ratings, counts, &group, square).into_iter().map(f64::sqrt).collect()
}
