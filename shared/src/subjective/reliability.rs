//! Whether subjects can be relied on: on items whose score is known, and on items shown to them twice.

use serde::{Deserialize, Serialize};

use super::Ratings;
use super::mos::mean;

/// How a subject rated items whose score is known.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GoldAccuracy {
    /// Votes on such items.
    pub n: usize,
    /// Votes within the tolerance.
    pub right: usize,
    /// `right / n`; none without such a vote.
    pub accuracy: Option<f64>,
}

/// Every subject's votes held against the expected scores, one for each item, `None` where it is not known.
/// A vote is right within `tolerance`, the tolerance itself included.
#[must_use]
pub fn gold_accuracy(ratings: &Ratings, expected: &[Option<f64>], tolerance: f64) -> Vec<GoldAccuracy> {
    let accuracy = |subject: usize| {
        let off = ratings.of_subject(subject).filter_map(|rating| {
            let expected = expected.get(rating.item).copied().flatten()?;
            Some((rating.score - expected).abs())
        });
        let n = off.clone().count();
        // 3.3 − 2.3 is a little more than 1.
        let right = off.filter(|&off| off <= tolerance + 1e-9).count();
        GoldAccuracy { n, right, accuracy: (n > 0).then(|| right as f64 / n as f64) }
    };
    (0..ratings.subjects()).map(accuracy).collect()
}

/// How a subject's second vote on an item follows the first.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RepeatConsistency {
    /// Items voted on twice or more.
    pub n: usize,
    /// Mean of |second − first|; none without a repeat.
    pub mean_difference: Option<f64>,
    /// Share of items whose second vote equals the first; none without a repeat.
    pub equal: Option<f64>,
}

/// Every subject's second votes held against the first, in the order given; third ones do not count.
#[must_use]
pub fn repeat_consistency(ratings: &Ratings) -> Vec<RepeatConsistency> {
    let consistency = |subject: usize| {
        let mut votes: Vec<_> = ratings.of_subject(subject).collect();
        // Stable: the order of an item's votes stays.
        votes.sort_by_key(|rating| rating.item);
        let pairs = votes.chunk_by(|a, b| a.item == b.item).filter(|votes| votes.len() > 1);
        let differences: Vec<f64> = pairs.map(|votes| (votes[1].score - votes[0].score).abs()).collect();
        RepeatConsistency {
            n: differences.len(),
            mean_difference: mean(differences.iter().copied()),
            equal: mean(differences.iter().map(|&difference| f64::from(u8::from(difference == 0.0)))),
        }
    };
    (0..ratings.subjects()).map(consistency).collect()
}
