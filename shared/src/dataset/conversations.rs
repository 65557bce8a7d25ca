//! Rows with a teacher's answer as chat conversations, for trainers that other people use.
//!
//! ms-swift and LLaMA-Factory read the same objects: `messages` with `role` and `content`, an `<image>` where
//! the image goes, and `images`. ms-swift reads them as JSON lines (its `Custom-dataset.md`, "Multimodal");
//! LLaMA-Factory as a JSON array that `dataset_info.json` describes (`data/README.md`, "OpenAI Format", and
//! `data/mllm_demo.json`).

use std::str::FromStr;

use serde::Serialize;
use serde_json::{Value, json};

use super::{ParseError, Place};
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

/// What one conversation says of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Where it stands, for messages.
    pub place: Place,
    /// The image as the file names it.
    pub image: String,
    /// What the assistant said last.
    pub answer: String,
}

/// Reads conversations about one image each: JSON lines, or a JSON array. Both spellings of turns are read
/// (`messages` with `role` and `content`; `conversations` with `from` and `value`).
///
/// # Errors
/// Names the place that could not be read.
pub fn read_conversations(text: &str) -> Result<Vec<Said>, ParseError> {
    let text = text.trim_start_matches('\u{feff}');
    let items: Vec<(Place, Value)> = if text.trim_start().starts_with('[') {
        let items: Vec<Value> =
            serde_json::from_str(text).map_err(|error| ParseError::Json { reason: error.to_string() })?;
        (1..).map(Place::Item).zip(items).collect()
    } else {
        let lines = (1..).map(Place::Line).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
        lines.map(|(place, line)| Ok((place, read_line(place, line)?))).collect::<Result<_, ParseError>>()?
    };
    let said: Vec<Said> =
        items.iter().map(|(place, item)| said(*place, item)).collect::<Result<_, ParseError>>()?;
    if said.is_empty() { Err(ParseError::Empty) } else { Ok(said) }
}

fn read_line(place: Place, line: &str) -> Result<Value, ParseError> {
    serde_json::from_str(line).map_err(|error| ParseError::JsonLine { place, reason: error.to_string() })
}

fn said(place: Place, item: &Value) -> Result<Said, ParseError> {
    let image = ["images", "image"].into_iter().find_map(|key| match &item[key] {
        Value::Array(images) if images.len() == 1 => images[0].as_str(),
        other => other.as_str(),
    });
    let image = image.ok_or(ParseError::Missing { place, what: "`images`, a list of one path," })?;
    let turns = ["messages", "conversations"].into_iter().find_map(|key| item[key].as_array());
    let turns = turns.ok_or(ParseError::Missing { place, what: "`messages`" })?;
    let is_assistant = |turn: &&Value| {
        let who = turn["role"].as_str().or(turn["from"].as_str());
        matches!(who, Some("assistant" | "gpt"))
    };
    let last = turns.iter().rev().find(is_assistant);
    let answer = last.and_then(|turn| turn["content"].as_str().or(turn["value"].as_str()));
    let answer = answer.ok_or(ParseError::Missing { place, what: "an assistant's turn" })?;
    Ok(Said { place, image: image.to_owned(), answer: answer.to_owned() })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_reads_back_in_both_formats() {
        let conversations = [
            Conversation::new("a.png".into(), "fine".into()),
            Conversation::new("b.png".into(), "bad".into()),
        ];
        for format in ConversationFormat::ALL {
            let text = format.write(&conversations).expect("writes");
            let said = read_conversations(&text).expect("reads");
            let said: Vec<_> = said.iter().map(|one| (one.image.as_str(), one.answer.as_str())).collect();
            assert_eq!(said, [("a.png", "fine"), ("b.png", "bad")], "{}", format.name());
        }
    }

    #[test]
    fn other_spellings_are_read_and_gaps_are_named() {
        let text =
            r#"{"image":"a.png","conversations":[{"from":"human","value":"?"},{"from":"gpt","value":"!"}]}"#;
        let said = read_conversations(text).expect("reads");
        assert_eq!((said[0].image.as_str(), said[0].answer.as_str()), ("a.png", "!"));
        for (text, words) in [
            ("", "no rows"),
            ("[{]", "no JSON"),
            ("{}\n", "line 1: `images`"),
            (r#"{"images":["a.png","b.png"],"messages":[]}"#, "`images`"),
            (r#"{"images":["a.png"]}"#, "`messages`"),
            (r#"{"images":["a.png"],"messages":[{"role":"user","content":"?"}]}"#, "assistant"),
        ] {
            let error = read_conversations(text).expect_err(words).to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
