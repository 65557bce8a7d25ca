//! How far two models agree, attribute by attribute and in their scores.

use serde::{Deserialize, Serialize};

use super::Levels;
use crate::{Attribute, stats};

/// How far two models agree on one attribute, over the images on which both judge it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AttributeAgreement {
    pub attribute: Attribute,
    pub n: usize,
    /// Share of equal levels.
    pub equal: Option<f64>,
    /// Share of levels that are equal or neighbours.
    pub within_one: Option<f64>,
    /// Mean of right less left, in levels.
    pub mean_difference: Option<f64>,
}

/// How far two series of scores agree.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ScoreAgreement {
    pub n: usize,
    pub srcc: Option<f64>,
    pub plcc: Option<f64>,
    /// In points, without any fit.
    pub rmse: Option<f64>,
    /// Mean of the second less the first.
    pub mean_difference: Option<f64>,
}

/// Agreement on each attribute, in the order of the grammar.
#[must_use]
pub fn by_attribute(pairs: &[(Levels, Levels)]) -> Vec<AttributeAgreement> {
    let of = |(at, attribute): (usize, Attribute)| {
        let both = pairs.iter().filter_map(|(left, right)| Some((left[at]?, right[at]?)));
        let differences: Vec<f64> = both.map(|(left, right)| right.value() - left.value()).collect();
        let share = |most: f64| mean(differences.iter().map(|d| f64::from(u8::from(d.abs() <= most))));
        AttributeAgreement {
            attribute,
            n: differences.len(),
            equal: share(0.0),
            within_one: share(1.0),
            mean_difference: mean(differences.iter().copied()),
        }
    };
    Attribute::ALL.into_iter().enumerate().map(of).collect()
}

/// Agreement of scores, as pairs.
#[must_use]
pub fn by_score(pairs: &[(f64, f64)]) -> ScoreAgreement {
    let (first, second): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
    ScoreAgreement {
        n: pairs.len(),
        srcc: stats::srcc(&first, &second),
        plcc: stats::plcc(&first, &second),
        rmse: stats::rmse(&first, &second),
        mean_difference: mean(pairs.iter().map(|(first, second)| second - first)),
    }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    (count > 0.0).then(|| sum / count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Level::{self, Bad, Fair, Good};

    fn sharpness(left: Option<Level>, right: Option<Level>) -> (Levels, Levels) {
        let of = |level| [level, None, None, None, None, None];
        (of(left), of(right))
    }

    #[test]
    fn only_images_that_both_judge_are_counted() {
        let pairs = [
            sharpness(Some(Good), Some(Good)),
            sharpness(Some(Good), Some(Fair)),
            sharpness(Some(Bad), Some(Good)),
            sharpness(Some(Bad), Some(Bad)),
            sharpness(None, Some(Bad)),
        ];
        let all = by_attribute(&pairs);
        let expected = AttributeAgreement {
            attribute: Attribute::Sharpness,
            n: 4,
            equal: Some(0.5),
            within_one: Some(0.75),
            mean_difference: Some(0.5),
        };
        assert_eq!((all.len(), all[0]), (6, expected));
        assert_eq!((all[1].n, all[1].equal, all[1].mean_difference), (0, None, None));
    }

    #[test]
    fn scores_agree_in_order_in_line_and_in_points() {
        let found = by_score(&[(1.0, 1.5), (2.0, 2.5), (3.0, 3.5)]);
        assert_eq!((found.n, found.mean_difference), (3, Some(0.5)));
        for (value, expected) in [(found.srcc, 1.0), (found.plcc, 1.0), (found.rmse, 0.5)] {
            assert!(value.is_some_and(|value| (value - expected).abs() < 1e-12), "{found:?}");
        }
        let none = by_score(&[]);
        assert_eq!((none.n, none.srcc, none.rmse, none.mean_difference), (0, None, None, None));
    }
}
