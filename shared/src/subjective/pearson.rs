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
    let mut means = Means::new(ratings);
    let first: Vec<Option<f64>> = (0..ratings.subjects()).map(|subject| means.correlation(subject)).collect();
    let mut last = first.clone();
    let mut rounds = vec![None; last.len()];
    // Who is left and rated enough.
    let mut judged: Vec<usize> =
        (0..last.len()).filter(|&subject| means.of_subjects[subject].len() >= LEAST_ITEMS).collect();
    for round in 1.. {
        let found = judged.iter().filter_map(|&subject| Some((subject, last[subject]?)));
        let worst = found.clone().min_by(|a, b| a.1.total_cmp(&b.1));
        let Some((worst, correlation)) = worst else { break };
        if correlation >= LEAST_CORRELATION || found.count() <= 2 {
            break;
        }
        rounds[worst] = Some(round);
        judged.retain(|&subject| subject != worst);
        for subject in means.leave_out(ratings, worst) {
            if rounds[subject].is_none() {
                last[subject] = means.correlation(subject);
            }
        }
    }
    let verdict = |subject: usize| {
        verdict(means.of_subjects[subject].len(), first[subject], last[subject], rounds[subject])
    };
    (0..last.len()).map(verdict).collect()
}

/// What subjects and those who are left think of the items.
struct Means {
    /// A subject's items with the mean of its votes on each.
    of_subjects: Vec<Vec<(usize, f64)>>,
    /// An item's sum and number of votes of those who are left.
    of_items: Vec<(f64, usize)>,
    own: Vec<f64>,
    all: Vec<f64>,
}

impl Means {
    fn new(ratings: &Ratings) -> Self {
        let of_subjects = (0..ratings.subjects()).map(|subject| ratings.means_of_subject(subject)).collect();
        let mut of_items = vec![(0.0, 0); ratings.items()];
        for rating in ratings.all() {
            of_items[rating.item].0 += rating.score;
            of_items[rating.item].1 += 1;
        }
        Self { of_subjects, of_items, own: Vec::new(), all: Vec::new() }
    }

    fn correlation(&mut self, subject: usize) -> Option<f64> {
        self.own.clear();
        self.all.clear();
        for &(item, mean) in &self.of_subjects[subject] {
            let (sum, n) = self.of_items[item];
            if n > 0 {
                self.own.push(mean);
                self.all.push(sum / n as f64);
            }
        }
        stats::plcc(&self.own, &self.all)
    }

    /// Takes a subject's votes out of the items; gives whose correlation that changes.
    fn leave_out(&mut self, ratings: &Ratings, subject: usize) -> Vec<usize> {
        for rating in ratings.of_subject(subject) {
            self.of_items[rating.item].0 -= rating.score;
            self.of_items[rating.item].1 -= 1;
        }
        let items = self.of_subjects[subject].iter();
        let mut touched: Vec<usize> =
            items.flat_map(|vote| ratings.of_item(vote.0)).map(|r| r.subject).collect();
        touched.sort_unstable();
        touched.dedup();
        touched
    }
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
