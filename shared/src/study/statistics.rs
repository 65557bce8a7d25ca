//! What a study's votes say: everything that its statistics page shows, made from plain lists.

use serde::{Deserialize, Serialize};

use super::ItemKind;
use crate::api::Mode;
use crate::subjective::agreement::Level;
use crate::subjective::model::{ModelFit, against_mos};
use crate::subjective::pairs::{Comparison, Strengths, bradley_terry};
use crate::subjective::reliability::{GoldAccuracy, RepeatConsistency, gold_accuracy, repeat_consistency};
use crate::subjective::{BadRating, Rating, Ratings, Report, Scale, Screening, report};
use crate::{ImageId, ItemId, SubjectId};

/// Resamples of the items that make α's interval.
const RESAMPLES: usize = 1000;

/// An item whose votes are looked at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VotedItem {
    pub id: ItemId,
    /// One image, or two in a study of pairs.
    pub images: Vec<ImageId>,
    /// File name of the first image.
    pub name: String,
    pub kind: ItemKind,
    /// The expected score of a gold item.
    pub expected: Option<f64>,
    pub tolerance: f64,
}

/// Somebody who voted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Voter {
    pub id: SubjectId,
    pub name: String,
    /// Items that they skipped.
    pub skipped: u64,
}

/// What one model said of a study's items.
#[derive(Clone, Debug, PartialEq)]
pub struct Predictions {
    /// Name of the model.
    pub model: String,
    /// How it was asked.
    pub mode: Mode,
    /// One for each item.
    pub scores: Vec<Option<f64>>,
}

/// The votes of a study that count: of each person the newest on each item that was given blind.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StudyVotes {
    /// What was voted on, without training.
    pub items: Vec<VotedItem>,
    /// Who voted.
    pub voters: Vec<Voter>,
    /// Scores; repeats are two votes.
    pub ratings: Vec<Rating>,
    /// Preferences, as item, subject, and -1, 0 or 1.
    pub preferences: Vec<(usize, usize, i16)>,
    /// What models said.
    pub predictions: Vec<Predictions>,
}

/// A model held against the MOS.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ModelAgainstMos {
    pub model: String,
    pub mode: Mode,
    pub fit: ModelFit,
    /// The model's score of each item.
    pub scores: Vec<Option<f64>>,
}

/// How careful somebody is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Care {
    pub gold: GoldAccuracy,
    pub repeats: RepeatConsistency,
}

/// Strengths of the images of a study of pairs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PairStrengths {
    pub images: Vec<ImageId>,
    /// In the order of `images`; `None` when there are none.
    pub strengths: Option<Strengths>,
    /// Why there are none.
    pub reason: Option<String>,
}

/// Statistics of a study.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StudyStatistics {
    pub items: Vec<VotedItem>,
    pub voters: Vec<Voter>,
    /// In the order of `items` and `voters`.
    pub report: Report,
    /// In the order of `voters`.
    pub care: Vec<Care>,
    pub models: Vec<ModelAgainstMos>,
    /// In a study of pairs.
    pub pairs: Option<PairStrengths>,
}

/// Makes the statistics of votes.
///
/// # Errors
/// When an index or a score is out of range, which stored votes never are.
pub fn statistics(votes: StudyVotes, screening: Screening, seed: u64) -> Result<StudyStatistics, BadRating> {
    let StudyVotes { items, voters, ratings, preferences, predictions } = votes;
    let pairs = (!preferences.is_empty()).then(|| strengths(&items, &preferences));
    let ratings = Ratings::new(ratings, items.len(), voters.len(), Scale::ACR)?;
    let report = report(&ratings, screening, Level::Interval, RESAMPLES, seed);
    let models = predictions
        .into_iter()
        .map(|Predictions { model, mode, scores }| {
            let fit = against_mos(&scores, &report.items);
            ModelAgainstMos { model, mode, fit, scores }
        })
        .collect();
    let gold = gold(&ratings, &items);
    let care = gold.into_iter().zip(repeat_consistency(&ratings));
    let care = care.map(|(gold, repeats)| Care { gold, repeats }).collect();
    Ok(StudyStatistics { items, voters, report, care, models, pairs })
}

