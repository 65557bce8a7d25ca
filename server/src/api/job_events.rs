//! The event stream of a job: how it is, its numbers and its log, as they come. Nothing polls: the stream sleeps
//! until the database says that the job changed.

use std::collections::VecDeque;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use qponder_shared::JobId;
use qponder_shared::api::Problem;
use qponder_shared::job::{Job, JobEvent};

use super::extract::{Path, Query};
use super::jobs::find;
use super::problem::ApiError;
use crate::jobs::{JobNews, Listener};
use crate::store::{Store, StoreError};

/// A comment line this often keeps proxies from closing a silent stream.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long a client waits before it connects again after the stream broke.
const RETRY: Duration = Duration::from_secs(1);
/// Steps or lines of one event.
const CHUNK: i64 = 500;

/// From where on.
#[derive(serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Follow {
    /// Numbers after this place.
    #[serde(default)]
    metrics: u64,
    /// Lines after this place.
    #[serde(default)]
    log: u64,
}

/// Follow a job.
///
/// The events are `job`, `metrics` and `log`, each with a JSON object as data. The id of an event says where its
/// numbers and lines end: a client that comes back with it in `Last-Event-ID` misses nothing. After the end of the
/// job the stream ends.
#[utoipa::path(get, path = "/jobs/{id}/events", tag = "training",
    params(
        ("id" = JobId, Path), Follow,
        ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that was received."),
    ),
    responses(
        (status = OK, body = JobEvent, content_type = "text/event-stream"),
        (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn events(
    State(store): State<Store>,
    State(news): State<JobNews>,
    Path(id): Path<JobId>,
    Query(from): Query<Follow>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    // Before the first look, so that no change falls between the two.
    let listener = news.listen();
    find(&store, id).await?;
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok()).and_then(read_id);
    let (metrics, log) = last.unwrap_or((from.metrics, from.log));
    let follower = Follower { store, listener, id, metrics, log, known: None, pending: VecDeque::new() };
    let stream = futures_util::stream::unfold(follower, |mut follower| async {
        let event = follower.next().await?;
        Some((write(&event, &follower), follower))
    });
    let mut response = Sse::new(stream).keep_alive(KeepAlive::new().interval(HEARTBEAT)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // A buffering proxy would turn the stream into one block.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

struct Follower {
    store: Store,
    listener: Listener,
    id: JobId,
    /// Where the numbers and lines end that were sent.
    metrics: u64,
    log: u64,
    /// The job as it was sent last.
    known: Option<Job>,
    pending: VecDeque<JobEvent>,
}

impl Follower {
    /// The next event; `None` at the end, or when the database fails: the client comes back.
    async fn next(&mut self) -> Option<JobEvent> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Some(event);
            }
            let is_final = self.known.as_ref().is_some_and(|job| job.state.is_final());
            match self.look().await {
                Ok(true) => {}
                Ok(false) if is_final => return None,
                Ok(false) => self.listener.wait_for(self.id).await,
                Err(error) => {
                    tracing::warn!(%error, job = %self.id, "the events of a job are cut off");
                    return None;
                }
            }
        }
    }

    /// Looks for what is new; whether there is something.
    async fn look(&mut self) -> Result<bool, StoreError> {
        let (metrics, place) = self.store.metrics_after(self.id, self.metrics, CHUNK).await?;
        if !metrics.is_empty() {
            self.metrics = place;
            self.pending.push_back(JobEvent::Metrics { metrics });
        }
        let lines = self.store.log_after(self.id, self.log, CHUNK).await?;
        if let Some(last) = lines.last() {
            self.log = last.place;
            self.pending.push_back(JobEvent::Log { lines });
        }
        let Some(job) = self.store.job(self.id).await? else { return Ok(false) };
        if self.known.as_ref() != Some(&job) {
            self.pending.push_back(JobEvent::Job { job: Box::new(job.clone()) });
            self.known = Some(job);
        }
        Ok(!self.pending.is_empty())
    }
}

fn write(event: &JobEvent, follower: &Follower) -> Result<Event, axum::Error> {
    // What waits to be sent is behind the places, which are those after all of it.
    let id = follower.pending.is_empty().then(|| format!("{}.{}", follower.metrics, follower.log));
    let written = Event::default().event(event.name()).retry(RETRY).json_data(event)?;
    Ok(match id {
        Some(id) => written.id(id),
        None => written,
    })
}

fn read_id(text: &str) -> Option<(u64, u64)> {
    let (metrics, log) = text.split_once('.')?;
    Some((metrics.parse().ok()?, log.parse().ok()?))
}
