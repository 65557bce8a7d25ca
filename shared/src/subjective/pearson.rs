//! Screening of subjects by their correlation with the MOS: Recommendation ITU-T P.913.
//!
//! The MOS is that of all subjects who are left, the one in question included. The subject that correlates
//! worst is left out if below 0.75, the MOS computed again, and so on until nobody is below. Only the
//! per-stimulus correlation (r1) is used: a study of photographs has no second grouping by test condition.

use serde::{Deserialize, Serialize};

use super::Ratings;
use crate::stats;

/// A subject whose correlation with the MOS is below this is left out.
pub const LEAST_CORRELATION: f64 = 0.75;

/// A correlation of fewer items judges nobody. Not in the Recommendation, where everybody rates everything.
pub const LEAST_ITEMS: usize = 5;

/// What the correlation says of one subject.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Pearson {
    /// With the MOS of all, before anybody is left out; none of fewer than two items or of equal votes.
    pub correlation: Option<f64>,
    /// With the MOS of those who were left when this subject was judged last.
    pub last_correlation: Option<f64>,
    /// Items that the subject rated; repeats are averaged.
    pub items: usize,
    /// Whether the subject is left out.
    pub rejected: bool,
    /// The how-many-eth to be left out, from 1.
    pub round: Option<usize>,
    /// Why, for people.
    pub reason: String,
}

/// The verdict on every subject. The last two who can be judged are never left out.
#[must_use]
pub fn screen(ratings: &Ratings) -> Vec<Pearson> {
    let means: Vec<Vec<(usize, f64)>> =
        (0..ratings.subjects()).map(|subject| ratings.means_of_subject(subject)).collect();
    let mut sums = vec![(0.0, 0_usize); ratings.items()];
    for rating in ratings.all() {
        sums[rating.item].0 += rating.score;
        sums[rating.item].1 += 1;
    }
    let first = correlations(&means, &sums);
    let mut last = first.clone();
    let mut rounds = vec![None; means.len()];
    for round in 1.. {
        let left = |subject: &usize| {
            rounds[*subject].is_none() && means[*subject].len() >= LEAST_ITEMS && last[*subject].is_some()
        };
        let judged: Vec<usize> = (0..means.len()).filter(left).collect();
        let of = |subject: usize| last[subject].unwrap_or(1.0);
        let worst = judged.iter().copied().min_by(|&a, &b| of(a).total_cmp(&of(b)));
        let Some(worst) = worst.filter(|&worst| judged.len() > 2 && of(worst) < LEAST_CORRELATION) else {
            break;
        };
        rounds[worst] = Some(round);
        for rating in ratings.of_subject(worst) {
            sums[rating.item].0 -= rating.score;
            sums[rating.item].1 -= 1;
        }
        let next = correlations(&means, &sums);
        for subject in (0..means.len()).filter(|&subject| rounds[subject].is_none()) {
            last[subject] = next[subject];
        }
    }
    let verdict =
        |subject: usize| verdict(means[subject].len(), first[subject], last[subject], rounds[subject]);
    (0..means.len()).map(verdict).collect()
}

fn correlations(means: &[Vec<(usize, f64)>], sums: &[(f64, usize)]) -> Vec<Option<f64>> {
    let correlation = |votes: &Vec<(usize, f64)>| {
        let rated = votes.iter().filter(|vote| sums[vote.0].1 > 0);
        let (own, all): (Vec<f64>, Vec<f64>) =
            rated.map(|&(item, mean)| (mean, sums[item].0 / sums[item].1 as f64)).unzip();
        stats::plcc(&own, &all)
    };
    means.iter().map(correlation).collect()
}

fn verdict(items: usize, first: Option<f64>, last: Option<f64>, round: Option<usize>) -> Pearson {
    let reason = match (last, round) {
        _ if items == 0 => "no votes".to_owned(),
        _ if items < LEAST_ITEMS => format!("rated {items} items; fewer than {LEAST_ITEMS} are not judged"),
        (Some(r), Some(round)) => {
            format!(
                "votes correlate with the MOS by {r:.2}, less than {LEAST_CORRELATION}; left out as number {round}"
            )
        }
        (Some(r), None) if r < LEAST_CORRELATION => {
            format!(
                "votes correlate with the MOS by {r:.2}, less than {LEAST_CORRELATION}, but only two subjects are left"
            )
        }
        (Some(r), None) => {
            format!("votes correlate with the MOS by {r:.2}, no less than {LEAST_CORRELATION}")
        }
        (None, _) => "the votes or the MOS are all equal, so there is no correlation to judge by".to_owned(),
    };
    Pearson { correlation: first, last_correlation: last, items, rejected: round.is_some(), round, reason }
}
