//! Whether the reasoning decides the score: what happens to the answer when the reasoning is another image's.
//!
//! The model first reasons about every image as usual. Then its answer is begun for it: with its own reasoning,
//! with that of a *donor*, an image of clearly another label, and with none; and it only writes the score. A
//! model that reads what it wrote follows the donor; one that only looks at the image stays where it was.

use qponder_shared::api::Mode;
use qponder_shared::stats;
use serde::Serialize;

use super::answers::{BATCH, answer, answer_all, ask, greedy};
use super::estimate::groups;
use super::{Case, Estimate, EvaluateError};
use crate::assess::Assessor;
use crate::degrade::Rng;

/// Least difference between the labels of an image and its donor, in points.
const CLEARLY_OTHER: f64 = 1.0;
const END_OF_REASONING: &str = "</think>";
const BLANK: &str = "<think>\n</think>\n";

/// How a model's scores change with the reasoning before them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SwapReport {
    /// Images that got another's reasoning.
    pub images: usize,
    /// Images without a donor: no other label is far enough from theirs.
    pub without_donor: usize,
    /// Images left out because their own answer or their donor's could not be read.
    pub unreadable: usize,
    /// Share of scores that its own reasoning, put into its mouth, gives again exactly. Below 1 the model's
    /// text does not tokenise as it was written, and the other figures carry that noise.
    pub own: Option<Estimate>,
    /// With the donor's reasoning.
    pub donor: Effect,
    /// With no reasoning.
    pub blank: Effect,
}

/// What another reasoning does to the scores.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Effect {
    /// Answers without a readable score; they are in no statistic.
    pub parse_failures: usize,
    /// Mean of |score − own score|, in points.
    pub change: Option<Estimate>,
    /// Share of scores that move towards the donor's.
    pub towards_donor: Option<Estimate>,
    /// Slope of the score on the donor's score, its own held fixed (least squares): 1 when the reasoning alone
    /// decides, 0 when it does not matter.
    pub donor_slope: Option<Estimate>,
    /// Slope of the score on the own score, the donor's held fixed: what the image keeps to itself.
    pub own_slope: Option<Estimate>,
    /// PLCC of the score with the donor's.
    pub donor_plcc: Option<Estimate>,
    /// PLCC of the score with the own.
    pub own_plcc: Option<Estimate>,
}

/// The scores of one image: its own, its donor's, and the one that another reasoning led to.
#[derive(Clone, Copy, Debug)]
struct Trial {
    own: f64,
    donor: f64,
    score: Option<f64>,
}

/// Swaps reasonings among the cases. Which image is whose donor depends on labels and seed alone, so that models
/// can be compared. `progress` gets the number done, of twice the cases.
///
/// # Errors
/// When an image cannot be read or the model fails on it.
pub fn swap(
    assessor: &Assessor,
    cases: &[Case],
    seed: u64,
    progress: &mut dyn FnMut(usize),
) -> Result<SwapReport, EvaluateError> {
    let labels: Vec<f64> = cases.iter().map(|case| case.item.row.label.value()).collect();
    let donors = donors(&labels, seed);
    let answers = answer_all(assessor, cases, Mode::Reason, progress)?;
    let own: Vec<Option<(&str, f64)>> =
        answers.iter().map(|answer| Some((reasoning(&answer.text)?, answer.score?.get()))).collect();

    let mut chosen = Vec::new();
    for (index, donor) in donors.iter().enumerate() {
        let Some(donor) = *donor else { continue };
        if let (Some(own), Some(donor)) = (own[index], own[donor]) {
            chosen.push((&cases[index], own, donor));
        }
    }
    let mut scores: [Vec<Option<f64>>; 3] = Default::default();
    for batch in chosen.chunks(BATCH) {
        let of_batch: Vec<&Case> = batch.iter().map(|&(case, ..)| case).collect();
        for (which, scores) in scores.iter_mut().enumerate() {
            let requests = batch.iter().map(|&(case, own, donor)| {
                // The line break belongs to the last token of the reasoning.
                let beginning = [format!("{}\n", own.0), format!("{}\n", donor.0), BLANK.to_owned()];
                ask(case, Mode::Reason, greedy(), &beginning[which])
            });
            let answers = answer(assessor, &of_batch, requests.collect::<Result<_, _>>()?)?;
            scores.extend(answers.iter().map(|answer| answer.score.map(|score| score.get())));
        }
        progress(cases.len() + scores[0].len());
    }
    let groups =
        groups(chosen.iter().map(|(case, ..)| (case.dataset.as_str(), case.item.row.reference.as_str())));
    let [again, swapped, blank] = scores;
    let effect =
        |scores: &[Option<f64>]| {
            let trial = |(&(_, own, donor), &score): (&(&Case, (&str, f64), (&str, f64)), &Option<f64>)| {
                Trial { own: own.1, donor: donor.1, score }
            };
            Effect::of(&groups, &chosen.iter().zip(scores).map(trial).collect::<Vec<_>>())
        };
    let is_same =
        chosen.iter().zip(&again).map(|((_, own, _), &score)| f64::from(u8::from(score == Some(own.1))));
    let without_donor = donors.iter().filter(|donor| donor.is_none()).count();
    Ok(SwapReport {
        images: chosen.len(),
        without_donor,
        unreadable: cases.len() - without_donor - chosen.len(),
        own: Estimate::mean(&groups, &is_same.collect::<Vec<_>>()),
        donor: effect(&swapped),
        blank: effect(&blank),
    })
}

