//! Annotations and their reviews: what people make of a model's reasoning.
//!
//! An annotation is a response in the grammar of the models. All versions of one person's annotation of
//! one item are a *thread*; nothing in it is ever overwritten.

use serde::{Deserialize, Serialize};

use crate::api::Assessment;
use crate::grammar::Response;
use crate::{AnnotationId, AssessmentId, ImageId, ItemId, ReviewId, StudyId, ThreadId};

/// Where a thread stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum ThreadState {
    /// Waits for a review.
    Submitted,
    /// Came back to the annotator.
    Returned,
    /// Settled.
    Accepted,
}

impl ThreadState {
    /// In the order in which they are offered.
    pub const ALL: [ThreadState; 3] = [ThreadState::Submitted, ThreadState::Returned, ThreadState::Accepted];

    /// The name in JSON and in the database.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ThreadState::Submitted => "submitted",
            ThreadState::Returned => "returned",
            ThreadState::Accepted => "accepted",
        }
    }

    /// Reads [`ThreadState::name`].
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// The order of the review queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum QueueSort {
    /// Furthest from the model's answer first.
    #[default]
    Disagreement,
    /// Where the model was least sure first.
    Confidence,
    /// Oldest first.
    Age,
}

impl QueueSort {
    /// In the order in which they are offered.
    pub const ALL: [QueueSort; 3] = [QueueSort::Disagreement, QueueSort::Confidence, QueueSort::Age];

    /// The name in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            QueueSort::Disagreement => "disagreement",
            QueueSort::Confidence => "confidence",
            QueueSort::Age => "age",
        }
    }
}

/// A thread in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ThreadSummary {
    pub id: ThreadId,
    pub study: StudyId,
    pub study_name: String,
    pub item: ItemId,
    pub image: ImageId,
    pub image_name: String,
    pub author: String,
    /// Whether it is the caller's own, which they may not review.
    pub is_own: bool,
    pub state: ThreadState,
    /// The newest version, from 1.
    pub version: u32,
    /// See [`disagreement`]; `None` when it corrects no model's answer.
    pub disagreement: Option<f64>,
    /// Probability of the model's likeliest level in quick mode, where it was asked.
    pub confidence: Option<f64>,
    pub updated_at: String,
}

/// One version of an annotation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Annotation {
    pub id: AnnotationId,
    /// From 1.
    pub version: u32,
    pub author: String,
    /// In the response grammar.
    pub text: String,
    pub response: Response,
    pub created_at: String,
}

/// What a reviewer decides of a version, or a comment of anybody concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Accepted,
    /// Accepted with the reviewer's own corrections, which are the next version.
    Fixed,
    /// Back to the annotator, with a comment.
    Returned,
    Comment,
}

impl Verdict {
    /// The name in JSON and in the database.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Accepted => "accepted",
            Verdict::Fixed => "fixed",
            Verdict::Returned => "returned",
            Verdict::Comment => "comment",
        }
    }

    /// Reads [`Verdict::name`].
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        [Verdict::Accepted, Verdict::Fixed, Verdict::Returned, Verdict::Comment]
            .into_iter()
            .find(|verdict| verdict.name() == name)
    }
}

/// One word of a review.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Review {
    pub id: ReviewId,
    /// The version that it is about.
    pub version: u32,
    pub author: String,
    pub verdict: Verdict,
    pub comment: String,
    pub created_at: String,
}

/// All of a thread.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Thread {
    #[serde(flatten)]
    pub summary: ThreadSummary,
    /// The answer that was corrected.
    pub source: Option<Assessment>,
    /// Oldest first.
    pub versions: Vec<Annotation>,
    /// Oldest first.
    pub reviews: Vec<Review>,
}

/// Body of `POST /api/v1/items/{id}/annotations`: a new version, or the first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateAnnotation {
    /// In the response grammar, complete.
    pub text: String,
    /// The answer that it corrects.
    #[serde(default)]
    pub source: Option<AssessmentId>,
    /// The newest version that the page knows; 0 for a first one. Another one is a conflict.
    pub base: u32,
}

/// Body of `POST /api/v1/annotations/{id}/reviews`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateReview {
    /// The version that was looked at. If there is a newer one, it is a conflict.
    pub version: u32,
    pub verdict: Verdict,
    /// Needed when it is returned.
    #[serde(default)]
    pub comment: String,
    /// The corrected response, when it is fixed.
    #[serde(default)]
    pub text: Option<String>,
}

/// Body of `POST /api/v1/annotations/{id}/comments`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Comment {
    pub comment: String,
}

/// How far two responses are apart, in levels: the mean of the differences of the attributes that both
/// judge and of the scores. `None` when they have nothing in common.
#[must_use]
pub fn disagreement(a: &Response, b: &Response) -> Option<f64> {
    let levels = a.attributes.iter().filter_map(|one| {
        let other = b.attributes.iter().find(|other| other.attribute == one.attribute)?;
        Some((one.level?.value() - other.level?.value()).abs())
    });
    let scores = a.score.zip(b.score).map(|(a, b)| (a.get() - b.get()).abs());
    let all: Vec<f64> = levels.chain(scores).collect();
    (!all.is_empty()).then(|| all.iter().sum::<f64>() / all.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grammar::parse;

    #[test]
    fn disagreement_is_the_mean_difference_of_what_both_judge() {
        let a =
            parse("<think>\nnoise: grain (poor)\ncolour: fine (good)\nx\n</think>\n<answer>2.00</answer>");
        let b = parse("<think>\nnoise: clean (good)\nx\n</think>\n<answer>3.00</answer>");
        assert_eq!(disagreement(&a, &b), Some(1.5));
        assert_eq!(disagreement(&a, &a), Some(0.0));
        assert_eq!(disagreement(&a, &parse("")), None);
    }
}
