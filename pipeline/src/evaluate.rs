//! How good a model is on labelled images.

use std::collections::BTreeMap;
use std::path::Path;

use qponder_shared::DistortionKind;
use qponder_shared::api::{Mode, Sampling};
use qponder_shared::manifest::Split;
use qponder_shared::stats::{self, Logistic};
use serde::Serialize;

use crate::assess::{Answer, Assessor, Event, Flow, Request};
use crate::teacher;
use crate::train::TrainError;
use crate::train::data::{Item, read_manifests, spread};

/// Resamples of the bootstrap.
const RESAMPLES: usize = 1000;
/// Images that are assessed together.
const BATCH: usize = 16;
/// Answers longer than this are cut off and count as they stand.
const LONGEST: usize = 256;

/// A statistic with its 95 % bootstrap interval over reference photographs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

/// What was measured of one mode.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModeReport {
    pub mode: Mode,
    /// Images assessed.
    pub images: usize,
    /// Answers without a readable score; they are in no statistic of the score.
    pub parse_failures: usize,
    pub srcc: Option<Estimate>,
    /// Raw, without any fit.
    pub plcc: Option<Estimate>,
    pub krcc: Option<f64>,
    pub rmse: Option<f64>,
    /// After the 4-parameter logistic, fitted on these very labels.
    pub plcc_fitted: Option<f64>,
    /// After the 4-parameter logistic, fitted on these very labels.
    pub rmse_fitted: Option<f64>,
    /// SRCC by distortion, where it exists.
    pub srcc_by_distortion: BTreeMap<&'static str, f64>,
    /// In reasoning mode, of the images with a known distortion.
    pub description: Option<DescriptionReport>,
}

/// How well the reasoning names what was done to the image.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct DescriptionReport {
    /// Images with one known distortion.
    pub images: usize,
    /// Share where the distortion was named.
    pub kind: f64,
    /// Share where one of its group was named.
    pub group: f64,
    /// Share where the severity was named exactly.
    pub severity: f64,
}

/// The rows of some manifests that a model is judged on: at most `limit`, spread evenly.
///
/// # Errors
/// When a manifest cannot be read or has no row of the split.
pub fn items<P: AsRef<Path>>(
    manifests: &[P],
    split: Split,
    limit: Option<usize>,
) -> Result<Vec<Item>, TrainError> {
    let all = read_manifests(manifests, split)?;
    if all.is_empty() {
        return Err(TrainError::NoRows { split: split.name() });
    }
    Ok(spread(&all, limit.unwrap_or(all.len())))
}

/// Assesses every item and compares with its label; `progress` gets the number done.
///
/// # Errors
/// When an image cannot be read or the model fails on it.
pub fn evaluate(
    assessor: &Assessor,
    items: &[Item],
    mode: Mode,
    progress: &mut dyn FnMut(usize),
) -> Result<ModeReport, TrainError> {
    let mut answers: Vec<Answer> = Vec::with_capacity(items.len());
    for batch in items.chunks(BATCH) {
        let sampling = Sampling { max_new_tokens: LONGEST, ..Sampling::default() };
        let requests = batch
            .iter()
            .map(|item| Ok(Request { image: item.image()?, mode, sampling }))
            .collect::<Result<Vec<_>, TrainError>>()?;
        let mut results: Vec<Result<Answer, String>> = vec![Err("it gave no answer".into()); batch.len()];
        assessor.answer(&requests, &mut |index, event| {
            match event {
                Event::Text(_) => {}
                Event::Done(answer) => results[index] = Ok(answer),
                Event::Failed(reason) => results[index] = Err(reason),
            }
            Flow::Continue
        });
        for (item, result) in batch.iter().zip(results) {
            answers.push(result.map_err(|reason| TrainError::Image { path: item.path.clone(), reason })?);
        }
        progress(answers.len());
    }
    Ok(report(mode, items, &answers))
}

fn report(mode: Mode, items: &[Item], answers: &[Answer]) -> ModeReport {
    let readable: Vec<usize> = (0..items.len()).filter(|&i| answers[i].score.is_some()).collect();
    let scores: Vec<f64> = readable.iter().filter_map(|&i| answers[i].score).map(|s| s.get()).collect();
    let labels: Vec<f64> = readable.iter().map(|&i| items[i].row.label.value()).collect();
    let mut references: Vec<&str> = items.iter().map(|item| item.row.reference.as_str()).collect();
    references.sort_unstable();
    references.dedup();
    let group_of = |i: usize| references.binary_search(&items[i].row.reference.as_str()).unwrap_or(0);
    let groups: Vec<usize> = readable.iter().map(|&i| group_of(i)).collect();
    let estimate = |statistic: fn(&[f64], &[f64]) -> Option<f64>| {
        let of = |chosen: &[usize]| {
            let (x, y): (Vec<f64>, Vec<f64>) = chosen.iter().map(|&i| (scores[i], labels[i])).unzip();
            statistic(&x, &y)
        };
        let (low, high) = stats::bootstrap_interval(&groups, RESAMPLES, 0, of)?;
        Some(Estimate { value: statistic(&scores, &labels)?, low, high })
    };
    let by_distortion = DistortionKind::ALL.into_iter().filter_map(|kind| {
        let of_kind =
            |&&at: &&usize| items[readable[at]].row.distortions.first().is_some_and(|d| d.kind == kind);
        let positions: Vec<usize> = (0..readable.len()).collect();
        let (x, y): (Vec<f64>, Vec<f64>) =
            positions.iter().filter(of_kind).map(|&at| (scores[at], labels[at])).unzip();
        Some((kind.name(), stats::srcc(&x, &y)?))
    });
    let fitted: Option<Vec<f64>> =
        Logistic::fit(&scores, &labels).map(|fit| scores.iter().map(|&score| fit.at(score)).collect());
    ModeReport {
        mode,
        images: items.len(),
        parse_failures: items.len() - readable.len(),
        srcc: estimate(stats::srcc),
        plcc: estimate(stats::plcc),
        krcc: stats::krcc(&scores, &labels),
        rmse: stats::rmse(&scores, &labels),
        plcc_fitted: fitted.as_ref().and_then(|fitted| stats::plcc(fitted, &labels)),
        rmse_fitted: fitted.as_ref().and_then(|fitted| stats::rmse(fitted, &labels)),
        srcc_by_distortion: by_distortion.collect(),
        description: if mode == Mode::Reason { description(items, answers) } else { None },
    }
}

fn description(items: &[Item], answers: &[Answer]) -> Option<DescriptionReport> {
    let (mut images, mut kinds, mut groups, mut severities) = (0_usize, 0_usize, 0_usize, 0_usize);
    for (item, answer) in items.iter().zip(answers) {
        let [truth] = item.row.distortions.as_slice() else { continue };
        images += 1;
        let Some((kind, severity)) = teacher::named_distortion(&answer.text) else { continue };
        kinds += usize::from(kind == truth.kind);
        groups += usize::from(kind.group() == truth.kind.group());
        severities += usize::from(severity == Some(truth.level));
    }
    let share = |count: usize| count as f64 / images as f64;
    (images > 0).then(|| DescriptionReport {
        images,
        kind: share(kinds),
        group: share(groups),
        severity: share(severities),
    })
}
