//! How good a model is on labelled images.

use std::collections::BTreeMap;
use std::path::Path;

use qponder_shared::DistortionKind;
use qponder_shared::api::{Mode, Sampling};
use qponder_shared::manifest::Split;
use qponder_shared::stats::{self, Logistic};
use serde::{Deserialize, Serialize};

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

/// One image's score, for comparing models image by image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scored {
    pub mode: Mode,
    /// The manifest row's id.
    pub id: String,
    pub reference: String,
    pub label: f64,
    /// `None` is a parse failure.
    pub score: Option<f64>,
    /// What the model wrote.
    pub text: String,
}

/// The second model's statistic less the first's, on the same images.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    pub mode: Mode,
    /// Images that both gave a score for.
    pub images: usize,
    /// Images that only one of the files has.
    pub unmatched: usize,
    /// Paired bootstrap over reference photographs.
    pub srcc: Option<Estimate>,
    pub plcc: Option<Estimate>,
    pub rmse: Option<Estimate>,
}

/// Why two files of scores cannot be compared.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum CompareError {
    #[error("{id}: the files disagree on its label, {first} and {second}; they are of different datasets")]
    Labels { id: String, first: f64, second: f64 },
    #[error("the files have no image in common")]
    Disjoint,
}

/// Compares two models' scores, mode by mode.
///
/// # Errors
/// When the files are not of the same images.
pub fn compare(first: &[Scored], second: &[Scored]) -> Result<Vec<Comparison>, CompareError> {
    let mut comparisons = Vec::new();
    for mode in [Mode::Quick, Mode::Reason] {
        let of = |rows: &'_ [Scored]| -> BTreeMap<String, Scored> {
            rows.iter().filter(|r| r.mode == mode).map(|r| (r.id.clone(), r.clone())).collect()
        };
        let (first, second) = (of(first), of(second));
        let mut pairs = Vec::new();
        for (id, a) in &first {
            let Some(b) = second.get(id) else { continue };
            if a.label != b.label {
                return Err(CompareError::Labels { id: id.clone(), first: a.label, second: b.label });
            }
            pairs.push((a, b));
        }
        if pairs.is_empty() {
            continue;
        }
        let unmatched = first.len() + second.len() - 2 * pairs.len();
        let scored: Vec<(f64, f64, f64, &str)> = pairs
            .iter()
            .filter_map(|(a, b)| Some((a.score?, b.score?, a.label, a.reference.as_str())))
            .collect();
        let groups = groups_of(scored.iter().map(|row| row.3));
        let estimate = |statistic: fn(&[f64], &[f64]) -> Option<f64>| {
            let of = |chosen: &[usize]| {
                let column = |pick: fn(&(f64, f64, f64, &str)) -> f64| -> Vec<f64> {
                    chosen.iter().map(|&i| pick(&scored[i])).collect()
                };
                let labels = column(|row| row.2);
                Some(statistic(&column(|row| row.1), &labels)? - statistic(&column(|row| row.0), &labels)?)
            };
            let (low, high) = stats::bootstrap_interval(&groups, RESAMPLES, 0, of)?;
            let all: Vec<usize> = (0..scored.len()).collect();
            Some(Estimate { value: of(&all)?, low, high })
        };
        comparisons.push(Comparison {
            mode,
            images: scored.len(),
            unmatched,
            srcc: estimate(stats::srcc),
            plcc: estimate(stats::plcc),
            rmse: estimate(stats::rmse),
        });
    }
    if comparisons.is_empty() { Err(CompareError::Disjoint) } else { Ok(comparisons) }
}

/// Numbers for names, equal for equal ones.
fn groups_of<'a>(names: impl Iterator<Item = &'a str> + Clone) -> Vec<usize> {
    let mut known: Vec<&str> = names.clone().collect();
    known.sort_unstable();
    known.dedup();
    names.map(|name| known.binary_search(&name).unwrap_or(0)).collect()
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

/// Assesses every item and compares with its label; also gives every score. `progress` gets the number
/// done.
///
/// # Errors
/// When an image cannot be read or the model fails on it.
pub fn evaluate(
    assessor: &Assessor,
    items: &[Item],
    mode: Mode,
    progress: &mut dyn FnMut(usize),
) -> Result<(ModeReport, Vec<Scored>), TrainError> {
    let mut answers: Vec<Answer> = Vec::with_capacity(items.len());
    for batch in items.chunks(BATCH) {
        let sampling = Sampling { max_new_tokens: LONGEST, ..Sampling::default() };
        let requests = batch
            .iter()
            .map(|item| Ok(Request { image: item.image()?, mode, sampling, wording: None }))
            .collect::<Result<Vec<_>, TrainError>>()?;
        let mut results: Vec<Result<Answer, String>> = vec![Err("it gave no answer".into()); batch.len()];
        assessor.answer(&requests, &mut |index, event| {
            match event {
                Event::Text(_) => {}
                Event::Done(answer) => results[index] = Ok(answer),
                Event::Refused(reason) | Event::Failed(reason) => results[index] = Err(reason),
            }
            Flow::Continue
        });
        for (item, result) in batch.iter().zip(results) {
            answers.push(result.map_err(|reason| TrainError::Image { path: item.path.clone(), reason })?);
        }
        progress(answers.len());
    }
    let scored = items.iter().zip(&answers).map(|(item, answer)| Scored {
        mode,
        id: item.row.id.clone(),
        reference: item.row.reference.clone(),
        label: item.row.label.value(),
        score: answer.score.map(|score| score.get()),
        text: answer.text.clone(),
    });
    Ok((report(mode, items, &answers), scored.collect()))
}

fn report(mode: Mode, items: &[Item], answers: &[Answer]) -> ModeReport {
    let readable: Vec<usize> = (0..items.len()).filter(|&i| answers[i].score.is_some()).collect();
    let scores: Vec<f64> = readable.iter().filter_map(|&i| answers[i].score).map(|s| s.get()).collect();
    let labels: Vec<f64> = readable.iter().map(|&i| items[i].row.label.value()).collect();
    let groups = groups_of(readable.iter().map(|&i| items[i].row.reference.as_str()));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn scored(id: usize, score: Option<f64>) -> Scored {
        let label = 1.0 + id as f64 / 10.0;
        let (id, reference) = (id.to_string(), (id / 2).to_string());
        Scored { mode: Mode::Quick, id, reference, label, score, text: String::new() }
    }

    #[test]
    fn a_comparison_pairs_images_and_gives_the_difference() {
        let noise = |id: usize| ((id * 37) % 11) as f64 / 4.0;
        let first: Vec<Scored> = (0..40).map(|id| scored(id, Some(noise(id)))).collect();
        let mut second: Vec<Scored> = (0..40).map(|id| scored(id, Some(1.0 + id as f64 / 10.0))).collect();
        second[3].score = None;
        second.push(scored(40, Some(2.0)));
        let found = compare(&first, &second).expect("the same images");
        assert_eq!((found.len(), found[0].images, found[0].unmatched), (1, 39, 1));
        let srcc = found[0].srcc.expect("spread");
        assert!(srcc.low > 0.3 && srcc.low < srcc.value && srcc.value < srcc.high, "{srcc:?}");
        let same = compare(&first, &first).expect("the same images");
        assert_eq!(same[0].rmse, Some(Estimate { value: 0.0, low: 0.0, high: 0.0 }));

        second[0].label = 4.0;
        let labels = CompareError::Labels { id: "0".into(), first: 1.0, second: 4.0 };
        assert_eq!(compare(&first, &second), Err(labels));
        assert_eq!(compare(&first, &[]), Err(CompareError::Disjoint));
    }
}
