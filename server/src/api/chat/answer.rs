//! A completion as the client gets it, in one piece or in chunks.

use std::collections::VecDeque;

use axum::response::sse::Event;
use futures_util::Stream;
use serde::Serialize;
use serde_json::{Value, json};

use super::outcome;
use crate::inference::Listener;
use crate::store::assessments::Outcome;

/// What every piece of an answer repeats.
pub(super) struct Envelope {
    pub id: String,
    /// Seconds since 1970.
    pub created: u64,
    /// As the client named it.
    pub model: String,
}

/// A whole answer.
#[derive(Serialize, utoipa::ToSchema)]
pub struct ChatCompletion {
    id: String,
    /// `chat.completion`.
    object: &'static str,
    /// Seconds since 1970.
    created: u64,
    model: String,
    /// One.
    choices: Vec<ChatChoice>,
    usage: ChatUsage,
}

/// The answer.
#[derive(Serialize, utoipa::ToSchema)]
pub struct ChatChoice {
    index: u32,
    message: ChatAnswer,
    /// `stop`, or `length` where it ran out of tokens.
    finish_reason: &'static str,
}

/// What the model says.
#[derive(Serialize, utoipa::ToSchema)]
pub struct ChatAnswer {
    /// `assistant`.
    role: &'static str,
    content: String,
}

/// Tokens as the model counts them; those of the image are among the prompt's.
#[derive(Clone, Copy, Serialize, utoipa::ToSchema)]
pub struct ChatUsage {
    prompt_tokens: usize,
    completion_tokens: usize,
    total_tokens: usize,
}

impl ChatUsage {
    fn of(outcome: &Outcome) -> Self {
        let prompt_tokens = outcome.prompt_tokens.unwrap_or_default();
        let completion_tokens = outcome.new_tokens.unwrap_or_default();
        Self { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens }
    }
}

fn finish_reason(outcome: &Outcome) -> &'static str {
    outcome.finish.unwrap_or("stop")
}

impl ChatCompletion {
    /// A whole answer.
    pub(super) fn new(envelope: Envelope, outcome: &Outcome) -> Self {
        let Envelope { id, created, model } = envelope;
        let message = ChatAnswer { role: "assistant", content: outcome.text.clone() };
        let choices = vec![ChatChoice { index: 0, message, finish_reason: finish_reason(outcome) }];
        Self { id, object: "chat.completion", created, model, choices, usage: ChatUsage::of(outcome) }
    }
}

/// An answer in chunks, as it is written.
pub(super) struct Pieces {
    envelope: Envelope,
    /// `None` after the last chunk.
    listener: Option<Listener>,
    include_usage: bool,
    /// Bytes of text that were sent.
    sent: usize,
    pending: VecDeque<Value>,
}

impl Pieces {
    /// From the beginning.
    pub(super) fn new(envelope: Envelope, listener: Listener, include_usage: bool) -> Self {
        let pending = VecDeque::new();
        let mut pieces = Self { envelope, listener: Some(listener), include_usage, sent: 0, pending };
        pieces.push_delta(json!({ "role": "assistant", "content": "" }), None);
        pieces
    }

    /// The events, `[DONE]` last. A stream that fails ends with an error instead.
    pub(super) fn into_stream(self) -> impl Stream<Item = Result<Event, axum::Error>> {
        futures_util::stream::unfold(self, |mut pieces| async {
            let piece = pieces.next().await?;
            let event = match piece {
                Value::String(word) => Ok(Event::default().data(word)),
                chunk => Event::default().json_data(chunk),
            };
            Some((event, pieces))
        })
    }

    /// The next chunk; `None` at the end. Waits where there is nothing new.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(piece) = self.pending.pop_front() {
                return Some(piece);
            }
            let mut listener = self.listener.take()?;
            let (phase, new) = {
                let now = listener.progress.borrow_and_update();
                (now.phase.clone(), now.text.get(self.sent..).unwrap_or_default().to_owned())
            };
            self.push_text(&new);
            if phase.is_last() {
                self.finish(&phase);
                continue;
            }
            if self.pending.is_empty() && listener.progress.changed().await.is_err() {
                return None;
            }
            self.listener = Some(listener);
        }
    }

    /// What comes after the last text.
    fn finish(&mut self, phase: &crate::inference::Phase) {
        let outcome = match outcome(phase) {
            Ok(outcome) => outcome,
            Err(error) => {
                self.pending.extend(serde_json::to_value(error.into_body()));
                return;
            }
        };
        let rest = outcome.text.get(self.sent..).unwrap_or_default().to_owned();
        self.push_text(&rest);
        self.push_delta(json!({}), Some(finish_reason(&outcome)));
        if self.include_usage {
            let mut chunk = self.chunk(json!([]));
            chunk["usage"] = json!(ChatUsage::of(&outcome));
            self.pending.push_back(chunk);
        }
        self.pending.push_back("[DONE]".into());
    }

    fn push_text(&mut self, text: &str) {
        if !text.is_empty() {
            self.sent += text.len();
            self.push_delta(json!({ "content": text }), None);
        }
    }

    fn push_delta(&mut self, delta: Value, finish: Option<&str>) {
        let chunk = self.chunk(json!([{ "index": 0, "delta": delta, "finish_reason": finish }]));
        self.pending.push_back(chunk);
    }

    fn chunk(&self, choices: Value) -> Value {
        let Envelope { id, created, model } = &self.envelope;
        json!({
            "id": id,
            "object": "chat.completion.chunk",
            "created": created,
            "model": model,
            "choices": choices,
        })
    }
}
