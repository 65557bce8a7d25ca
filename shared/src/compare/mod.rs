//! Comparing what models say: wire types, and the pure functions behind them.

mod agreement;
mod diff;

use serde::{Deserialize, Serialize};

pub use agreement::{AttributeAgreement, ScoreAgreement, by_attribute, by_score};
pub use diff::{Piece, diff_words};

use crate::api::{Assessment, Image};
use crate::grammar::Response;
use crate::{AssessmentId, Attribute, ImageId, Level, Score};

/// A level for each attribute, in the order of [`Attribute::ALL`]; `None` where it has none.
pub type Levels = [Option<Level>; 6];

/// The levels of a response.
#[must_use]
pub fn levels(response: &Response) -> Levels {
    Attribute::ALL.map(|attribute| response.attributes.iter().find(|seen| seen.attribute == attribute)?.level)
}

/// How far levels of one attribute lie apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gap {
    /// They are equal, or there are fewer than two.
    None,
    /// One level.
    Slight,
    /// Two levels or more.
    Strong,
}

/// How far the lowest of the levels is from the highest.
#[must_use]
pub fn gap(levels: impl IntoIterator<Item = Level>) -> Gap {
    let (mut low, mut high) = (Level::Excellent, Level::Bad);
    for level in levels {
        low = low.min(level);
        high = high.max(level);
    }
    match (high as usize).saturating_sub(low as usize) {
        0 => Gap::None,
        1 => Gap::Slight,
        _ => Gap::Strong,
    }
}

/// How many attributes both judge, and differently.
#[must_use]
pub fn differing(left: &Levels, right: &Levels) -> usize {
    let both = left.iter().zip(right).filter_map(|(left, right)| Some((*left)? != (*right)?));
    both.filter(|differs| *differs).count()
}

/// What an image's label is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum LabelKind {
    /// The mean opinion of people.
    Mos,
    /// Computed from a reference; never called MOS.
    Proxy,
}

impl LabelKind {
    /// The name in JSON and in the database.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            LabelKind::Mos => "mos",
            LabelKind::Proxy => "proxy",
        }
    }

    /// As people write it.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            LabelKind::Mos => "MOS",
            LabelKind::Proxy => "proxy",
        }
    }
}

/// What an image's score should be, as far as somebody knows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Label {
    pub kind: LabelKind,
    /// Where it comes from, such as a study or a dataset; 1 to 200 characters. There is one for each kind and
    /// source.
    pub source: String,
    /// On the scale of scores.
    pub value: Score,
    /// How many opinions it is the mean of.
    #[serde(default)]
    pub n: Option<u32>,
    /// Their standard deviation.
    #[serde(default)]
    pub sd: Option<f64>,
}

/// The label that answers are held against: MOS before proxy, and the newest. The list is as an image has it.
#[must_use]
pub fn preferred(labels: &[Label]) -> Option<&Label> {
    labels.iter().min_by_key(|label| label.kind)
}

/// What GRPO would reward an answer with; each is 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RewardTerms {
    /// 1 when the answer follows the grammar completely.
    pub format: f64,
    /// How near the score is to the label; `None` without one.
    pub score: Option<f64>,
    /// Whether the reasoning supports the score.
    pub consistency: f64,
}

/// How reward terms are computed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RewardBasis {
    /// The score that each level of the worst attribute implies, bad to excellent.
    pub level_scores: [f64; 5],
    /// Where they come from.
    pub level_scores_from: String,
    /// The error, in points, that takes the score's reward down to 1/e.
    pub score_scale: f64,
}

/// One model's newest answers on an image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ModelAnswers {
    pub model: String,
    /// The newest complete answer in reason mode.
    pub reason: Option<Assessment>,
    /// The newest complete answer in quick mode.
    pub quick: Option<Assessment>,
    /// Of the answer in reason mode.
    pub terms: Option<RewardTerms>,
}

/// What every model says of one image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ImageComparison {
    pub image: Image,
    /// Models that are served, in their order, then others that have answered.
    pub models: Vec<ModelAnswers>,
    pub basis: RewardBasis,
}

/// A model's newest readable answer in reason mode, in short.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Reading {
    pub assessment: AssessmentId,
    pub score: Score,
    /// Sharpness, noise, exposure, contrast, colour, compression.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<Option<Level>>, min_items = 6, max_items = 6))]
    pub levels: Levels,
}

/// One image with what two models say of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ComparedImage {
    pub image: Image,
    pub left: Option<Reading>,
    pub right: Option<Reading>,
    /// Right less left; `None` while one is missing.
    pub difference: Option<f64>,
    /// Attributes that both judge, and differently.
    pub differing: Option<usize>,
}

/// One point of the scatter plot.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ScorePoint {
    pub image: ImageId,
    pub left: Score,
    pub right: Score,
}

/// How far two models agree.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ComparisonStatistics {
    /// Images that all of this is computed on.
    pub n: usize,
    /// There are more images with both answers: these were drawn at random, the same ones each time.
    pub is_sample: bool,
    pub attributes: Vec<AttributeAgreement>,
    /// Right against left.
    pub scores: ScoreAgreement,
    /// Left against the labels that are known.
    pub left_labels: ScoreAgreement,
    /// Right against the labels that are known.
    pub right_labels: ScoreAgreement,
    pub points: Vec<ScorePoint>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_counted_in_levels() {
        for (levels, expected) in [
            (&[][..], Gap::None),
            (&[Level::Bad], Gap::None),
            (&[Level::Good, Level::Good], Gap::None),
            (&[Level::Good, Level::Fair, Level::Good], Gap::Slight),
            (&[Level::Good, Level::Poor], Gap::Strong),
        ] {
            assert_eq!(gap(levels.iter().copied()), expected, "{levels:?}");
        }
    }

    #[test]
    fn only_what_both_judge_can_differ() {
        let left = [Some(Level::Good), None, Some(Level::Bad), None, None, Some(Level::Fair)];
        let right = [Some(Level::Poor), Some(Level::Bad), Some(Level::Bad), None, None, None];
        assert_eq!(differing(&left, &right), 1);
    }

    #[test]
    fn people_come_before_metrics() {
        let label =
            |kind, source: &str| Label { kind, source: source.into(), value: Score::MIN, n: None, sd: None };
        let labels =
            [label(LabelKind::Proxy, "a"), label(LabelKind::Mos, "new"), label(LabelKind::Mos, "old")];
        assert_eq!(preferred(&labels).map(|label| &*label.source), Some("new"));
        assert_eq!(preferred(&labels[..1]).map(|label| &*label.source), Some("a"));
        assert_eq!(preferred(&[]), None);
    }
}
