//! What comes next for one person of a study.

use serde::{Deserialize, Serialize};

use super::{Preference, Rating, StudyTask, ThreadSummary};
use crate::api::Assessment;
use crate::{ImageId, ItemId, Score, StudyId, VoteId};

/// An image to rate. Nothing here tells what it is called or what others think of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TaskImage {
    pub id: ImageId,
    pub width: u32,
    pub height: u32,
}

/// One thing to rate now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Task {
    pub study: StudyId,
    pub item: ItemId,
    /// Part of a vote's address; people are not shown it.
    pub repeat: u8,
    pub task: StudyTask,
    /// It is for training. Gold items and repeats look like any other.
    pub is_training: bool,
    /// One, or two in a study of pairs.
    pub images: Vec<TaskImage>,
    /// It was rated; what is left is to look at what models say of it.
    pub is_rated: bool,
    /// What was saved and not sent.
    pub draft: Option<Draft>,
    /// The annotation that a reviewer sent back.
    pub returned: Option<ThreadSummary>,
}

/// How far somebody is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Progress {
    pub done: u64,
    /// What was done and what is left for them.
    pub total: u64,
    /// Annotations that came back.
    pub returned: u64,
}

/// The next things to rate, in order; annotations that came back are first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Tasks {
    pub items: Vec<Task>,
    pub progress: Progress,
}

/// The expected answer of a training item.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Feedback {
    pub expected: Option<Score>,
    pub expected_preference: Option<Preference>,
    pub tolerance: f64,
}

/// Work that was saved and not sent. The body is the page's own; the server only keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Draft {
    /// Grows with every save.
    pub revision: i64,
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub body: serde_json::Value,
    pub updated_at: String,
}

/// Body of `PUT /api/v1/items/{id}/draft`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SaveDraft {
    #[serde(default)]
    pub repeat: u8,
    /// The revision that the page knows; 0 when it knows none. Another one is a conflict: two tabs.
    pub revision: i64,
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub body: serde_json::Value,
}

/// One's own vote, for going back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Given {
    pub id: VoteId,
    pub rating: Rating,
    pub flag: Option<String>,
    pub created_at: String,
    pub task: Task,
}

/// What may be seen after one's vote.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Reveal {
    /// The newest readable answer of each model that reasoned.
    pub assessments: Vec<Assessment>,
    /// One's own annotation, where there is one.
    pub thread: Option<ThreadSummary>,
}
