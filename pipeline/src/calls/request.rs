//! One request: words and an image, under a name that tells it from all others.

use std::sync::Arc;

use qponder_shared::api::Sampling;
use qponder_shared::prompt;
use sha2::{Digest, Sha256};

use crate::endpoint::{Picture, Question, Usage};

/// A request with its words and its image.
#[derive(Clone, Debug)]
pub struct Request {
    /// What is asked about, and the prompt's version.
    pub id: String,
    /// SHA-256 of everything that is asked: model, words, sampling and the image's bytes.
    pub digest: String,
    user: String,
    picture: Arc<Picture>,
    sampling: Sampling,
}

/// Why a request cannot be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unaskable {
    /// What it would have been about.
    pub id: String,
    pub reason: String,
}

impl Request {
    /// What `model` is to be asked.
    #[must_use]
    pub fn new(model: &str, id: String, user: String, picture: Arc<Picture>, sampling: Sampling) -> Self {
        let mut hash = Sha256::new();
        // Strings and numbers can always be written.
        let exactly = serde_json::to_string(&(model, prompt::SYSTEM, &user, sampling)).unwrap_or_default();
        hash.update(exactly);
        hash.update(picture.bytes());
        let digest = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Self { id, digest, user, picture, sampling }
    }

    /// As the endpoint takes it.
    pub(super) fn question(&self) -> Question<'_> {
        Question { system: prompt::SYSTEM, user: &self.user, picture: &self.picture, sampling: self.sampling }
    }

    /// Tokens that the call takes at worst. Text is counted at three bytes a token, which is more than
    /// English needs.
    #[must_use]
    pub fn worst(&self) -> Usage {
        const BYTES: usize = 3;
        let text = (prompt::SYSTEM.len() + self.user.len()).div_ceil(BYTES) as u64;
        Usage {
            prompt_tokens: text + self.picture.estimated_tokens(),
            completion_tokens: self.sampling.max_new_tokens as u64,
        }
    }
}
