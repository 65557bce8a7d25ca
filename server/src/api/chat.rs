//! The OpenAI dialect: `/v1/chat/completions` and `/v1/models`, so that ordinary clients can ask Q-Ponder.
//!
//! A completion goes through the same queue as an assessment, with the caller's words. It is no assessment:
//! nothing of it is stored, and it ends when its client goes.

mod answer;
mod data_url;
mod error;
mod request;

use std::sync::Arc;
use std::time::SystemTime;

use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderValue, Uri, header};
use axum::response::sse::{KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use qponder_shared::AssessmentId;
use qponder_shared::api::{AssessmentStatus, Mode, ModelPlace, ServedModel};
use serde::Serialize;

use crate::decoding::{Decoder, Refusal};
use crate::inference::{Inference, Job, Phase, Picture, Words, takes};
use crate::store::assessments::Outcome;
use answer::{ChatCompletion, Envelope, Pieces};
pub use error::{ChatError, ChatErrorBody};
use request::{Asked, ChatRequest};

/// Largest request in bytes: the largest image that is accepted, in base64, with room for words.
pub const MAX_REQUEST_BYTES: usize = (50 << 20) / 3 * 4 + (1 << 20);

/// The models that can be asked.
#[derive(Serialize, utoipa::ToSchema)]
pub struct ChatModelList {
    /// `list`.
    object: &'static str,
    data: Vec<ChatModel>,
}

/// A model that can be asked.
#[derive(Serialize, utoipa::ToSchema)]
pub struct ChatModel {
    id: String,
    /// `model`.
    object: &'static str,
    /// Always 0: a checkpoint directory does not say when it was made.
    created: u64,
    owned_by: &'static str,
}

/// List the models, as OpenAI's API does.
#[utoipa::path(get, path = "/models", tag = "openai", responses((status = OK, body = ChatModelList)))]
pub async fn models(State(inference): State<Inference>) -> axum::Json<ChatModelList> {
    let model = |(_, model): &(usize, Arc<ServedModel>)| ChatModel {
        id: model.name.clone(),
        object: "model",
        created: 0,
        owned_by: match model.place {
            ModelPlace::Local => "qponder",
            ModelPlace::Endpoint => "endpoint",
        },
    };
    axum::Json(ChatModelList { object: "list", data: inference.models().iter().map(model).collect() })
}

/// Ask about an image in your own words, as OpenAI's API does.
///
/// The messages are a system message, which may be left out, and one user message with one image as a
/// `data:` URL; addresses are never fetched. The image stands before the text, wherever it is in the
/// message. Without a text the model is asked for its usual reasoning. The answer ends where the model ends
/// it, at `</answer>`, or at `max_tokens`. Without a temperature it is the most likely one. Nothing is
/// stored.
#[utoipa::path(post, path = "/chat/completions", tag = "openai",
    request_body = ChatRequest,
    responses(
        (status = OK, content(
            (ChatCompletion = "application/json"),
            (String = "text/event-stream"),
        )),
        (status = BAD_REQUEST, description = "What was asked cannot be answered.", body = ChatErrorBody),
        (status = NOT_FOUND, description = "There is no such model.", body = ChatErrorBody),
        (status = PAYLOAD_TOO_LARGE, description = "The image has too many bytes.", body = ChatErrorBody),
        (status = TOO_MANY_REQUESTS, description = "The queue is full; `Retry-After` says when to try again.",
            body = ChatErrorBody),
        (status = SERVICE_UNAVAILABLE, description = "The server is stopping; `Retry-After` says when to try again.",
            body = ChatErrorBody),
        (status = UNAUTHORIZED, description = "The API key is missing or is none of ours.", body = ChatErrorBody),
    ))]
