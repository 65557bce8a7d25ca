//! How well the reasoning describes the image: what it names, which levels it gives, and whether they support
//! the score.

mod agreement;
mod naming;
mod support;

use serde::Serialize;

pub use agreement::{Agreement, AttributeAgreement};
pub use naming::{Confusion, Named, Naming};
pub use support::Support;

use super::estimate::groups;
use super::{Case, Consistency, Scored};

/// Measures of the reasoning, each `None` where the dataset does not know the truth.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DescriptionReport {
    /// Of images whose distortion is known.
    pub naming: Option<Naming>,
    /// Of images that a teacher described.
    pub attributes: Option<AttributeAgreement>,
    /// Of all images.
    pub support: Option<Support>,
}

impl DescriptionReport {
    pub(super) fn of(cases: &[Case], scored: &[Scored], consistency: &Consistency) -> Self {
        Self {
            naming: Naming::of(cases, scored),
            attributes: AttributeAgreement::of(cases, scored),
            support: Support::of(cases, scored, consistency),
        }
    }
}

/// The reference of each case as a number.
fn references<'a>(cases: impl Iterator<Item = &'a Case>) -> Vec<usize> {
    groups(cases.map(|case| (case.dataset.as_str(), case.item.row.reference.as_str())))
}

#[cfg(test)]
pub(super) mod fixture {
    use qponder_shared::api::Mode;
    use qponder_shared::manifest::{Label, Row, Split};
    use qponder_shared::{Distortion, Score};

    use super::*;
    use crate::teacher;
    use crate::train::data::Item;

    /// A case of a known distortion, with what the model wrote about it.
    pub fn case(id: usize, label: f64, distortions: &[Distortion], text: &str) -> (Case, Scored) {
        let row = Row {
            id: id.to_string(),
            image: format!("{id}.png"),
            label: Label::Proxy(label),
            mos_std: None,
            reference: (id / 2).to_string(),
            distortions: distortions.to_vec(),
            split: Split::Val,
            source: "synthetic".into(),
            metrics: None,
            answer: None,
        };
        let scored = Scored {
            mode: Mode::Reason,
            dataset: "set".into(),
            id: row.id.clone(),
            reference: row.reference.clone(),
            label,
            score: qponder_shared::grammar::parse(text).score.map(Score::get),
            text: text.into(),
        };
        (Case { dataset: "set".into(), item: Item { path: row.image.clone().into(), row } }, scored)
    }

    /// What the rule-based teacher says.
    pub fn said(distortions: &[Distortion], score: f64) -> String {
        teacher::write(distortions, Score::clamped(score).unwrap_or(Score::MIN), 1)
    }
}
