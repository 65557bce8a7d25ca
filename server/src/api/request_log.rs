//! A name for every request, a log line at its end, and its place in the counters.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument;
use uuid::Uuid;

use crate::metrics::Metrics;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The id of a request, within its extensions.
#[derive(Clone, Copy)]
pub struct RequestId(pub Uuid);

/// Gives a request its id: on every log line that it causes, and in the answer's `x-request-id`.
pub async fn name(mut request: Request, next: Next) -> Response {
    let id = Uuid::now_v7();
    request.extensions_mut().insert(RequestId(id));
    let id = id.to_string();
    let span = tracing::info_span!("request", id, method = %request.method(), path = request.uri().path());
    let mut response = next.run(request).instrument(span).await;
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

/// Counts and logs a request when its answer begins; a stream's end is not waited for.
pub async fn observe(State(metrics): State<Arc<Metrics>>, request: Request, next: Next) -> Response {
    let start = Instant::now();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map(|route| route.as_str().to_owned());
    let response = next.run(request).await;
    let (status, time) = (response.status().as_u16(), start.elapsed());
    metrics.request(method.as_str(), route.as_deref().unwrap_or("page"), status, time);
    let ms = time.as_secs_f64() * 1e3;
    match response.status().is_server_error() {
        true => tracing::warn!(status, ms, "answered"),
        // A page asks for many files; health checks never end.
        false if route.as_deref().is_none_or(|route| !route.starts_with("/api")) => {
            tracing::debug!(status, ms, "answered");
        }
        false => tracing::info!(status, ms, "answered"),
    }
    response
}
