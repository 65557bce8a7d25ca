//! Screening of subjects by Recommendation ITU-R BT.500-14, as SUREAL implements it
//! (`SubjectiveModel._get_opinion_score_3darray_with_preprocessing`).
//!
//! Two differences from SUREAL. It divides by items times the most repeats of any vote, whether votes are
//! missing or not, so that skipping votes hides a careless subject; here N is the subject's own number of
//! votes. In a complete study the two are equal. And an item on which all agree counts for nobody; SUREAL
//! counts every vote on it as both high and low.

use serde::{Deserialize, Serialize};

use super::Ratings;

/// What BT.500 says of one subject.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Bt500 {
    /// P: votes at or above the upper limit of their item.
    pub above: usize,
    /// Q: votes at or below the lower limit of their item.
    pub below: usize,
    /// N: the subject's votes.
    pub n: usize,
    /// (P + Q) / N; none without a vote. Above 0.05 it speaks for rejection.
    pub outlying: Option<f64>,
    /// |P − Q| / (P + Q); none where no vote is outside. Below 0.3 it speaks for rejection: whoever errs to
    /// both sides is careless, whoever errs to one is only strict or mild.
    pub one_sided: Option<f64>,
    /// Whether both ratios speak for rejection (and not so for every subject of the study).
    pub rejected: bool,
    /// Why, for people.
    pub reason: String,
}

const MOST_OUTLYING: f64 = 0.05;
const LEAST_ONE_SIDED: f64 = 0.3;

/// The verdict on every subject. Where the rule would reject all, it rejects nobody.
#[must_use]
pub fn screen(ratings: &Ratings) -> Vec<Bt500> {
    let mut outside = vec![(0_usize, 0_usize); ratings.subjects()];
    for item in 0..ratings.items() {
        let Some((low, high)) = limits(ratings, item) else { continue };
        for rating in ratings.of_item(item) {
            outside[rating.subject].0 += usize::from(rating.score >= high);
            outside[rating.subject].1 += usize::from(rating.score <= low);
        }
    }
    let mut verdicts: Vec<Bt500> = outside
        .iter()
        .enumerate()
        .map(|(subject, &(p, q))| verdict(p, q, ratings.of_subject(subject).len()))
        .collect();
    if verdicts.iter().all(|verdict| verdict.rejected || verdict.n == 0) {
        for verdict in verdicts.iter_mut().filter(|verdict| verdict.rejected) {
            verdict.rejected = false;
            verdict.reason += "; but the rule would reject everybody, so it rejects nobody";
        }
    }
    verdicts
}

/// The lower and upper limit of an item's votes: 2σ from the mean where the kurtosis is that of a normal
/// distribution or near it (2 to 4), else √20·σ. `None` where all agree.
fn limits(ratings: &Ratings, item: usize) -> Option<(f64, f64)> {
    let scores = ratings.of_item(item).map(|rating| rating.score);
    let first = scores.clone().next()?;
    if scores.clone().all(|score| score == first) {
        return None;
    }
    let n = scores.len() as f64;
    let mean = scores.clone().sum::<f64>() / n;
    let moment = |power| scores.clone().map(|score| (score - mean).powi(power)).sum::<f64>() / n;
    let variance = moment(2);
    let kurtosis = moment(4) / (variance * variance);
    let factor = if (2.0..=4.0).contains(&kurtosis) { 2.0 } else { 20_f64.sqrt() };
    Some((mean - factor * variance.sqrt(), mean + factor * variance.sqrt()))
}

fn verdict(above: usize, below: usize, n: usize) -> Bt500 {
    let both = above + below;
    let outlying = (n > 0).then(|| both as f64 / n as f64);
    let one_sided = (both > 0).then(|| above.abs_diff(below) as f64 / both as f64);
    let often = outlying.is_some_and(|share| share > MOST_OUTLYING);
    let balanced = one_sided.is_some_and(|share| share < LEAST_ONE_SIDED);
    let counts =
        format!("{both} of {n} votes lie outside their items' limits ({above} above, {below} below)");
    let reason = match (often, balanced) {
        _ if n == 0 => "no votes".to_owned(),
        (true, true) => format!("{counts}: more than 5 %, and to both sides, as careless votes do"),
        (true, false) => format!("{counts}: more than 5 %, but to one side, as strict or mild votes do"),
        (false, _) => format!("{counts}: no more than 5 %"),
    };
    Bt500 { above, below, n, outlying, one_sided, rejected: often && balanced, reason }
}
