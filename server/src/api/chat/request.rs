//! What a client asks, and what of it can be done.
//!
//! Parameters that would change the answer and that we do not have are refused by name; any other unknown
//! one is ignored, as ordinary clients send many.

use axum::http::StatusCode;
use bytes::Bytes;
use qponder_pipeline::assess::Wording;
use qponder_shared::api::{Mode, Sampling};
use qponder_shared::prompt;
use serde::Deserialize;
use serde_json::Value;

use super::data_url;
use super::error::ChatError;

/// Body of `POST /v1/chat/completions`.
#[derive(Deserialize, utoipa::ToSchema)]
pub struct ChatRequest {
    /// The model's name; it may leave out the stage.
    model: String,
    messages: Vec<ChatMessage>,
    /// 0, the default, takes the most likely token.
    temperature: Option<f64>,
    /// Keep the smallest set of tokens whose probability reaches it.
    top_p: Option<f64>,
    /// Longest answer in tokens.
    max_tokens: Option<usize>,
    /// The same under OpenAI's newer name.
    max_completion_tokens: Option<usize>,
    /// Equal seeds give equal answers.
    seed: Option<i64>,
    /// Send the answer as it is written.
    stream: Option<bool>,
    stream_options: Option<ChatStreamOptions>,
    /// Only 1.
    n: Option<u32>,
    /// Only `null`.
    #[schema(value_type = Option<Object>)]
    stop: Option<Value>,
    /// Only empty.
    #[schema(value_type = Option<Object>)]
    tools: Option<Value>,
    /// Only `false`.
    logprobs: Option<bool>,
    /// Only of the type `text`.
    #[schema(value_type = Option<Object>)]
    response_format: Option<Value>,
}

/// How an answer is streamed.
#[derive(Deserialize, utoipa::ToSchema)]
pub struct ChatStreamOptions {
    /// End with a chunk that counts the tokens.
    #[serde(default)]
    include_usage: bool,
}

/// One message.
#[derive(Deserialize, utoipa::ToSchema)]
pub struct ChatMessage {
    role: ChatRole,
    content: ChatContent,
}

/// Who says it.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ChatRole {
    System,
    Developer,
    User,
    Assistant,
    Tool,
}

/// What is said.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum ChatContent {
    Text(String),
    Parts(Vec<ChatPart>),
}

/// A part of a message.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ChatPart {
    Text { text: String },
    ImageUrl { image_url: ChatImageUrl },
}

/// An image.
#[derive(Deserialize, utoipa::ToSchema)]
pub struct ChatImageUrl {
    /// A `data:` URL in base64 of a PNG, JPEG or WebP file.
    url: String,
}

/// A request that can be answered, as far as its words tell.
pub(super) struct Asked {
    pub model: String,
    pub wording: Wording,
    /// The file, not yet looked at.
    pub image: Bytes,
    pub sampling: Sampling,
    pub stream: bool,
    pub include_usage: bool,
}

impl Asked {
    /// Reads a request's body.
    pub(super) fn read(body: &[u8]) -> Result<Self, ChatError> {
        let request: ChatRequest = serde_json::from_slice(body).map_err(|error| {
            let hint = "a message has a role, and as content a text or a list of text and image_url parts";
            ChatError::unreadable(StatusCode::BAD_REQUEST, format!("the body is no request: {error}; {hint}"))
        })?;
        check_absent(&request)?;
        let sampling = sampling(&request)?;
        let (wording, image) = turns(request.messages)?;
        Ok(Self {
            model: request.model,
            wording,
            image,
            sampling,
            stream: request.stream.unwrap_or(false),
            include_usage: request.stream_options.is_some_and(|options| options.include_usage),
        })
    }
}

/// Refuses what would silently be missing.
fn check_absent(request: &ChatRequest) -> Result<(), ChatError> {
    let is_empty = |value: &Option<Value>| match value {
        None | Some(Value::Null) => true,
        Some(Value::Array(items)) => items.is_empty(),
        Some(_) => false,
    };
    let is_text = request.response_format.as_ref().is_none_or(|format| format["type"] == "text");
    for (param, holds, message) in [
        ("n", request.n.is_none_or(|n| n == 1), "only one answer is given; ask again for another"),
        ("stop", is_empty(&request.stop), "stop sequences are not supported; leave them out"),
        ("tools", is_empty(&request.tools), "tools are not supported; leave them out"),
        ("logprobs", request.logprobs != Some(true), "log-probabilities are not given; leave them out"),
        ("response_format", is_text, "only the response format `text` is supported; leave it out"),
    ] {
        if !holds {
            return Err(ChatError::refused(param, message));
        }
    }
    Ok(())
}

fn sampling(request: &ChatRequest) -> Result<Sampling, ChatError> {
    let default = Sampling::default();
    let max_tokens = request.max_completion_tokens.or(request.max_tokens);
    let sampling = Sampling {
        temperature: request.temperature.unwrap_or(default.temperature),
        top_p: request.top_p.unwrap_or(default.top_p),
        max_new_tokens: max_tokens.unwrap_or(default.max_new_tokens),
        seed: request.seed.unwrap_or(0).cast_unsigned(),
        ..default
    };
    sampling.check().map_err(|bad| {
        let param = if bad.key == "max_new_tokens" { "max_tokens" } else { bad.key };
        ChatError::refused(param, format!("{param} is {}; {}", bad.value, bad.expected))
    })?;
    Ok(sampling)
}

/// A system turn, or ours, and a user turn with one image.
fn turns(messages: Vec<ChatMessage>) -> Result<(Wording, Bytes), ChatError> {
    let refused = |message: &str| ChatError::refused("messages", message);
    let (mut system, mut user, mut images) = (None, None, Vec::new());
    for ChatMessage { role, content } in messages {
        let parts = match content {
            ChatContent::Text(text) => vec![ChatPart::Text { text }],
            ChatContent::Parts(parts) => parts,
        };
        let mut texts = Vec::new();
        for part in parts {
            match part {
                ChatPart::Text { text } => texts.push(text),
                ChatPart::ImageUrl { image_url } if role == ChatRole::User => images.push(image_url.url),
                ChatPart::ImageUrl { .. } => return Err(refused("an image belongs into the user's message")),
            }
        }
        let turn = match role {
            ChatRole::System | ChatRole::Developer if user.is_none() => &mut system,
            ChatRole::User => &mut user,
            _ => return Err(refused("only a system message and then one user message are understood")),
        };
        if turn.replace(texts.join("\n")).is_some() {
            return Err(refused("only a system message and then one user message are understood"));
        }
    }
    let user = user.ok_or_else(|| refused("there is no user message"))?;
    let [url] = &images[..] else {
        return Err(refused("exactly one image is needed, as an image_url part of the user's message"));
    };
    let image = data_url::read(url).map_err(refused)?;
    let usual = || prompt::current(Mode::Reason).text.to_owned();
    let wording = Wording {
        system: system.unwrap_or_else(|| prompt::SYSTEM.to_owned()),
        user: if user.trim().is_empty() { usual() } else { user },
    };
    Ok((wording, image.into()))
}
