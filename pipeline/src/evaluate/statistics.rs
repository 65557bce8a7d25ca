//! How well scores agree with labels.

use std::collections::BTreeSet;

use qponder_shared::stats::{self, Logistic};
use serde::Serialize;

use super::estimate::groups;
use super::{Estimate, Scored};

/// Whose labels the logistic was fitted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FittedOn {
    /// The very labels that are then compared with, as most papers do: it flatters.
    TheseLabels,
    /// The validation split of the same manifests.
    ValidationSplit,
}

impl FittedOn {
    /// What tables call it.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            FittedOn::TheseLabels => "fitted on these labels",
            FittedOn::ValidationSplit => "fitted on the validation split",
        }
    }
}

/// Agreement after scores went through a 4-parameter logistic. The intervals hold the logistic fixed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Fitted {
    pub on: FittedOn,
    pub logistic: Logistic,
    pub plcc: Option<Estimate>,
    /// In points of the 1 to 5 scale.
    pub rmse: Option<Estimate>,
}

/// How well the scores of some images agree with their labels.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Statistics {
    /// Images assessed.
    pub images: usize,
    /// Reference photographs that they were made from.
    pub references: usize,
    /// Answers without a readable score; they are in no statistic of the score.
    pub parse_failures: usize,
    pub srcc: Option<Estimate>,
    /// Raw, without any fit.
    pub plcc: Option<Estimate>,
    /// Kendall's τ-b.
    pub krcc: Option<Estimate>,
    /// In points of the 1 to 5 scale, raw.
    pub rmse: Option<Estimate>,
    /// `None` where no fit was asked for or none exists.
    pub fitted: Option<Fitted>,
}

/// Which logistic is asked for.
#[derive(Clone, Copy)]
pub(super) enum Fit<'a> {
    None,
    OnThese,
    OnValidation(&'a [&'a Scored]),
}

impl Statistics {
    pub(super) fn of(scored: &[&Scored], fit: Fit<'_>) -> Self {
        let reference = |row: &'_ &Scored| (row.dataset.clone(), row.reference.clone());
        let readable: Vec<&Scored> = scored.iter().copied().filter(|row| row.score.is_some()).collect();
        let groups = groups(readable.iter().map(|row| (row.dataset.as_str(), row.reference.as_str())));
        let (scores, labels) = columns(&readable);
        let estimate = |scores: &[f64], statistic: fn(&[f64], &[f64]) -> Option<f64>| {
            Estimate::paired(&groups, scores, &labels, statistic)
        };
        let logistic = match fit {
            Fit::None => None,
            Fit::OnThese => Some((FittedOn::TheseLabels, Logistic::fit(&scores, &labels))),
            Fit::OnValidation(rows) => {
                let (scores, labels) = columns(rows);
                Some((FittedOn::ValidationSplit, Logistic::fit(&scores, &labels)))
            }
        };
        let fitted = logistic.and_then(|(on, logistic)| {
            let logistic = logistic?;
            let mapped: Vec<f64> = scores.iter().map(|&score| logistic.at(score)).collect();
            let (plcc, rmse) = (estimate(&mapped, stats::plcc), estimate(&mapped, stats::rmse));
            Some(Fitted { on, logistic, plcc, rmse })
        });
        Self {
            images: scored.len(),
            references: scored.iter().map(reference).collect::<BTreeSet<_>>().len(),
            parse_failures: scored.len() - readable.len(),
            srcc: estimate(&scores, stats::srcc),
            plcc: estimate(&scores, stats::plcc),
            krcc: estimate(&scores, stats::krcc),
            rmse: estimate(&scores, stats::rmse),
            fitted,
        }
    }
}

/// Readable scores and their labels.
fn columns(scored: &[&Scored]) -> (Vec<f64>, Vec<f64>) {
    scored.iter().filter_map(|row| Some((row.score?, row.label))).unzip()
}

#[cfg(test)]
mod tests {
    use qponder_shared::api::Mode;

    use super::*;

    fn rows(scores: &[(Option<f64>, f64, &str)]) -> Vec<Scored> {
        let row = |(id, &(score, label, reference)): (usize, &(Option<f64>, f64, &str))| Scored {
            mode: Mode::Quick,
            dataset: "set".into(),
            id: id.to_string(),
            reference: reference.into(),
            label,
            score,
            text: String::new(),
        };
        scores.iter().enumerate().map(row).collect()
    }

    fn of(scores: &[(Option<f64>, f64, &str)], fit: Fit<'_>) -> Statistics {
        let rows = rows(scores);
        Statistics::of(&rows.iter().collect::<Vec<_>>(), fit)
    }

    #[test]
    fn parse_failures_are_counted_and_in_no_statistic() {
        let found = of(
            &[(Some(1.0), 1.0, "a"), (None, 5.0, "b"), (Some(2.0), 2.0, "b"), (Some(4.0), 4.0, "c")],
            Fit::OnThese,
        );
        assert_eq!((found.images, found.references, found.parse_failures), (4, 3, 1));
        assert!((found.srcc.expect("spread").value - 1.0).abs() < 1e-9);
        assert_eq!(found.rmse.map(|rmse| rmse.value), Some(0.0));
        assert_eq!(found.fitted, None, "three points have no logistic");
    }

    #[test]
    fn what_cannot_be_known_is_none_and_never_a_guess() {
        for few in [&[][..], &[(Some(2.0), 3.0, "a")], &[(Some(2.0), 3.0, "a"), (Some(2.0), 1.0, "b")]] {
            let found = of(few, Fit::OnThese);
            assert_eq!((found.srcc, found.plcc, found.krcc), (None, None, None), "{few:?}");
        }
        let one = of(&[(Some(1.0), 1.5, "a"), (Some(2.0), 2.0, "a"), (Some(4.0), 3.0, "a")], Fit::None);
        let srcc = one.srcc.expect("spread");
        assert!((srcc.value - 1.0).abs() < 1e-9 && srcc.interval.is_none(), "one reference: {srcc:?}");
    }

    #[test]
    fn the_logistic_is_that_of_the_labels_that_were_asked_for() {
        let line = |offset: f64| -> Vec<(Option<f64>, f64, &'static str)> {
            let score = |i: usize| 1.0 + i as f64 * 0.4;
            (0..10).map(|i| (Some(score(i)), score(i) + offset, if i % 2 == 0 { "a" } else { "b" })).collect()
        };
        let own = of(&line(0.3), Fit::OnThese).fitted.expect("a fit");
        assert!(own.rmse.expect("points").value < 0.1, "{own:?}");
        let validation = rows(&line(0.0));
        let validation: Vec<&Scored> = validation.iter().collect();
        let other = of(&line(0.3), Fit::OnValidation(&validation)).fitted.expect("a fit");
        assert_eq!(other.on, FittedOn::ValidationSplit);
        assert!(other.rmse.expect("points").value > 0.2, "{other:?}");
    }
}