/// The answer up to the end of its reasoning.
fn reasoning(text: &str) -> Option<&str> {
    text.find(END_OF_REASONING).map(|at| &text[..at + END_OF_REASONING.len()])
}

/// For each label another whose distance is at least [`CLEARLY_OTHER`].
fn donors(labels: &[f64], seed: u64) -> Vec<Option<usize>> {
    let mut order: Vec<usize> = (0..labels.len()).collect();
    order.sort_by(|&a, &b| labels[a].total_cmp(&labels[b]));
    labels
        .iter()
        .enumerate()
        .map(|(index, label)| {
            let lower = order.partition_point(|&other| labels[other] <= label - CLEARLY_OTHER);
            let first_higher = order.partition_point(|&other| labels[other] < label + CLEARLY_OTHER);
            let count = lower + order.len() - first_higher;
            let drawn = Rng::new(seed, index as u64).below(count);
            (count > 0).then(|| order[if drawn < lower { drawn } else { first_higher + drawn - lower }])
        })
        .collect()
}

impl Effect {
    fn of(groups: &[usize], trials: &[Trial]) -> Self {
        let readable: Vec<usize> = (0..trials.len()).filter(|&i| trials[i].score.is_some()).collect();
        let parse_failures = trials.len() - readable.len();
        let groups: Vec<usize> = readable.iter().map(|&i| groups[i]).collect();
        let trials: Vec<[f64; 3]> = readable
            .iter()
            .filter_map(|&i| Some([trials[i].own, trials[i].donor, trials[i].score?]))
            .collect();
        let column = |at: usize| trials.iter().map(|trial| trial[at]).collect::<Vec<f64>>();
        let (own, donor, score) = (column(0), column(1), column(2));
        let changes: Vec<f64> = trials.iter().map(|[own, _, score]| (score - own).abs()).collect();
        let towards: Vec<f64> = trials
            .iter()
            .map(|[own, donor, score]| f64::from(u8::from((score - own) * (donor - own) > 0.0)))
            .collect();
        let slope = |which: usize| {
            Estimate::of(&groups, |chosen| {
                slopes(&chosen.iter().map(|&i| trials[i]).collect::<Vec<_>>()).map(|slopes| slopes[which])
            })
        };
        Self {
            parse_failures,
            change: Estimate::mean(&groups, &changes),
            towards_donor: Estimate::mean(&groups, &towards),
            own_slope: slope(0),
            donor_slope: slope(1),
            donor_plcc: Estimate::paired(&groups, &donor, &score, stats::plcc),
            own_plcc: Estimate::paired(&groups, &own, &score, stats::plcc),
        }
    }
}

/// Least squares of `score = a + b · own + c · donor`, of rows of own, donor, score: `[b, c]`. `None` where own and
/// donor do not vary independently.
fn slopes(trials: &[[f64; 3]]) -> Option<[f64; 2]> {
    let n = trials.len() as f64;
    let mean = [0, 1, 2].map(|at| trials.iter().map(|trial| trial[at]).sum::<f64>() / n);
    let sum = |a: usize, b: usize| -> f64 {
        trials.iter().map(|trial| (trial[a] - mean[a]) * (trial[b] - mean[b])).sum()
    };
    let (oo, dd, od, os, ds) = (sum(0, 0), sum(1, 1), sum(0, 1), sum(0, 2), sum(1, 2));
    let determinant = oo * dd - od * od;
    (determinant > 1e-9 * oo * dd)
        .then(|| [(os * dd - ds * od) / determinant, (ds * oo - os * od) / determinant])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn donors_are_clearly_other_and_drawn_by_the_seed() {
        let labels = [1.0, 1.5, 2.0, 3.5, 5.0, 3.4];
        let found = donors(&labels, 1);
        for (index, donor) in found.iter().enumerate() {
            let donor = donor.expect("some label is far away");
            assert!((labels[donor] - labels[index]).abs() >= CLEARLY_OTHER, "{index}: {donor}");
        }
        assert_eq!(found, donors(&labels, 1));
        assert!((2..20).any(|seed| donors(&labels, seed) != found));
        assert_eq!(donors(&[3.0, 3.5], 0), [None, None]);
        assert_eq!(donors(&[], 0), []);
    }

    #[test]
    fn an_effect_tells_reading_from_looking() {
        let groups: Vec<usize> = (0..40).collect();
        let of = |reading: f64| {
            let trial = |i: usize| {
                let (own, donor) = (1.0 + (i % 7) as f64 * 0.5, 1.0 + (i % 5) as f64 * 0.9);
                let score = own + reading * (donor - own);
                Trial { own, donor, score: (i != 3).then_some(score) }
            };
            Effect::of(&groups, &(0..40).map(trial).collect::<Vec<_>>())
        };
        let value = |estimate: Option<Estimate>| estimate.expect("it exists").value;
        let looks = of(0.0);
        assert_eq!((looks.parse_failures, value(looks.change), value(looks.towards_donor)), (1, 0.0, 0.0));
        assert!(value(looks.donor_slope).abs() < 1e-9 && (value(looks.own_slope) - 1.0).abs() < 1e-9);
        let reads = of(0.75);
        assert!((value(reads.donor_slope) - 0.75).abs() < 1e-9, "{reads:?}");
        assert!((value(reads.own_slope) - 0.25).abs() < 1e-9, "{reads:?}");
        assert!(value(reads.towards_donor) > 0.9 && value(reads.change) > 0.5);
        assert_eq!(Effect::of(&[], &[]).donor_slope, None);
    }
}
