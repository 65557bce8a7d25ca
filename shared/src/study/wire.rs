//! Studies, their items and their members, as `/api/v1` has them.

use serde::{Deserialize, Serialize};

use super::Preference;
use crate::{DatasetId, ImageId, ItemId, Score, StudyId, UserId};

/// What people are asked to do in a study.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum StudyTask {
    /// Absolute category rating (ITU-T P.910): one of five levels for the whole image.
    Acr,
    /// An overall rating, and a level for each attribute.
    Attributes,
    /// Which of two images is better.
    Pairs,
    /// An overall rating; then, with the model's answer in view, its reasoning is accepted or corrected.
    Reasoning,
}

impl StudyTask {
    /// In the order in which they are offered.
    pub const ALL: [StudyTask; 4] =
        [StudyTask::Acr, StudyTask::Attributes, StudyTask::Pairs, StudyTask::Reasoning];

    /// The name in JSON and in the database.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            StudyTask::Acr => "acr",
            StudyTask::Attributes => "attributes",
            StudyTask::Pairs => "pairs",
            StudyTask::Reasoning => "reasoning",
        }
    }

    /// What the page calls it.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            StudyTask::Acr => "Rating (ACR)",
            StudyTask::Attributes => "Rating with attribute levels",
            StudyTask::Pairs => "Pairwise preference",
            StudyTask::Reasoning => "Reasoning correction",
        }
    }

    /// Reads [`StudyTask::name`].
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|task| task.name() == name)
    }
}

/// Whether a study takes votes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum StudyStatus {
    Open,
    Closed,
}

impl StudyStatus {
    /// The name in JSON and in the database.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            StudyStatus::Open => "open",
            StudyStatus::Closed => "closed",
        }
    }
}

/// A study.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Study {
    pub id: StudyId,
    pub name: String,
    pub task: StudyTask,
    /// Markdown, as it was written. Whoever shows it must not run HTML in it.
    pub guidelines: String,
    /// How many people rate each item.
    pub overlap: u32,
    /// Every person's order follows from it.
    pub seed: i64,
    /// Minutes of work after which a break is suggested; 0 suggests none.
    pub break_minutes: u32,
    pub status: StudyStatus,
    /// Grows with every change; a change names the one that it was made from.
    pub revision: i64,
    pub created_by: String,
    pub created_at: String,
    pub counts: StudyCounts,
    /// Whether the caller is a member.
    pub is_member: bool,
}

/// How large a study is, and how far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StudyCounts {
    /// All items, with those for training and gold.
    pub items: u64,
    pub members: u64,
    /// Assignments that were answered; a vote that was revised counts once.
    pub votes: u64,
    /// Votes that the study needs: items times overlap, gold items times members.
    pub needed: u64,
}

/// Body of `POST /api/v1/studies`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateStudy {
    pub name: String,
    pub task: StudyTask,
    #[serde(default)]
    pub guidelines: String,
    /// 1 to 1000.
    #[serde(default = "default_overlap")]
    pub overlap: u32,
    /// Without one, one is drawn.
    #[serde(default)]
    pub seed: Option<i64>,
    #[serde(default = "default_break")]
    pub break_minutes: u32,
}

fn default_overlap() -> u32 {
    15
}

fn default_break() -> u32 {
    20
}

/// Body of `PATCH /api/v1/studies/{id}`. What is left out stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct ChangeStudy {
    /// The revision that was looked at; another one is a conflict.
    pub revision: i64,
    pub name: Option<String>,
    pub guidelines: Option<String>,
    pub overlap: Option<u32>,
    pub break_minutes: Option<u32>,
    pub status: Option<StudyStatus>,
}

/// What an item is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum ItemKind {
    /// To be rated.
    #[default]
    Rated,
    /// Comes first, is known to be training, and shows the expected answer afterwards. Not in statistics.
    Training,
    /// Looks like any other; everybody gets it, and the expected answer tells who is careful.
    Gold,
}

impl ItemKind {
    /// The name in JSON and in the database.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ItemKind::Rated => "rated",
            ItemKind::Training => "training",
            ItemKind::Gold => "gold",
        }
    }

    /// Reads [`ItemKind::name`].
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        [ItemKind::Rated, ItemKind::Training, ItemKind::Gold].into_iter().find(|kind| kind.name() == name)
    }
}

/// One thing to rate, as those see it who run the study.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Item {
    pub id: ItemId,
    /// One image, or two in a study of pairs.
    pub images: Vec<ImageId>,
    /// File name of the first image.
    pub name: String,
    pub kind: ItemKind,
    pub expected: Option<Score>,
    pub expected_preference: Option<Preference>,
    /// How far from the expected score an answer still counts as right.
    pub tolerance: f64,
    /// Everybody gets it twice, without being told.
    pub repeated: bool,
    /// How many people answered it.
    pub answered: u32,
}

/// Body of `POST /api/v1/studies/{id}/items`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct AddItems {
    /// One item an image; in a study of pairs every pair of them.
    #[serde(default)]
    pub images: Vec<ImageId>,
    /// The same for all images of this version of a dataset.
    #[serde(default)]
    pub dataset: Option<DatasetId>,
    /// These pairs, in a study of pairs.
    #[serde(default)]
    pub pairs: Vec<[ImageId; 2]>,
    #[serde(default)]
    pub kind: ItemKind,
    #[serde(default)]
    pub expected: Option<Score>,
    #[serde(default)]
    pub expected_preference: Option<Preference>,
    #[serde(default = "default_tolerance")]
    pub tolerance: f64,
    #[serde(default)]
    pub repeated: bool,
}

fn default_tolerance() -> f64 {
    1.0
}

/// Answer to adding items.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Added {
    pub added: u64,
    /// Images or pairs that the study had already.
    pub present: u64,
}

/// Body of `PATCH /api/v1/items/{id}`. What is left out stays as it is; an expected answer that is `null` is taken
/// back.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct ChangeItem {
    pub kind: Option<ItemKind>,
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Score>))]
    pub expected: Option<Option<Score>>,
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Preference>))]
    pub expected_preference: Option<Option<Preference>>,
    pub tolerance: Option<f64>,
    pub repeated: Option<bool>,
}

/// A member that is there, be it `null`.
fn given<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(source: D) -> Result<Option<T>, D::Error> {
    T::deserialize(source).map(Some)
}

/// Somebody who takes part in a study.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Member {
    pub user: UserId,
    pub name: String,
    pub email: String,
    /// Assignments that they answered.
    pub done: u64,
    /// When they last voted.
    pub last_vote_at: Option<String>,
}

/// Body of `POST /api/v1/studies/{id}/members`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct AddMember {
    /// The e-mail address of a user.
    pub email: String,
}
