//! Votes.

use serde::{Deserialize, Serialize};

use super::Feedback;
use crate::{Attribute, ItemId, Level, Score, VoteId};

/// Which of two images is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Preference {
    First,
    Same,
    Second,
}

impl Preference {
    /// The name in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Preference::First => "first",
            Preference::Same => "same",
            Preference::Second => "second",
        }
    }

    /// Reads [`Preference::name`].
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        [Preference::First, Preference::Same, Preference::Second].into_iter().find(|one| one.name() == name)
    }

    /// -1, 0 or 1.
    #[must_use]
    pub fn sign(self) -> i16 {
        match self {
            Preference::First => -1,
            Preference::Same => 0,
            Preference::Second => 1,
        }
    }

    /// Reads [`Preference::sign`].
    #[must_use]
    pub fn of_sign(sign: i16) -> Option<Self> {
        match sign {
            -1 => Some(Preference::First),
            0 => Some(Preference::Same),
            1 => Some(Preference::Second),
            _ => None,
        }
    }
}

/// What somebody says of an item.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Rating {
    /// The whole image.
    Score { score: Score },
    /// The whole image, and attributes; each attribute once at most.
    Levels { score: Score, levels: Vec<(Attribute, Level)> },
    /// Which of two images is better.
    Preference { preference: Preference },
    /// Nothing, and why.
    Skipped { reason: String },
}

impl Rating {
    /// The rating of the whole image.
    #[must_use]
    pub fn score(&self) -> Option<Score> {
        match self {
            Rating::Score { score } | Rating::Levels { score, .. } => Some(*score),
            Rating::Preference { .. } | Rating::Skipped { .. } => None,
        }
    }
}

/// How the image was seen.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Conditions {
    /// Device pixels per image pixel at the time of the vote.
    pub zoom: f64,
    /// Device pixels per CSS pixel.
    pub device_pixel_ratio: f64,
    /// Width of the viewer in device pixels.
    pub viewport_width: u32,
    /// Height of the viewer in device pixels.
    pub viewport_height: u32,
}

/// Body of `POST /api/v1/studies/{id}/votes`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateVote {
    pub item: ItemId,
    /// 0, or 1 when it comes the second time.
    #[serde(default)]
    pub repeat: u8,
    pub rating: Rating,
    pub conditions: Conditions,
    /// Milliseconds that the image was in view.
    pub ms: u64,
    /// The client's name for this vote, 1 to 100 characters: sent twice it is one vote.
    pub key: String,
    /// Something is wrong with the image; what.
    #[serde(default)]
    pub flag: Option<String>,
}

/// Answer to a vote.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VoteReceipt {
    pub id: VoteId,
    /// Whether it was given before anything was revealed. Statistics use no other.
    pub blind: bool,
    /// The expected answer, in training only.
    pub feedback: Option<Feedback>,
}
