//! Whether equal seeds give equal answers, again and in other company.

use qponder_shared::Score;
use qponder_shared::api::{Mode, Sampling};
use serde::Serialize;

use super::answers::{answer, ask, greedy};
use super::{Case, EvaluateError};
use crate::assess::{Answer, Assessor};

/// What came of asking again.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Determinism {
    pub images: usize,
    /// Of the sampled answers in reasoning mode, each with a seed of its own.
    pub temperature: f64,
    /// The largest change of a score in another batch, in points. Sums of another batch may be formed in another
    /// order, so that the last bits differ; up to [`TOLERANCE`] that is no difference.
    pub largest_change: f64,
    /// Answers that came out differently; empty when all is well.
    pub differences: Vec<Difference>,
}

/// An answer that came out differently.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The manifest row's id.
    pub id: String,
    pub mode: Mode,
    /// Whether it differed in the same batch asked again, or in another batch.
    pub in_another_batch: bool,
    pub first: String,
    pub second: String,
}

/// Points by which a score may change in another batch: far below the two decimals that are shown.
pub const TOLERANCE: f64 = 1e-4;
const TEMPERATURE: f64 = 1.0;
/// Images together in the other company: no divisor of a usual number of images.
const OTHER_BATCH: usize = 3;

/// Answers to each image that is checked.
pub(super) const ANSWERS_TO_CHECK: usize = 6;

/// Asks about up to `count` cases in one batch, then in the same batch again, then backwards and a few at a
/// time, in both modes; sampled where a mode samples. The same batch has to give the same text, score and
/// probabilities to the bit, another one the same text and a score within [`TOLERANCE`]. `progress` gets the number
/// of answers, six to an image, and can end it.
///
/// # Errors
/// When an image cannot be read or the model fails on it, and what `progress` gives.
pub fn check_determinism(
    assessor: &Assessor,
    cases: &[Case],
    count: usize,
    progress: &mut dyn FnMut(usize) -> Result<(), EvaluateError>,
) -> Result<Determinism, EvaluateError> {
    let count = count.min(cases.len());
    let spread: Vec<(usize, &Case)> =
        (0..count).map(|i| &cases[i * cases.len() / count]).enumerate().collect();
    let mut backwards = spread.clone();
    backwards.reverse();
    let (mut largest_change, mut differences, mut done) = (0.0_f64, Vec::new(), 0);
    for mode in [Mode::Reason, Mode::Quick] {
        let mut answers = |batch: &[(usize, &Case)]| {
            let sampling = |seed: usize| Sampling { temperature: TEMPERATURE, seed: seed as u64, ..greedy() };
            let requests = batch.iter().map(|&(seed, case)| ask(case, mode, sampling(seed), ""));
            let cases: Vec<&Case> = batch.iter().map(|&(_, case)| case).collect();
            let answers = answer(assessor, &cases, requests.collect::<Result<_, _>>()?)?;
            done += answers.len();
            progress(done)?;
            Ok::<_, EvaluateError>(answers)
        };
        let first = answers(&spread)?;
        let again = answers(&spread)?;
        let mut elsewhere = Vec::with_capacity(count);
        for batch in backwards.chunks(OTHER_BATCH) {
            elsewhere.extend(answers(batch)?);
        }
        elsewhere.reverse();
        for (in_another_batch, second) in [(false, again), (true, elsewhere)] {
            for ((first, second), (_, case)) in first.iter().zip(&second).zip(&spread) {
                let change = change(first, second);
                if in_another_batch {
                    largest_change = change.map_or(largest_change, |change| largest_change.max(change));
                }
                let is_same = match in_another_batch {
                    false => bits(first) == bits(second),
                    true => first.text == second.text && change.is_none_or(|change| change <= TOLERANCE),
                };
                if !is_same {
                    let [first, second] = [first, second].map(|answer| answer.text.clone());
                    let id = case.item.row.id.clone();
                    differences.push(Difference { id, mode, in_another_batch, first, second });
                }
            }
        }
    }
    Ok(Determinism { images: count, temperature: TEMPERATURE, largest_change, differences })
}

/// Everything of an answer that a seed decides.
fn bits(answer: &Answer) -> (&str, Option<Score>, Option<[f64; 5]>) {
    (&answer.text, answer.score, answer.level_probabilities)
}

/// By how much two scores differ; `None` where one could not be read.
fn change(first: &Answer, second: &Answer) -> Option<f64> {
    Some((first.score?.get() - second.score?.get()).abs())
}