/// Each subject's answers to gold items; items differ in what still counts as right.
fn gold(ratings: &Ratings, items: &[VotedItem]) -> Vec<GoldAccuracy> {
    let mut tolerances: Vec<f64> = items.iter().map(|item| item.tolerance).collect();
    tolerances.sort_by(f64::total_cmp);
    tolerances.dedup();
    let none = GoldAccuracy { n: 0, right: 0, accuracy: None };
    let mut all = vec![none; ratings.subjects()];
    for tolerance in tolerances {
        let is_meant = |item: &VotedItem| item.kind == ItemKind::Gold && item.tolerance == tolerance;
        let expected: Vec<_> = items.iter().map(|item| item.expected.filter(|_| is_meant(item))).collect();
        for (sum, part) in all.iter_mut().zip(gold_accuracy(ratings, &expected, tolerance)) {
            let (n, right) = (sum.n + part.n, sum.right + part.right);
            *sum = GoldAccuracy { n, right, accuracy: (n > 0).then(|| right as f64 / n as f64) };
        }
    }
    all
}

fn strengths(items: &[VotedItem], preferences: &[(usize, usize, i16)]) -> PairStrengths {
    let mut images: Vec<ImageId> = items.iter().flat_map(|item| item.images.iter().copied()).collect();
    images.sort_unstable();
    images.dedup();
    let place = |image: &ImageId| images.binary_search(image).ok();
    let mut comparisons: Vec<Comparison> = Vec::new();
    for (item, _, sign) in preferences {
        let Some([first, second]) = items.get(*item).map(|item| &item.images[..]) else { continue };
        let (Some(first), Some(second)) = (place(first), place(second)) else { continue };
        comparisons.push(Comparison {
            first,
            second,
            first_won: u32::from(*sign < 0),
            second_won: u32::from(*sign > 0),
            ties: u32::from(*sign == 0),
        });
    }
    match bradley_terry(&comparisons, images.len()) {
        Ok(strengths) => PairStrengths { images, strengths: Some(strengths), reason: None },
        Err(why) => PairStrengths { images, strengths: None, reason: Some(why.to_string()) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn study(subjects: usize, items: usize, score: impl Fn(usize, usize) -> f64) -> StudyVotes {
        let item = |at: usize| VotedItem {
            id: ItemId::new(),
            images: vec![ImageId::new()],
            name: at.to_string(),
            kind: if at == 0 { ItemKind::Gold } else { ItemKind::Rated },
            expected: (at == 0).then_some(5.0),
            tolerance: 1.0,
        };
        let voter = |at: usize| Voter { id: SubjectId::new(), name: at.to_string(), skipped: 0 };
        let ratings = (0..subjects).flat_map(|subject| {
            let score = &score;
            (0..items).map(move |item| Rating { item, subject, score: score(subject, item) })
        });
        StudyVotes {
            ratings: ratings.collect(),
            items: (0..items).map(item).collect(),
            voters: (0..subjects).map(voter).collect(),
            ..StudyVotes::default()
        }
    }

    #[test]
    fn the_careless_are_named() {
        let truth = |item: usize| 5.0 - (item % 5) as f64;
        let careless = |item: usize| 1.0 + ((item * 7 + 3) % 5) as f64;
        let votes = study(8, 20, |subject, item| match subject {
            7 => careless(item),
            _ => (truth(item) + if (subject + item) % 6 == 0 { -1.0 } else { 0.0 }).max(1.0),
        });
        let made = statistics(votes, Screening::Pearson, 1).expect("sound votes");
        let left_out: Vec<bool> = made.report.subjects.iter().map(|subject| subject.left_out).collect();
        assert_eq!(left_out, [false, false, false, false, false, false, false, true]);
        assert_eq!((made.care[0].gold.n, made.care[0].gold.right), (1, 1));
        assert_eq!((made.care[7].gold.n, made.care[7].gold.right), (1, 1));
        assert!(made.report.agreement.alpha.is_some_and(|alpha| alpha > 0.7), "{:?}", made.report.agreement);
    }

    #[test]
    fn nothing_gives_nothing() {
        let made = statistics(StudyVotes::default(), Screening::Bt500, 1).expect("no votes are sound");
        assert_eq!((made.items.len(), made.pairs, made.models.len()), (0, None, 0));
    }
}
