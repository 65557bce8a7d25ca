//! Wire types of `/api/v1`.
//!
//! Times are RFC 3339 in UTC. Ids are UUIDv7. Errors are `application/problem+json` (RFC 9457).

use serde::{Deserialize, Serialize};

use crate::compare::Label;
use crate::grammar::Response;
use crate::{AssessmentId, ImageId, Score};

/// How a model is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Reasoning in words, attribute by attribute, then a score.
    #[default]
    Reason,
    /// The expectation over the five level words; one forward pass.
    Quick,
}

impl Mode {
    /// The name in JSON and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Mode::Reason => "reason",
            Mode::Quick => "quick",
        }
    }
}

/// How tokens are sampled. The default is greedy.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Sampling {
    /// 0 is greedy.
    pub temperature: f64,
    /// Keep the most likely `top_k` tokens; 0 keeps all.
    pub top_k: usize,
    /// Keep the smallest set of tokens whose probability reaches `top_p`; 1 keeps all.
    pub top_p: f64,
    /// Divides the logits of tokens already seen; 1 leaves them as they are.
    pub repetition_penalty: f64,
    /// Equal seeds give equal answers.
    pub seed: u64,
    /// Upper bound of the answer's length in tokens.
    pub max_new_tokens: usize,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { temperature: 0.0, top_k: 0, top_p: 1.0, repetition_penalty: 1.0, seed: 0, max_new_tokens: 512 }
    }
}

/// Sampling parameters that cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{key} is {value}; {expected}")]
pub struct BadSampling {
    pub key: &'static str,
    pub value: String,
    pub expected: &'static str,
}

impl Sampling {
    /// # Errors
    /// Names the first value that is out of its range, and the range.
    pub fn check(&self) -> Result<(), BadSampling> {
        let bad = |key, value: &dyn ToString, expected| {
            Err(BadSampling { key, value: value.to_string(), expected })
        };
        if !(0.0..=10.0).contains(&self.temperature) {
            return bad("temperature", &self.temperature, "it must be between 0 and 10");
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return bad("top_p", &self.top_p, "it must be above 0 and at most 1");
        }
        if !(0.1..=10.0).contains(&self.repetition_penalty) {
            return bad("repetition_penalty", &self.repetition_penalty, "it must be between 0.1 and 10");
        }
        if !(1..=4096).contains(&self.max_new_tokens) {
            return bad("max_new_tokens", &self.max_new_tokens, "it must be between 1 and 4096");
        }
        Ok(())
    }
}

/// An uploaded image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Image {
    pub id: ImageId,
    /// File name at the first upload.
    pub name: String,
    /// SHA-256 of the original bytes, lower-case hex.
    pub sha256: String,
    /// `png`, `jpeg` or `webp`.
    pub format: String,
    /// Size in pixels after the orientation was applied.
    pub width: u32,
    pub height: u32,
    pub bytes: u64,
    pub created_at: String,
    /// The newest finished assessment.
    pub latest: Option<AssessmentSummary>,
    /// What its score should be, as far as somebody knows: MOS before proxies, the newest first.
    #[serde(default)]
    pub labels: Vec<Label>,
}

/// What the gallery shows of an assessment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AssessmentSummary {
    pub id: AssessmentId,
    pub mode: Mode,
    pub model: String,
    pub score: Option<Score>,
}

/// Where an assessment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum AssessmentStatus {
    Queued,
    Running,
    Done,
    Failed,
    Cancelled,
}

impl AssessmentStatus {
    /// Whether nothing will change any more.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, AssessmentStatus::Done | AssessmentStatus::Failed | AssessmentStatus::Cancelled)
    }
}

