//! Models that have a name: where they come from, how good they are, and what they are used for.

use serde::{Deserialize, Serialize};

use crate::job::Measured;
use crate::{JobId, ModelId};

/// Longest card, in characters.
pub const MAX_CARD: usize = 20_000;

/// What a model is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum ModelUse {
    /// It answers where no model is named.
    Default,
    /// It gives quick scores inside the browser.
    Preview,
    /// Others are compared with it.
    Teacher,
}

impl ModelUse {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Default, Self::Preview, Self::Teacher];

    /// The name in JSON and in addresses.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Preview => "preview",
            Self::Teacher => "teacher",
        }
    }

    /// The one of a name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }
}

/// A model that has a name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Model {
    pub id: ModelId,
    /// No two have the same.
    pub name: String,
    /// The job that trained it; `None` of one that the operator named when the server started.
    pub job: Option<JobId>,
    /// Behind a chat endpoint that the operator named, and not in the server itself.
    pub is_endpoint: bool,
    /// SHA-256 over the weights; of an endpoint over its base URL, a line feed, and the model's name there.
    pub sha256: String,
    /// Unknown of an endpoint.
    pub parameters: Option<u64>,
    /// What people should know of it, in Markdown.
    pub card: String,
    pub uses: Vec<ModelUse>,
    /// Whether it can be asked right now.
    pub is_served: bool,
    /// Nobody wants to see it any more.
    pub is_archived: bool,
    pub created_by: String,
    pub created_at: String,
}

/// Body of `POST /api/v1/models`: gives what a job trained a name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RegisterModel {
    pub job: JobId,
    /// Letters, digits and `-._`, 1 to 120.
    pub name: String,
    #[serde(default)]
    pub card: String,
}

/// Body of `PATCH /api/v1/models/{id}`: what is not named stays.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct EditModel {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_archived: Option<bool>,
}

/// Body of `PUT /api/v1/uses/{use}`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Promote {
    /// `None` for what the operator chose when the server started.
    pub model: Option<ModelId>,
}

/// One time that a model was promoted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Promotion {
    #[serde(rename = "use")]
    pub model_use: ModelUse,
    /// `None` for what the operator chose when the server started.
    pub model: Option<ModelId>,
    pub name: Option<String>,
    pub created_by: String,
    pub created_at: String,
}

/// How good a model is on a dataset, as one evaluation found it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Measurement {
    /// The evaluation.
    pub job: JobId,
    pub at: String,
    pub measured: Measured,
}

/// Whether models can have this name: it stands in recipes and addresses.
///
/// # Errors
/// What a name may be.
pub fn check_name(name: &str) -> Result<(), String> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    if (1..=120).contains(&name.len()) && name.chars().all(is_allowed) && !name.starts_with('.') {
        return Ok(());
    }
    Err("a model's name is 1 to 120 letters, digits, dots, hyphens and underscores, and does not begin with a dot"
        .to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_words() {
        for name in ["nano-2", "Qwen2.5-VL_7B", "a"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in ["", "a b", "../x", ".x", "ä", "a/b", &"x".repeat(121)] {
            assert!(check_name(name).is_err(), "{name}");
        }
        assert!(ModelUse::ALL.iter().all(|one| ModelUse::of_name(one.name()) == Some(*one)));
    }
}
