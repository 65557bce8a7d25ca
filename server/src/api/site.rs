//! The page: files that the frontend build left in a directory, compressed copies included.

use std::path::Path;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get_service;
use tower_http::services::{ServeDir, ServeFile};

/// Serves a directory; without it, a page that says how to build it. Addresses of the page's own
/// views, which name no file, get `index.html`.
pub fn router(directory: &Path) -> Router {
    let index = directory.join("index.html");
    if !index.is_file() {
        return Router::new()
            .fallback(|| async { (StatusCode::NOT_FOUND, Html(include_str!("docs/missing_page.html"))) });
    }
    let page = ServeFile::new(index).precompressed_br().precompressed_gzip();
    let files = ServeDir::new(directory).precompressed_br().precompressed_gzip().fallback(page);
    Router::new().fallback_service(get_service(files)).layer(from_fn(finish))
}

/// Tells browsers what to keep, and does not let a missing file pass as the page.
async fn finish(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let name = path.rsplit('/').next().unwrap_or_default().to_owned();
    let immutable = has_content_hash(&name);
    let names_a_file = name.contains('.') && name != "index.html";
    let mut response = next.run(request).await;
    let kind = response.headers().get(header::CONTENT_TYPE);
    let is_page = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    if names_a_file && is_page && !name.ends_with(".html") {
        return StatusCode::NOT_FOUND.into_response();
    }
    let kept = if immutable && response.status().is_success() {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(kept));
    response
}

/// Whether a name carries a hash of its content, as in `page-0123456789abcdef.js`: then the content
/// under this name never changes.
fn has_content_hash(name: &str) -> bool {
    name.split(['-', '.', '_']).skip(1).any(|part| {
        part.len() >= 8
            && part.bytes().all(|byte| byte.is_ascii_hexdigit())
            && part.bytes().any(|byte| byte.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::has_content_hash;

    #[test]
    fn only_a_hash_makes_a_name_immutable() {
        for (name, expected) in [
            ("page-0123abcd4567ef89.js", true),
            ("page_bg.0123abcd.wasm", true),
            ("index.html", false),
            ("facade-defaced.js", false),
            ("0123abcd.js", false),
        ] {
            assert_eq!(has_content_hash(name), expected, "{name}");
        }
    }
}
