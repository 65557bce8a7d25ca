//! What another reasoning does to the scores.

use qponder_shared::stats;
use serde::Serialize;

use super::super::Estimate;

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
pub(super) struct Trial {
    pub(super) own: f64,
    pub(super) donor: f64,
    pub(super) score: Option<f64>,
}

impl Effect {
    pub(super) fn of(groups: &[usize], trials: &[Trial]) -> Self {
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
