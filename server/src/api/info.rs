//! What this server is: its model, its limits, its health.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use qponder_shared::api::ServerInfo;

use super::problem::ApiError;
use crate::decoding;
use crate::inference::Inference;
use crate::metrics::Metrics;
use crate::store::Store;

/// The model that answers, and the limits of uploads.
#[utoipa::path(get, path = "/info", tag = "server", responses((status = OK, body = ServerInfo)))]
pub async fn info(State(inference): State<Inference>) -> Result<axum::Json<ServerInfo>, ApiError> {
    let limits = decoding::limits();
    let model = inference.info().ok_or_else(|| ApiError::not_found("model", "default"))?;
    Ok(axum::Json(ServerInfo {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        model: (*model).clone(),
        models: inference.models().into_iter().map(|(_, model)| (*model).clone()).collect(),
        max_upload_bytes: limits.max_bytes as u64,
        max_upload_pixels: limits.max_pixels,
    }))
}

/// Whether the process answers at all.
pub async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether it can do its work: the database answers. The model is loaded before anything listens.
pub async fn readyz(State(store): State<Store>) -> (StatusCode, &'static str) {
    match store.ping().await {
        Ok(()) => (StatusCode::OK, "ready\n"),
        Err(error) => {
            tracing::warn!(%error, "not ready");
            (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer\n")
        }
    }
}

/// Counters in Prometheus' text format.
pub async fn metrics(
    State(metrics): State<Arc<Metrics>>,
    State(inference): State<Inference>,
    State(store): State<Store>,
) -> impl IntoResponse {
    // What the server itself counts is there while the database is away.
    let queue =
        store.queue_now().await.inspect_err(|error| tracing::warn!(%error, "the queue has no numbers"));
    let content_type = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (content_type, metrics.render(inference.unfinished(), queue.ok()))
}
