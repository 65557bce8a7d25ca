//! What a judge behind an endpoint says of a step's answers, as a reward.
//!
//! The term of an answer is its mean grade as a share of the best. An answer without a verdict, because a call
//! failed or what came cannot be read, gets its group's mean in the reward, so that it is neither better nor worse
//! for it; it is counted, and in no figure that is shown.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use qponder_kernels::pixels::{RgbImage, encode_png};
use qponder_shared::manifest::Row;

use super::policy::mean_and_deviation;
use crate::calls::CallsError;
use crate::endpoint::Picture;
use crate::judge::{Finding, Judge, Subject, known};
use crate::train::TrainError;
use crate::train::data::Item;

/// An image as the policy saw it, and what it wrote.
pub struct Shown<'a> {
    pub row: &'a Row,
    pub picture: Arc<Picture>,
    pub texts: &'a [String],
}

/// The picture that a judge is shown: the file as it is, or its mirror image as a PNG.
///
/// # Errors
/// When the file cannot be read, or is too large.
pub fn picture(item: &Item, turned: Option<&RgbImage>) -> Result<Arc<Picture>, TrainError> {
    let failed = |reason: String| TrainError::Image { path: item.path.clone(), reason };
    let bytes = match turned {
        None => std::fs::read(&item.path).map_err(|error| failed(error.to_string()))?,
        Some(image) => encode_png(image).map_err(|error| failed(error.to_string()))?,
    };
    let unfit = |error| failed(format!("it cannot be shown to the judge: {error}"));
    Picture::new(bytes).map(Arc::new).map_err(unfit)
}

/// The verdicts on the answers of a step.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdicts {
    /// The mean grade of each answer as a share of the best; `None` without a verdict.
    shares: Vec<Option<f64>>,
    /// Answers whose verdict cannot be read.
    unreadable: usize,
}

impl Verdicts {
    /// Has every answer judged; equal answers to one image are judged once.
    ///
    /// # Errors
    /// When it was stopped, or when the judge is of no use: it takes no calls, or has no verdict on any answer.
    pub fn ask(
        judge: &mut Judge,
        step: usize,
        shown: &[Shown<'_>],
        stop: &AtomicBool,
    ) -> Result<Self, TrainError> {
        let told: Vec<String> = shown.iter().map(|shown| known(shown.row)).collect();
        let mut distinct: Vec<(usize, &String)> = Vec::new();
        let mut places = HashMap::new();
        let mut asked = Vec::new();
        for (index, shown) in shown.iter().enumerate() {
            for text in shown.texts {
                let place = *places.entry((index, text)).or_insert_with(|| {
                    distinct.push((index, text));
                    distinct.len() - 1
                });
                asked.push(place);
            }
        }
        let subject = |place: usize| {
            let (index, answer) = distinct[place];
            let (id, picture) = (format!("{step}/{place}"), shown[index].picture.clone());
            Ok(Subject { id, picture, known: &told[index], answer })
        };
        let judged = judge.judge(distinct.len(), &subject, stop, &mut |_| {});
        match &judged.ended {
            Some(CallsError::Stopped { .. }) => return Err(TrainError::Stopped { step }),
            Some(error) => return Err(TrainError::Judge { step, reason: error.to_string() }),
            None => {}
        }
        if judged.findings.iter().all(|finding| finding.verdict().is_none()) {
            return Err(TrainError::Judge { step, reason: judged.example() });
        }
        let findings: Vec<&Finding> = asked.iter().map(|&place| &judged.findings[place]).collect();
        let is_unreadable = |finding: &&&Finding| matches!(finding, Finding::Unreadable(_));
        Ok(Self {
            shares: findings.iter().map(|finding| finding.verdict().map(|verdict| verdict.share())).collect(),
            unreadable: findings.iter().filter(is_unreadable).count(),
        })
    }

    /// The term of an answer; `None` without a verdict.
    #[must_use]
    pub fn share(&self, answer: usize) -> Option<f64> {
        self.shares.get(answer).copied().flatten()
    }

    /// The term of every answer in the reward, where groups are of `group` answers each. In a group without any
    /// verdict it is the step's mean, which is the same for all of the group.
    #[must_use]
    pub fn terms(&self, group: usize) -> Vec<f64> {
        let mean = |shares: &[Option<f64>]| {
            let there: Vec<f64> = shares.iter().copied().flatten().collect();
            (!there.is_empty()).then(|| there.iter().sum::<f64>() / there.len() as f64)
        };
        let whole = mean(&self.shares).unwrap_or_default();
        let groups = self.shares.chunks(group.max(1)).flat_map(|shares| {
            let mean = mean(shares).unwrap_or(whole);
            shares.iter().map(move |share| share.unwrap_or(mean))
        });
        groups.collect()
    }

    /// The metrics: of the verdicts that came, and how many did not.
    pub fn describe(&self, metrics: &mut BTreeMap<String, f64>) {
        let there: Vec<f64> = self.shares.iter().copied().flatten().collect();
        let (mean, deviation) = mean_and_deviation(&there);
        metrics.extend([
            ("rewards/judge/mean".to_owned(), mean),
            ("rewards/judge/std".to_owned(), deviation),
            ("judge/failures".to_owned(), (self.shares.len() - there.len()) as f64),
            ("judge/unreadable".to_owned(), self.unreadable as f64),
        ]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_without_a_verdict_get_their_groups_mean_and_are_in_no_figure() {
        let shares = vec![Some(0.2), None, Some(0.6), Some(0.5), Some(0.5), Some(0.5), None, None, None];
        let verdicts = Verdicts { shares, unreadable: 1 };
        let terms = verdicts.terms(3);
        let expected = [0.2, 0.4, 0.6, 0.5, 0.5, 0.5, 0.46, 0.46, 0.46];
        assert!(terms.iter().zip(expected).all(|(term, right)| (term - right).abs() < 1e-12), "{terms:?}");
        assert_eq!((verdicts.share(0), verdicts.share(1), verdicts.share(99)), (Some(0.2), None, None));
        let mut metrics = BTreeMap::new();
        verdicts.describe(&mut metrics);
        assert!((metrics["rewards/judge/mean"] - 0.46).abs() < 1e-12);
        assert_eq!((metrics["judge/failures"], metrics["judge/unreadable"]), (4.0, 1.0));
    }
}