/// One model's answer on one image, with everything needed to repeat it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Assessment {
    pub id: AssessmentId,
    pub image_id: ImageId,
    pub model: String,
    pub mode: Mode,
    pub prompt_version: String,
    pub sampling: Sampling,
    pub status: AssessmentStatus,
    /// The answer as the model wrote it; grows while it runs.
    pub text: String,
    /// The answer as far as it could be read; in quick mode only the score.
    pub response: Response,
    pub score: Option<Score>,
    /// Probabilities of bad, poor, fair, good and excellent; in quick mode only.
    pub level_probabilities: Option<[f64; 5]>,
    /// Whether a score could be read. `None` until the answer is complete.
    pub parse_ok: Option<bool>,
    /// Why it failed.
    pub error: Option<String>,
    /// Time the model took, in milliseconds.
    pub ms: Option<u64>,
    pub created_at: String,
}

/// Body of `POST /api/v1/assessments`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateAssessment {
    pub image_id: ImageId,
    /// Name of the model to ask, as `GET /api/v1/info` lists it; the default model without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    #[serde(default)]
    pub mode: Mode,
    #[serde(default)]
    pub sampling: Sampling,
}

/// What `GET /api/v1/assessments/{id}/events` streams; the SSE event name is the tag.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum AssessmentEvent {
    /// How many assessments run before this one.
    Queued { ahead: usize },
    /// Newly written text. `offset` is where it begins in the answer, in bytes.
    Token { offset: usize, text: String },
    /// The assessment is final. The last event.
    Done { assessment: Box<Assessment> },
}

/// One page of a listing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Pass as `cursor` to get the next page; `None` on the last one.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// The first `limit` of `items`. Whoever looks for one more than that learns whether another page
    /// follows; `cursor` writes where it begins, after the last item of this one.
    #[must_use]
    pub fn cut(mut items: Vec<T>, limit: usize, cursor: impl FnOnce(&T) -> String) -> Self {
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(cursor);
        Self { items, next }
    }
}

/// Answer to an upload: one entry a file, in the order sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UploadReport {
    pub files: Vec<UploadedFile>,
}

/// What became of one uploaded file: either an image or a problem.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UploadedFile {
    pub name: String,
    pub image: Option<Image>,
    /// The same bytes were uploaded before; `image` is the earlier one.
    #[serde(default)]
    pub duplicate: bool,
    pub problem: Option<Problem>,
}

/// An error, as RFC 9457 has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// A stable name of the kind of error, such as `/problems/not-an-image`.
    #[serde(rename = "type")]
    pub kind: String,
    pub title: String,
    pub status: u16,
    /// What happened to this request, and what to do.
    pub detail: String,
}

/// The model that answers, and the limits of uploads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ServerInfo {
    pub version: String,
    /// The default model.
    pub model: ModelInfo,
    /// Every model that can be asked, the default one first.
    pub models: Vec<ServedModel>,
    /// Largest file accepted, in bytes.
    pub max_upload_bytes: u64,
    /// Largest image accepted, in pixels.
    pub max_upload_pixels: u64,
}

/// What a model is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum ModelRole {
    /// It is Q-Ponder's own.
    Model,
    /// Others are compared with it.
    Teacher,
}

/// Where a model runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum ModelPlace {
    /// In the server itself.
    Local,
    /// Behind a chat endpoint that the operator named.
    Endpoint,
}

/// A model that can be asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ServedModel {
    /// No two have the same.
    pub name: String,
    pub role: ModelRole,
    #[serde(rename = "where")]
    pub place: ModelPlace,
    /// SHA-256 over a local model's weights; of an endpoint over its base URL, a line feed, and the model's name
    /// there.
    pub sha256: String,
    /// Unknown of an endpoint.
    pub parameters: Option<u64>,
    /// The prompt that it is asked for reasons with.
    pub prompt_version: String,
}

impl ServedModel {
    /// Whether it can give a quick score: an endpoint says words only.
    #[must_use]
    pub fn has_quick_mode(&self) -> bool {
        self.place == ModelPlace::Local
    }
}

/// A model as it was loaded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ModelInfo {
    /// Name of the model's directory.
    pub name: String,
    /// `qwen2_5_vl`.
    pub family: String,
    pub parameters: u64,
    /// SHA-256 over the weights, lower-case hex: two models with one name can be told apart.
    pub sha256: String,
}
