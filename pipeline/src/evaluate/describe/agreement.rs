//! Whether the reasoning gives each attribute the level that a teacher gives it.

use std::collections::BTreeMap;

use qponder_shared::{Attribute, Level, Score, grammar, stats};
use serde::Serialize;

use super::super::{Case, Scored};
use crate::teacher;

/// Two judges' levels of one attribute, or of all.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Agreement {
    /// Levels that both gave.
    pub pairs: usize,
    /// Share of equal ones.
    pub exact: f64,
    /// Share at most one level apart.
    pub within_one: f64,
    /// Cohen's κ with quadratic weights.
    pub kappa: Option<f64>,
}

impl Agreement {
    fn of(pairs: &[(Level, Level)]) -> Option<Self> {
        let indices: Vec<(usize, usize)> = pairs.iter().map(|&(a, b)| (a as usize, b as usize)).collect();
        let share = |apart: usize| {
            indices.iter().filter(|(a, b)| a.abs_diff(*b) <= apart).count() as f64 / indices.len() as f64
        };
        (!pairs.is_empty()).then(|| Self {
            pairs: pairs.len(),
            exact: share(0),
            within_one: share(1),
            kappa: stats::quadratic_kappa(&indices, Level::ALL.len()),
        })
    }
}

/// Agreement with the reference text: the row's own, or the rule-based teacher's where the distortions are known.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AttributeAgreement {
    /// Images with a reference text.
    pub images: usize,
    /// Of these, texts of the rule-based teacher.
    pub rule_based: usize,
    /// Levels that the reference gives and the model does not.
    pub missing: usize,
    /// Of all attributes together.
    pub overall: Option<Agreement>,
    pub attributes: BTreeMap<Attribute, Agreement>,
}

impl AttributeAgreement {
    pub(super) fn of(cases: &[Case], scored: &[Scored]) -> Option<Self> {
        let (mut images, mut rule_based, mut missing) = (0, 0, 0);
        let mut pairs: BTreeMap<Attribute, Vec<(Level, Level)>> = BTreeMap::new();
        for (case, row) in cases.iter().zip(scored) {
            let Some((text, is_rule_based)) = reference_text(case) else { continue };
            images += 1;
            rule_based += usize::from(is_rule_based);
            let found = grammar::parse(&row.text);
            for observation in grammar::parse(&text).attributes {
                let Some(level) = observation.level else { continue };
                let same = found.attributes.iter().find(|other| other.attribute == observation.attribute);
                match same.and_then(|other| other.level) {
                    Some(other) => pairs.entry(observation.attribute).or_default().push((level, other)),
                    None => missing += 1,
                }
            }
        }
        let all: Vec<(Level, Level)> = pairs.values().flatten().copied().collect();
        let of_attribute = |(&attribute, pairs): (&Attribute, &Vec<(Level, Level)>)| {
            Agreement::of(pairs).map(|agreement| (attribute, agreement))
        };
        (images > 0).then(|| Self {
            images,
            rule_based,
            missing,
            overall: Agreement::of(&all),
            attributes: pairs.iter().filter_map(of_attribute).collect(),
        })
    }
}

/// What a teacher says of the image, and whether that is the rule-based one.
fn reference_text(case: &Case) -> Option<(String, bool)> {
    let row = &case.item.row;
    if let Some(answer) = &row.answer {
        return Some((answer.clone(), false));
    }
    let score = Score::clamped(row.label.value())?;
    // The seed varies words only, never levels.
    row.distortions_known().then(|| (teacher::write(&row.distortions, score, 0), true))
}

#[cfg(test)]
mod tests {
    use qponder_shared::{Distortion, DistortionKind, Severity};

    use super::super::fixture::{case, said};
    use super::*;

    #[test]
    fn levels_are_compared_attribute_by_attribute() {
        let blur = [Distortion { kind: DistortionKind::GaussianBlur, level: Severity::ALL[2] }];
        let (first, right) = case(0, 2.0, &blur, &said(&blur, 2.0));
        let (mut second, near) = case(1, 2.0, &blur, &said(&blur, 3.0));
        // A teacher's own text counts before the rules; it judges noise alone.
        second.item.row.answer = Some("<think>\nnoise: clean (excellent)\n</think>".into());
        let (third, silent) = case(2, 5.0, &[], "");
        let found = AttributeAgreement::of(&[first, second, third], &[right, near, silent]).expect("texts");
        assert_eq!((found.images, found.rule_based, found.missing), (3, 2, 6));
        assert_eq!(found.overall.expect("pairs").pairs, 7);
        let (first, off) = case(0, 2.0, &blur, &said(&blur, 3.0));
        let found = AttributeAgreement::of(&[first], &[off]).expect("texts");
        let sharpness = found.attributes[&Attribute::Sharpness];
        assert_eq!((sharpness.exact, sharpness.within_one), (0.0, 1.0));
        assert_eq!(found.attributes[&Attribute::Noise].exact, 1.0);
    }
}
