//! Two models on the same images.

use std::collections::BTreeMap;

use qponder_shared::api::Mode;
use qponder_shared::stats;
use serde::Serialize;

use super::estimate::groups;
use super::{Estimate, Scored};

/// The second model's statistic less the first's, on the same images.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    pub mode: Mode,
    /// Images that both gave a score for.
    pub images: usize,
    /// Images that only one of them was asked about.
    pub unmatched: usize,
    /// Answers without a readable score, of the first and of the second.
    pub parse_failures: [usize; 2],
    /// Paired bootstrap over reference photographs.
    pub srcc: Option<Estimate>,
    pub plcc: Option<Estimate>,
    pub krcc: Option<Estimate>,
    /// In points; below 0 the second is better.
    pub rmse: Option<Estimate>,
}

/// Why two models' scores cannot be compared.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum CompareError {
    #[error("{id}: they disagree on its label, {first} and {second}; they are of different datasets")]
    Labels { id: String, first: f64, second: f64 },
    #[error("they have no image in common")]
    Disjoint,
}

/// Compares two models' scores, mode by mode.
///
/// # Errors
/// When the scores are not of the same images.
pub fn compare(first: &[Scored], second: &[Scored]) -> Result<Vec<Comparison>, CompareError> {
    let mut comparisons = Vec::new();
    for mode in [Mode::Quick, Mode::Reason] {
        let (first, second) = (by_image(first, mode), by_image(second, mode));
        let mut pairs = Vec::new();
        for (image, &a) in &first {
            let Some(&b) = second.get(image) else { continue };
            if a.label != b.label {
                return Err(CompareError::Labels { id: a.id.clone(), first: a.label, second: b.label });
            }
            pairs.push((a, b));
        }
        if !pairs.is_empty() {
            let unmatched = first.len() + second.len() - 2 * pairs.len();
            comparisons.push(Comparison::of(mode, unmatched, &pairs));
        }
    }
    if comparisons.is_empty() { Err(CompareError::Disjoint) } else { Ok(comparisons) }
}

/// Scores of a mode by dataset and id.
fn by_image(rows: &[Scored], mode: Mode) -> BTreeMap<(&str, &str), &Scored> {
    let of_mode = rows.iter().filter(|row| row.mode == mode);
    of_mode.map(|row| ((row.dataset.as_str(), row.id.as_str()), row)).collect()
}

impl Comparison {
    fn of(mode: Mode, unmatched: usize, pairs: &[(&Scored, &Scored)]) -> Self {
        let failures = |pick: fn(&(&Scored, &Scored)) -> Option<f64>| {
            pairs.iter().filter(|pair| pick(pair).is_none()).count()
        };
        let scored: Vec<([f64; 3], &Scored)> =
            pairs.iter().filter_map(|(a, b)| Some(([a.score?, b.score?, a.label], *a))).collect();
        let groups = groups(scored.iter().map(|(_, row)| (row.dataset.as_str(), row.reference.as_str())));
        let estimate = |statistic: fn(&[f64], &[f64]) -> Option<f64>| {
            Estimate::of(&groups, |chosen| {
                let [first, second, labels] =
                    [0, 1, 2].map(|column| chosen.iter().map(|&i| scored[i].0[column]).collect::<Vec<f64>>());
                Some(statistic(&second, &labels)? - statistic(&first, &labels)?)
            })
        };
        Self {
            mode,
            images: scored.len(),
            unmatched,
            parse_failures: [failures(|pair| pair.0.score), failures(|pair| pair.1.score)],
            srcc: estimate(stats::srcc),
            plcc: estimate(stats::plcc),
            krcc: estimate(stats::krcc),
            rmse: estimate(stats::rmse),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Interval;
    use super::*;

    fn scored(id: usize, score: Option<f64>) -> Scored {
        let label = 1.0 + id as f64 / 10.0;
        let (id, reference) = (id.to_string(), (id / 2).to_string());
        let (dataset, text) = (String::new(), String::new());
        Scored { mode: Mode::Quick, dataset, id, reference, label, score, text }
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
        assert_eq!(found[0].parse_failures, [0, 1]);
        let srcc = found[0].srcc.expect("spread");
        let Interval { low, high } = srcc.interval.expect("many references");
        assert!(low > 0.3 && low < srcc.value && srcc.value < high, "{srcc:?}");
        let same = compare(&first, &first).expect("the same images");
        let nothing = Estimate { value: 0.0, interval: Some(Interval { low: 0.0, high: 0.0 }) };
        assert_eq!(same[0].rmse, Some(nothing));

        second[0].label = 4.0;
        let labels = CompareError::Labels { id: "0".into(), first: 1.0, second: 4.0 };
        assert_eq!(compare(&first, &second), Err(labels));
        assert_eq!(compare(&first, &[]), Err(CompareError::Disjoint));
    }
}
