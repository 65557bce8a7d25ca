//! Whether the reasoning decides the score: what happens to the answer when the reasoning is another image's.
//!
//! The model first reasons about every image as usual. Then its answer is begun for it: with its own reasoning,
//! with that of a *donor*, an image of clearly another label, and with none; and it only writes the score. A
//! model that reads what it wrote follows the donor; one that only looks at the image stays where it was.

mod effect;

use qponder_shared::api::Mode;
use serde::Serialize;

pub use effect::Effect;

use super::answers::{BATCH, answer, answer_all, ask, greedy};
use super::estimate::groups;
use super::kept::Said;
use super::{Case, Estimate, EvaluateError, Kept};
use crate::assess::Assessor;
use crate::degrade::Rng;
use effect::Trial;

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

/// Swaps reasonings among the cases. Which image is whose donor depends on labels and seed alone, so that models
/// can be compared. `progress` gets the number done, of twice the cases, and can end it.
///
/// # Errors
/// When an image cannot be read or the model fails on it, and what `progress` gives.
pub fn swap(
    assessor: &Assessor,
    cases: &[Case],
    seed: u64,
    progress: &mut dyn FnMut(usize) -> Result<(), EvaluateError>,
) -> Result<SwapReport, EvaluateError> {
    let labels: Vec<f64> = cases.iter().map(|case| case.item.row.label.value()).collect();
    let donors = donors(&labels, seed);
    let answers = answer_all(assessor, cases, Mode::Reason, &mut Kept::none(), progress)?;
    let own: Vec<Option<Reasoned<'_>>> = answers.iter().map(Reasoned::of).collect();
    let pair = |(index, case)| Some(Pair { case, own: own[index]?, donor: own[donors[index]?]? });
    let pairs: Vec<Pair<'_>> = cases.iter().enumerate().filter_map(pair).collect();

    let mut scores: [Vec<Option<f64>>; 3] = Default::default();
    for batch in pairs.chunks(BATCH) {
        let of_batch: Vec<&Case> = batch.iter().map(|pair| pair.case).collect();
        for (which, scores) in scores.iter_mut().enumerate() {
            let requests = batch.iter().map(|pair| {
                let beginnings = [pair.own.beginning(), pair.donor.beginning(), BLANK.to_owned()];
                ask(pair.case, Mode::Reason, greedy(), &beginnings[which])
            });
            let answers = answer(assessor, &of_batch, requests.collect::<Result<_, _>>()?)?;
            scores.extend(answers.iter().map(|answer| answer.score.map(|score| score.get())));
        }
        progress(cases.len() + scores[0].len())?;
    }
    let references =
        pairs.iter().map(|pair| &pair.case).map(|case| (&case.dataset, &case.item.row.reference));
    let groups = groups(references);
    let [again, swapped, blank] = scores;
    let effect = |scores: &[Option<f64>]| {
        let with_scores = pairs.iter().zip(scores);
        let trials: Vec<Trial> = with_scores
            .map(|(pair, &score)| Trial { own: pair.own.score, donor: pair.donor.score, score })
            .collect();
        Effect::of(&groups, &trials)
    };
    let is_same: Vec<f64> = pairs
        .iter()
        .zip(&again)
        .map(|(pair, &score)| f64::from(u8::from(score == Some(pair.own.score))))
        .collect();
    let without_donor = donors.iter().filter(|donor| donor.is_none()).count();
    Ok(SwapReport {
        images: pairs.len(),
        without_donor,
        unreadable: cases.len() - without_donor - pairs.len(),
        own: Estimate::mean(&groups, &is_same),
        donor: effect(&swapped),
        blank: effect(&blank),
    })
}

/// What a model thought of an image.
#[derive(Clone, Copy)]
struct Reasoned<'a> {
    /// The answer up to the end of its reasoning.
    reasoning: &'a str,
    score: f64,
}

impl<'a> Reasoned<'a> {
    /// `None` of an answer that cannot be read.
    fn of(answer: &'a Said) -> Option<Self> {
        let end = answer.text.find(END_OF_REASONING)? + END_OF_REASONING.len();
        Some(Self { reasoning: &answer.text[..end], score: answer.score? })
    }

    /// How an answer with this reasoning begins. The line break belongs to the last token of the reasoning.
    fn beginning(&self) -> String {
        format!("{}\n", self.reasoning)
    }
}

/// An image with its own reasoning and its donor's.
struct Pair<'a> {
    case: &'a Case,
    own: Reasoned<'a>,
    donor: Reasoned<'a>,
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
}
