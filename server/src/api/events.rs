//! The event stream of an assessment: server-sent events, from the start or from where a client
//! left off. Nothing polls: the stream sleeps on the feed's channel.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use qponder_shared::AssessmentId;
use qponder_shared::api::{Assessment, AssessmentEvent, Problem};
use tokio::sync::watch;

use super::extract::Path;
use super::gate::Caller;
use super::images::check_sight;
use super::problem::ApiError;
use crate::inference::{Feed, Inference, Listener, Phase};
use crate::store::Store;

/// A comment line this often keeps proxies from closing a silent stream.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long a client waits before it connects again after the stream broke.
const RETRY: Duration = Duration::from_secs(1);

/// Follow an assessment.
///
/// The events are `queued`, `token` and `done`, each with a JSON object as data; `done` is the last
/// one. The id of an event is the number of bytes of text up to its end: a client that comes back
/// with it in `Last-Event-ID` goes on from there, any other gets the text from its beginning.
#[utoipa::path(get, path = "/assessments/{id}/events", tag = "assessments",
    params(
        ("id" = AssessmentId, Path),
        ("Last-Event-ID" = Option<u64>, Header, description = "The id of the last event that was received."),
    ),
    responses(
        (status = OK, body = AssessmentEvent, content_type = "text/event-stream"),
        (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn events(
    State(store): State<Store>,
    State(inference): State<Inference>,
    caller: Caller,
    Path(id): Path<AssessmentId>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    // The feed before the row: an assessment that ends in between is found final in the row.
    let feed = inference.feed(id);
    let assessment = store.assessment(id).await?.ok_or_else(|| ApiError::not_found("assessment", id))?;
    check_sight(&caller)?;
    let sent = headers.get("last-event-id").and_then(|value| value.to_str().ok()?.parse().ok()).unwrap_or(0);
    let source = match feed {
        Some(feed) if !assessment.status.is_final() => Source::Live(Live::new(&feed, inference)),
        _ => Source::Row(Box::new(assessment)),
    };
    let events = Events { source, sent, pending: VecDeque::new() };
    let stream = futures_util::stream::unfold(events, |mut events| async {
        let event = events.next().await?;
        Some((write(&event, events.sent), events))
    });
    let mut response = Sse::new(stream).keep_alive(KeepAlive::new().interval(HEARTBEAT)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // A buffering proxy would turn the stream into one block.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// Where events come from.
enum Source {
    /// A row that nothing changes any more, or that no engine has taken up yet.
    Row(Box<Assessment>),
    /// A feed.
    Live(Live),
    /// Nothing more.
    End,
}

struct Live {
    listener: Listener,
    id: AssessmentId,
    inference: Inference,
    finished: watch::Receiver<u64>,
    /// The place in the queue that was told last.
    ahead: Option<usize>,
}

impl Live {
    fn new(feed: &Arc<Feed>, inference: Inference) -> Self {
        let finished = inference.watch_finished();
        Self { listener: feed.listen(), id: feed.id, inference, finished, ahead: None }
    }
}

/// The events of one stream.
struct Events {
    source: Source,
    /// Bytes of text that the client has.
    sent: usize,
    pending: VecDeque<AssessmentEvent>,
}

impl Events {
    /// The next event; `None` at the end. Waits where there is nothing new.
    async fn next(&mut self) -> Option<AssessmentEvent> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Some(event);
            }
            match std::mem::replace(&mut self.source, Source::End) {
                Source::End => return None,
                Source::Row(assessment) if assessment.status.is_final() => self.finish(*assessment),
                // The client connects again, and finds it taken up by then.
                Source::Row(_) => self.pending.push_back(AssessmentEvent::Queued { ahead: 0 }),
                Source::Live(live) => self.follow(live).await,
            }
        }
    }

    /// Takes what a feed has, or waits until it has something.
    async fn follow(&mut self, mut live: Live) {
        let phase = {
            let now = live.listener.progress.borrow_and_update();
            push_text(&mut self.pending, &mut self.sent, &now.text);
            now.phase.clone()
        };
        match phase {
            Phase::Final(assessment) => return self.finish(*assessment),
            Phase::Unrecorded(_) | Phase::Gone => return,
            Phase::Queued => {
                let ahead = live.inference.ahead_of(live.id);
                if live.ahead.replace(ahead) != Some(ahead) {
                    self.pending.push_back(AssessmentEvent::Queued { ahead });
                }
            }
            Phase::Running => {}
        }
        if self.pending.is_empty() {
            let queued = matches!(phase, Phase::Queued);
            let alive = tokio::select! {
                changed = live.listener.progress.changed() => changed.is_ok(),
                _ = live.finished.changed(), if queued => true,
            };
            if !alive {
                return;
            }
        }
        self.source = Source::Live(live);
    }

    fn finish(&mut self, assessment: Assessment) {
        push_text(&mut self.pending, &mut self.sent, &assessment.text);
        self.pending.push_back(AssessmentEvent::Done { assessment: Box::new(assessment) });
    }
}

/// Queues the text that the client does not have yet. A client can claim any offset: one that is
/// not between two characters goes back to the one before.
fn push_text(pending: &mut VecDeque<AssessmentEvent>, sent: &mut usize, text: &str) {
    let offset = text.floor_char_boundary(*sent);
    if let Some(new) = text.get(offset..).filter(|new| !new.is_empty()) {
        pending.push_back(AssessmentEvent::Token { offset, text: new.to_owned() });
        *sent = text.len();
    }
}

fn write(event: &AssessmentEvent, sent: usize) -> Result<Event, axum::Error> {
    let (name, id) = match event {
        AssessmentEvent::Queued { .. } => ("queued", sent),
        AssessmentEvent::Token { offset, text } => ("token", offset + text.len()),
        AssessmentEvent::Done { .. } => ("done", sent),
    };
    Event::default().event(name).id(id.to_string()).retry(RETRY).json_data(event)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_claimed_offset_is_answered_from_a_character() {
        for (claimed, expected) in [(0, Some("né")), (1, Some("é")), (2, Some("é")), (3, None), (99, None)]
        {
            let (mut pending, mut sent) = (VecDeque::new(), claimed);
            push_text(&mut pending, &mut sent, "né");
            let text = pending.pop_front().map(|event| match event {
                AssessmentEvent::Token { text, .. } => text,
                other => panic!("{other:?}"),
            });
            assert_eq!(text.as_deref(), expected, "{claimed}");
        }
    }
}
