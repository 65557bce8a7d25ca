//! Rows with a teacher's answer as chat conversations, for trainers that other people use.
//!
//! ms-swift and LLaMA-Factory read the same objects: `messages` with `role` and `content`, an `<image>` where
//! the image goes, and `images`. ms-swift reads them as JSON lines (its `Custom-dataset.md`, "Multimodal");
//! LLaMA-Factory as a JSON array that `dataset_info.json` describes (`data/README.md`, "OpenAI Format", and
//! `data/mllm_demo.json`).

use std::str::FromStr;

use serde::Serialize;
use serde_json::{Value, json};

use crate::api::Mode;
use crate::prompt;

/// Where the image goes in a user turn.
const IMAGE: &str = "<image>";

/// Whose conventions a file follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConversationFormat {
    /// JSON lines.
    MsSwift,
    /// A JSON array.
    LlamaFactory,
}

impl ConversationFormat {
    /// Both.
    pub const ALL: [Self; 2] = [Self::MsSwift, Self::LlamaFactory];

    /// The name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::MsSwift => "ms-swift",
            Self::LlamaFactory => "llama-factory",
        }
    }

    /// Conversations as the text of a file.
    ///
    /// # Errors
    /// When they cannot be serialised.
    pub fn write(self, conversations: &[Conversation]) -> serde_json::Result<String> {
        let mut text = String::new();
        match self {
            Self::MsSwift => {
                for conversation in conversations {
                    text += &serde_json::to_string(conversation)?;
                    text.push('\n');
                }
            }
            Self::LlamaFactory => {
                text = serde_json::to_string_pretty(conversations)?;
                text.push('\n');
            }
        }
        Ok(text)
    }

    /// What `dataset_info.json` must say of the file, where the trainer wants that.
    #[must_use]
    pub fn description(self, file: &str) -> Option<Value> {
        let tags = json!({
            "role_tag": "role", "content_tag": "content",
            "user_tag": "user", "assistant_tag": "assistant", "system_tag": "system",
        });
        let columns = json!({ "messages": "messages", "images": "images" });
        let description =
            json!({ "file_name": file, "formatting": "sharegpt", "columns": columns, "tags": tags });
        (self == Self::LlamaFactory).then(|| json!({ "qponder": description }))
    }
}

impl FromStr for ConversationFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|format| format.name() == text)
            .ok_or_else(|| format!("unknown format `{text}`"))
    }
}

/// One image with the question about it and its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Conversation {
    pub messages: [Message; 3],
    pub images: [String; 1],
}

/// A turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Message {
    pub role: &'static str,
    pub content: String,
}

impl Conversation {
    /// The prompt of reasoning mode and an answer to it.
    #[must_use]
    pub fn new(image: String, answer: String) -> Self {
        let question = format!("{IMAGE}{}", prompt::current(Mode::Reason).text);
        let turn = |role, content| Message { role, content };
        let system = turn("system", prompt::SYSTEM.to_owned());
        Self { messages: [system, turn("user", question), turn("assistant", answer)], images: [image] }
    }
}
