//! The bytes of an image: the original, a thumbnail, and a lossless rendering.
//!
//! They never change under one address, so browsers keep them for good.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use qponder_shared::ImageId;
use qponder_shared::api::{Image, Problem};

use super::extract::Path;
use super::images::find;
use super::problem::ApiError;
use crate::decoding::Decoder;
use crate::store::Store;
use crate::store::objects::{Kind, Objects};

/// For a year, which is for ever; only in the browser of who may see it.
const IMMUTABLE: &str = "private, max-age=31536000, immutable";

/// An uploaded file is shown and never run, whatever a browser takes it for.
pub const INERT: &str = "default-src 'none'; sandbox";

/// The uploaded file, byte for byte.
#[utoipa::path(get, path = "/images/{id}/original", tag = "images", params(("id" = ImageId, Path)), responses(
    (status = OK, description = "The bytes that were uploaded.", content(
        (Vec<u8> = "image/png"), (Vec<u8> = "image/jpeg"), (Vec<u8> = "image/webp"),
    )),
    (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
))]
pub async fn original(
    State(store): State<Store>,
    State(objects): State<Objects>,
    Path(id): Path<ImageId>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let image = find(&store, id).await?;
    let etag = etag(&image, Kind::Original);
    if is_fresh(&headers, &etag) {
        return Ok(not_modified(&etag));
    }
    let bytes = stored(&objects, Kind::Original, &image).await?;
    let content_type = match image.format.as_str() {
        "png" => "image/png",
        "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        _ => "application/octet-stream",
    };
    let mut response = respond(bytes, content_type, &etag);
    if let Ok(value) = HeaderValue::from_str(&disposition("inline", &image.name)) {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, value);
    }
    Ok(response)
}

/// A JPEG for galleries, 320 pixels on its longer side at most.
#[utoipa::path(get, path = "/images/{id}/thumbnail", tag = "images", params(("id" = ImageId, Path)), responses(
    (status = OK, description = "The thumbnail.", body = Vec<u8>, content_type = "image/jpeg"),
    (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
))]
pub async fn thumbnail(
    State(store): State<Store>,
    State(objects): State<Objects>,
    State(decoder): State<Decoder>,
    Path(id): Path<ImageId>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    derived(&store, &objects, &decoder, Kind::Thumbnail, id, &headers).await
}

/// The decoded pixels as a lossless PNG, orientation and colour profile applied.
#[utoipa::path(get, path = "/images/{id}/rendering", tag = "images", params(("id" = ImageId, Path)), responses(
    (status = OK, description = "The rendering.", body = Vec<u8>, content_type = "image/png"),
    (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
))]
pub async fn rendering(
    State(store): State<Store>,
    State(objects): State<Objects>,
    State(decoder): State<Decoder>,
    Path(id): Path<ImageId>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    derived(&store, &objects, &decoder, Kind::Rendering, id, &headers).await
}

/// What is made of an original when it is first asked for, and kept.
async fn derived(
    store: &Store,
    objects: &Objects,
    decoder: &Decoder,
    kind: Kind,
    id: ImageId,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let image = find(store, id).await?;
    let etag = etag(&image, kind);
    if is_fresh(headers, &etag) {
        return Ok(not_modified(&etag));
    }
    let content_type = if kind == Kind::Thumbnail { "image/jpeg" } else { "image/png" };
    if let Some(bytes) = objects.get(kind, &image.sha256).await? {
        return Ok(respond(bytes, content_type, &etag));
    }
    let bytes = stored(objects, Kind::Original, &image).await?;
    let made = match kind {
        Kind::Thumbnail => decoder.thumbnail(bytes).await,
        _ => decoder.rendering(bytes).await,
    };
    let made = Bytes::from(made.map_err(|error| ApiError::internal(&error))?);
    objects.put(kind, &image.sha256, made.clone()).await?;
    Ok(respond(made, content_type, &etag))
}

async fn stored(objects: &Objects, kind: Kind, image: &Image) -> Result<Bytes, ApiError> {
    let bytes = objects.get(kind, &image.sha256).await?;
    // A row without bytes is either being deleted right now or lost by the disk.
    bytes.ok_or_else(|| ApiError::not_found("file of image", image.id))
}

fn etag(image: &Image, kind: Kind) -> String {
    let kind = match kind {
        Kind::Original => "original",
        Kind::Thumbnail => "thumbnail",
        Kind::Rendering => "rendering",
        Kind::Export => "export",
        Kind::Artifact => "artifact",
        Kind::Checkpoint => "checkpoint",
    };
    format!("\"{}-{kind}\"", image.sha256)
}

fn is_fresh(headers: &HeaderMap, etag: &str) -> bool {
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    known.is_some_and(|known| known.split(',').any(|one| one.trim().trim_start_matches("W/") == etag))
}

fn not_modified(etag: &str) -> Response {
    let headers = [(header::ETAG, etag), (header::CACHE_CONTROL, IMMUTABLE)];
    (StatusCode::NOT_MODIFIED, headers).into_response()
}

fn respond(bytes: Bytes, content_type: &'static str, etag: &str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, IMMUTABLE),
        (header::ETAG, etag),
        (header::CONTENT_SECURITY_POLICY, INERT),
    ];
    (headers, Body::from(bytes)).into_response()
}

/// An answer that is saved as a file of this name and size, and not shown.
pub fn saved(name: &str, bytes: u64, body: Body) -> Response {
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CONTENT_LENGTH, bytes.into());
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(INERT));
    if let Ok(name) = HeaderValue::from_str(&attachment(name)) {
        headers.insert(header::CONTENT_DISPOSITION, name);
    }
    response
}

/// A file that is saved under this name and not shown.
pub fn attachment(name: &str) -> String {
    disposition("attachment", name)
}

/// The name for a saved copy, as RFC 6266 has it: every byte that is not plainly safe is escaped.
fn disposition(kind: &str, name: &str) -> String {
    let mut text = format!("{kind}; filename*=UTF-8''");
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::disposition;

    #[test]
    fn no_name_can_leave_its_place() {
        assert_eq!(
            disposition("inline", "a b\"\r\n;é.png"),
            "inline; filename*=UTF-8''a%20b%22%0D%0A%3B%C3%A9.png"
        );
    }
}