pub async fn complete(
    State(inference): State<Inference>,
    State(decoder): State<Decoder>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ChatError> {
    let body = body.map_err(|rejection| ChatError::unreadable(rejection.status(), rejection.body_text()))?;
    let Asked { model, wording, image, sampling, stream, include_usage } = Asked::read(&body)?;
    drop(body);
    let models = inference.models();
    let names: Vec<&str> = models.iter().map(|(_, model)| model.name.as_str()).collect();
    let lane = lane(&model, &names).and_then(|place| models.get(place)).map(|(lane, _)| *lane);
    let lane = lane.ok_or_else(|| ChatError::no_model(&model, &names))?;
    let asked = inference.model(lane).ok_or_else(|| ChatError::no_model(&model, &names))?;
    takes(&asked, Mode::Reason, &sampling).map_err(|reason| ChatError::refused("model", reason))?;
    // Looked at on arrival, as an upload is; pixels do not wait in the queue.
    let pixels = match decoder.decode(image.clone()).await {
        Ok(decoded) => decoded.image.width() as u64 * decoded.image.height() as u64,
        Err(Refusal::File(error)) => {
            return Err(ChatError::refused("messages", format!("the image: {error}")));
        }
        Err(error) => return Err(ChatError::internal(&error)),
    };
    let feed = inference.reserve(lane)?.submit(Job {
        id: AssessmentId::new(),
        picture: Picture::Sent { bytes: image, pixels },
        mode: Mode::Reason,
        sampling,
        words: Some(Words { wording, version: None }),
        cancel_on_disconnect: true,
    });
    let mut listener = feed.listen();
    // A refusal has its status as long as nothing was sent, so a stream begins with its first word.
    let phase = {
        let ready = listener.progress.wait_for(|now| now.phase.is_last() || (stream && !now.text.is_empty()));
        ready.await.map_err(|error| ChatError::internal(&error))?.phase.clone()
    };
    let created = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs());
    let envelope = Envelope { id: format!("chatcmpl-{}", feed.id), created, model };
    if phase.is_last() {
        let outcome = outcome(&phase)?;
        if !stream {
            return Ok(axum::Json(ChatCompletion::new(envelope, &outcome)).into_response());
        }
    }
    let pieces = Pieces::new(envelope, listener, include_usage);
    let mut response = Sse::new(pieces.into_stream()).keep_alive(KeepAlive::new()).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // A buffering proxy would turn the stream into one block.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// There is nothing else under `/v1`.
pub async fn no_such_route(uri: Uri) -> ChatError {
    ChatError::no_route(uri.path())
}

/// Which model a client means: one by its name, or else the first that has this name without its stage.
fn lane(asked: &str, names: &[&str]) -> Option<usize> {
    let exact = names.iter().position(|name| *name == asked);
    exact.or_else(|| names.iter().position(|name| is_name_of(asked, name)))
}

/// Whether a client means the model: by its name, or by its name without the stage.
fn is_name_of(asked: &str, name: &str) -> bool {
    name.strip_prefix(asked).is_some_and(|rest| matches!(rest, "" | "-ci" | "-rl"))
}

/// How a completion ended, where it has an answer.
fn outcome(phase: &Phase) -> Result<Arc<Outcome>, ChatError> {
    let Phase::Unrecorded(outcome) = phase else {
        return Err(ChatError::stopping());
    };
    match outcome.status {
        AssessmentStatus::Done => Ok(Arc::clone(outcome)),
        AssessmentStatus::Failed => {
            let reason = outcome.error.clone().unwrap_or_default();
            Err(if outcome.refused {
                ChatError::refused("messages", reason)
            } else {
                ChatError::failed(reason)
            })
        }
        _ => Err(ChatError::stopping()),
    }
}

#[cfg(test)]
mod tests {
    use super::{is_name_of, lane};

    #[test]
    fn an_exact_name_comes_before_one_without_its_stage() {
        let names = ["nano-ci", "nano-rl", "nano"];
        for (asked, meant) in [("nano", Some(2)), ("nano-rl", Some(1)), ("nan", None)] {
            assert_eq!(lane(asked, &names), meant, "{asked}");
        }
        assert_eq!(lane("nano", &names[..2]), Some(0));
    }

    #[test]
    fn a_model_is_named_with_or_without_its_stage() {
        for (asked, meant) in [
            ("nano-ci", true),
            ("nano", true),
            ("nano-rl", false),
            ("nan", false),
            ("", false),
            ("nano-", false),
        ] {
            assert_eq!(is_name_of(asked, "nano-ci"), meant, "{asked}");
        }
    }
}
