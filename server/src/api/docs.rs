//! The OpenAPI document, and a page that people can read: ours, small, and without any other host.

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use bytes::Bytes;
use utoipa::openapi::OpenApi;

/// Routes of the documentation.
pub fn router<S: Clone + Send + Sync + 'static>(document: &OpenApi) -> Router<S> {
    let json = Bytes::from(document.to_pretty_json().unwrap_or_default());
    Router::new()
        .route("/api/openapi.json", get(move || async move { file(json.clone(), "application/json") }))
        .route(
            "/api/docs",
            get(|| async { text(include_str!("docs/index.html"), "text/html; charset=utf-8") }),
        )
        .route("/api/docs/", get(|| async { Redirect::permanent("/api/docs") }))
        .route("/api/docs/docs.js", get(|| async { text(include_str!("docs/docs.js"), "text/javascript") }))
        .route("/api/docs/docs.css", get(|| async { text(include_str!("docs/docs.css"), "text/css") }))
}

fn text(text: &'static str, content_type: &'static str) -> Response {
    file(Bytes::from_static(text.as_bytes()), content_type)
}

fn file(bytes: Bytes, content_type: &'static str) -> Response {
    let mut response = bytes.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}
