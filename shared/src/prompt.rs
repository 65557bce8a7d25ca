//! Prompt templates: files under `prompts/`, versioned by name.
//!
//! Every assessment stores the version that it was asked with. A wording is never edited once a
//! model was trained on it: a new wording is a new version.

use crate::api::Mode;

/// A versioned prompt: what the user turn says after the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prompt {
    /// Name and number, such as `reason-1`.
    pub version: &'static str,
    /// The text of the user turn.
    pub text: &'static str,
}

/// The system turn of every prompt.
pub const SYSTEM: &str = trim(include_str!("../prompts/system-1.txt"));

/// The prompt of a mode that new assessments use.
#[must_use]
pub fn current(mode: Mode) -> Prompt {
    match mode {
        Mode::Reason => Prompt { version: "reason-1", text: trim(include_str!("../prompts/reason-1.txt")) },
        Mode::Quick => Prompt { version: "quick-1", text: trim(include_str!("../prompts/quick-1.txt")) },
    }
}

const fn trim(text: &'static str) -> &'static str {
    text.trim_ascii()
}
