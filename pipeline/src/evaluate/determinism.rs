//! Whether equal seeds give equal answers, again and in other company.

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

const TEMPERATURE: f64 = 1.0;
/// Images together in the other company: no divisor of a usual number of images.
const OTHER_BATCH: usize = 3;

/// Asks about up to `count` cases in one batch, then in the same batch again, then backwards and a few at a
/// time, in both modes; sampled where a mode samples. Text, score and probabilities have to be equal to the bit.
///
/// # Errors
/// When an image cannot be read or the model fails on it.
pub fn check_determinism(
    assessor: &Assessor,
    cases: &[Case],
    count: usize,
) -> Result<Determinism, EvaluateError> {
    let count = count.min(cases.len());
    let spread: Vec<(usize, &Case)> =
        (0..count).map(|i| &cases[i * cases.len() / count]).enumerate().collect();
    let mut backwards = spread.clone();
    backwards.reverse();
    let mut differences = Vec::new();
    for mode in [Mode::Reason, Mode::Quick] {
        let answers = |batch: &[(usize, &Case)]| {
            let sampling = |seed: usize| Sampling { temperature: TEMPERATURE, seed: seed as u64, ..greedy() };
            let requests = batch.iter().map(|&(seed, case)| ask(case, mode, sampling(seed), ""));
            let cases: Vec<&Case> = batch.iter().map(|&(_, case)| case).collect();
            answer(assessor, &cases, requests.collect::<Result<_, _>>()?)
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
                if !same(first, second) {
                    let [first, second] = [first, second].map(|answer| answer.text.clone());
                    let id = case.item.row.id.clone();
                    differences.push(Difference { id, mode, in_another_batch, first, second });
                }
            }
        }
    }
    Ok(Determinism { images: count, temperature: TEMPERATURE, differences })
}

fn same(first: &Answer, second: &Answer) -> bool {
    let of = |answer: &Answer| (answer.text.clone(), answer.score, answer.level_probabilities);
    of(first) == of(second)
}
