//! Upload: many files in one request, each accepted or refused on its own.

use std::sync::Arc;

use axum::extract::State;
use axum::extract::multipart::{Field, Multipart, MultipartError, MultipartRejection};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use qponder_kernels::pixels::DecodeError;
use qponder_shared::account::check::is_invisible;
use qponder_shared::api::{Problem, UploadReport, UploadedFile};

use super::gate::Caller;
use super::problem::{ApiError, problem};
use crate::decoding::{self, Decoder, Refusal};
use crate::metrics::Metrics;
use crate::store::Store;
use crate::store::audit::By;
use crate::store::images::NewImage;
use crate::store::objects::{Kind, Objects, sha256};

/// Largest request in bytes: some gigabytes of holiday photographs.
pub const MAX_REQUEST_BYTES: usize = 4 << 30;
/// Longest file name kept, in characters.
const MAX_NAME: usize = 200;
/// How much of its end is kept where it is longer.
const END_OF_NAME: usize = 12;

/// Body of an upload.
#[derive(utoipa::ToSchema)]
#[expect(
    dead_code,
    reason = "describes the form in the OpenAPI document; the fields are read as they stream in"
)]
pub struct UploadForm {
    /// PNG, JPEG or WebP files; any number of them.
    #[schema(value_type = Vec<String>, format = Binary, content_media_type = "application/octet-stream")]
    files: Vec<Vec<u8>>,
}

/// Upload images.
///
/// Each file is stored or refused on its own; the report has one entry a file, in the order sent.
/// Bytes that are here already give the earlier image and `duplicate`, so repeating an upload is
/// harmless. When no file is accepted the answer is the first file's problem, with the report in
/// `files`.
#[utoipa::path(post, path = "/images", tag = "images",
    request_body(content = UploadForm, content_type = "multipart/form-data"),
    responses(
        (status = CREATED, description = "At least one new image was stored.", body = UploadReport),
        (status = OK, description = "Nothing new: every accepted file was here already.", body = UploadReport),
        (status = BAD_REQUEST, description = "No file was sent.", body = Problem,
            content_type = "application/problem+json"),
        (status = PAYLOAD_TOO_LARGE, description = "A file has too many bytes or pixels.", body = Problem,
            content_type = "application/problem+json"),
        (status = UNSUPPORTED_MEDIA_TYPE, description = "A file is no image, or not what its name says.",
            body = Problem, content_type = "application/problem+json"),
        (status = UNPROCESSABLE_ENTITY, description = "A file is empty or damaged.", body = Problem,
            content_type = "application/problem+json"),
    ))]
pub async fn upload(
    State(shelf): State<Shelf>,
    caller: Caller,
    form: Result<Multipart, MultipartRejection>,
) -> Result<Response, ApiError> {
    let mut form = form.map_err(|_| {
        let detail = "send the files as multipart/form-data with a boundary";
        ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-multipart", "Not multipart", detail)
    })?;
    let mut report = UploadReport { files: Vec::new() };
    loop {
        let field = match form.next_field().await {
            Ok(Some(field)) => field,
            Ok(None) => break,
            // The rest of the body cannot be read; what was stored before it stays and is told.
            Err(error) if report.files.is_empty() => return Err(broken("the request", &error).into()),
            Err(error) => {
                report.files.push(refused("(rest of the request)".to_owned(), broken("the request", &error)));
                break;
            }
        };
        let Some(name) = field.file_name().map(clean_name) else {
            continue;
        };
        let declared = field.content_type().map(str::to_owned);
        let entry = match read(field, &name).await {
            Ok(bytes) => shelf.add(&name, declared.as_deref(), bytes, &caller.by).await?,
            Err(problem) => refused(name, problem),
        };
        shelf.metrics.upload(match &entry {
            UploadedFile { problem: Some(_), .. } => "refused",
            UploadedFile { duplicate: true, .. } => "duplicate",
            _ => "stored",
        });
        report.files.push(entry);
    }
    if report.files.is_empty() {
        let detail = "the form has no file; add at least one PNG, JPEG or WebP file";
        return Err(ApiError::new(StatusCode::BAD_REQUEST, "no-files", "No files", detail));
    }
    if report.files.iter().all(|file| file.problem.is_some())
        && let Some(first) = report.files.iter().find_map(|file| file.problem.clone())
    {
        return Err(ApiError::from(first).with_files(report));
    }
    let stored = report.files.iter().any(|file| file.image.is_some() && !file.duplicate);
    let status = if stored { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, axum::Json(report)).into_response())
}

/// Where uploads go.
#[derive(Clone)]
pub struct Shelf {
    /// Rows.
    pub store: Store,
    /// Bytes.
    pub objects: Objects,
    /// Pixels.
    pub decoder: Decoder,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

impl Shelf {
    /// Looks at one file and stores it. A fault of the file is an entry; a fault of ours an error.
    ///
    /// # Errors
    /// When it could be stored and was not.
    pub async fn add(
        &self,
        name: &str,
        declared: Option<&str>,
        bytes: Bytes,
        by: &By,
    ) -> Result<UploadedFile, ApiError> {
        let length = bytes.len();
        let hashed = bytes.clone();
        let hash = tokio::task::spawn_blocking(move || sha256(&hashed)).await;
        let hash = hash.map_err(|error| ApiError::internal(&error))?;
        let examined = match self.decoder.examine(bytes.clone()).await {
            Ok(examined) => examined,
            Err(Refusal::File(error)) => return Ok(refused(name.to_owned(), refusal_problem(name, &error))),
            Err(error) => return Err(ApiError::internal(&error)),
        };
        if let Some(problem) = mislabelled(name, declared, examined.format) {
            return Ok(refused(name.to_owned(), problem));
        }
        let new = NewImage {
            name: name.to_owned(),
            sha256: hash.clone(),
            format: examined.format,
            width: examined.width,
            height: examined.height,
            bytes: length,
        };
        let write = async {
            self.objects.put(Kind::Original, &hash, bytes).await?;
            self.objects.put(Kind::Thumbnail, &hash, examined.thumbnail.into()).await?;
            Ok::<(), ApiError>(())
        };
        let (image, duplicate) = match self.store.add_image(&new, by, write).await {
            Ok(added) => added,
            Err(error) => {
                // Bytes without a row would stay for ever.
                if let Err(cause) = self.store.with_unused_hash(&hash, self.objects.delete_all(&hash)).await {
                    tracing::warn!(error = %cause, sha256 = hash, "bytes of a failed upload may be left behind");
                }
                return Err(error);
            }
        };
        Ok(UploadedFile { name: name.to_owned(), image: Some(image), duplicate, problem: None })
    }
}

fn refused(name: String, problem: Problem) -> UploadedFile {
    UploadedFile { name, image: None, duplicate: false, problem: Some(problem) }
}

/// Reads one file. One that is too large is read to its end and dropped, so that the next can follow.
async fn read(mut field: Field<'_>, name: &str) -> Result<Bytes, Problem> {
    let limits = decoding::limits();
    let mut bytes = BytesMut::new();
    let mut length = 0_usize;
    while let Some(chunk) = field.chunk().await.map_err(|error| broken(name, &error))? {
        length += chunk.len();
        match limits.check_bytes(length) {
            Ok(()) => bytes.extend_from_slice(&chunk),
            Err(_) => bytes = BytesMut::new(),
        }
    }
    limits.check_bytes(length).map_err(|error| refusal_problem(name, &error))?;
    Ok(bytes.freeze())
}

fn broken(what: &str, error: &MultipartError) -> Problem {
    let status = error.status();
    let kind = if status == StatusCode::PAYLOAD_TOO_LARGE { "request-too-large" } else { "broken-upload" };
    problem(status, kind, "Upload not readable", format!("{what}: {}", error.body_text()))
}

fn refusal_problem(name: &str, error: &DecodeError) -> Problem {
    let (status, kind, title) = match error {
        DecodeError::Empty => (StatusCode::UNPROCESSABLE_ENTITY, "empty-file", "Empty file"),
        DecodeError::NotAnImage | DecodeError::OtherFormat { .. } => {
            (StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-an-image", "Not an image that is accepted")
        }
        DecodeError::Truncated { .. } => {
            (StatusCode::UNPROCESSABLE_ENTITY, "truncated-image", "Truncated image")
        }
        DecodeError::Damaged { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "damaged-image", "Damaged image"),
        DecodeError::Unsupported { .. } => {
            (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-image", "Image variant not supported")
        }
        DecodeError::TooManyBytes { .. } => {
            (StatusCode::PAYLOAD_TOO_LARGE, "file-too-large", "File too large")
        }
        DecodeError::TooLong { .. }
        | DecodeError::TooManyPixels { .. }
        | DecodeError::TooMuchMemory { .. } => {
            (StatusCode::PAYLOAD_TOO_LARGE, "image-too-large", "Image too large")
        }
    };
    problem(status, kind, title, format!("{name}: {error}"))
}

/// A file that says that it is one format and is another: the uploader should know, because other
/// programs will treat it as what it says.
fn mislabelled(name: &str, declared: Option<&str>, format: &str) -> Option<Problem> {
    let extension = name.rsplit_once('.').and_then(|(_, extension)| known_format(extension));
    let content_type = declared.and_then(|declared| known_format(declared.strip_prefix("image/")?));
    let says = [extension, content_type].into_iter().flatten().find(|says| *says != format)?;
    let detail = format!("{name}: it is labelled {says} and holds {format}; rename it and upload it again");
    Some(problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, "mislabelled-image", "Mislabelled image", detail))
}

fn known_format(label: &str) -> Option<&'static str> {
    match label.to_ascii_lowercase().as_str() {
        "png" => Some("png"),
        "jpg" | "jpeg" | "jpe" | "jfif" => Some("jpeg"),
        "webp" => Some("webp"),
        "gif" => Some("gif"),
        "bmp" => Some("bmp"),
        "tif" | "tiff" => Some("tiff"),
        "heic" | "heif" => Some("heic"),
        "avif" => Some("avif"),
        _ => None,
    }
}

/// The last part of a path-like name, without characters that cannot be seen, and not endless. It is
/// only ever shown: files are stored under their hash.
pub fn clean_name(name: &str) -> String {
    // Browsers write these three so in a form, and leave every other percent sign as it is.
    let name = name.replace("%22", "\"").replace("%0D", "\r").replace("%0A", "\n");
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let seen: Vec<char> = last.chars().filter(|letter| !is_invisible(*letter)).collect();
    let clean: String = match seen.len() {
        0..=MAX_NAME => seen.iter().collect(),
        // The end says what kind of file it is.
        length => {
            let end = &seen[length - END_OF_NAME..];
            seen[..MAX_NAME - END_OF_NAME - 1].iter().chain(&['…']).chain(end).collect()
        }
    };
    match clean.trim() {
        "" | "." | ".." => "unnamed".to_owned(),
        clean => clean.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_their_path_and_their_controls() {
        for (name, clean) in [
            ("a.png", "a.png"),
            ("../../etc/passwd", "passwd"),
            ("C:\\photos\\b.jpg", "b.jpg"),
            ("..", "unnamed"),
            ("", "unnamed"),
            ("x\0\r\ny.png", "xy.png"),
            ("a%22b%0D%0Ac%2Fd.png", "a\"bc%2Fd.png"),
            ("photo\u{202e}gnp.exe", "photognp.exe"),
            ("\u{feff}\u{200b}a.png", "a.png"),
            ("<script>alert(1)</script>.png", "script>.png"),
        ] {
            assert_eq!(clean_name(name), clean, "{name:?}");
        }
        let long = clean_name(&format!("{}end.png", "ä".repeat(500)));
        assert_eq!(long.chars().count(), MAX_NAME);
        assert!(long.starts_with('ä') && long.ends_with("…äääääend.png"), "{long}");
    }

    #[test]
    fn only_a_label_that_contradicts_is_refused() {
        assert!(mislabelled("a.png", Some("image/png"), "png").is_none());
        assert!(mislabelled("a", Some("application/octet-stream"), "png").is_none());
        assert!(mislabelled("a.JPG", None, "jpeg").is_none());
        assert!(mislabelled("a.jpg", None, "png").is_some());
        assert!(mislabelled("a", Some("image/webp"), "png").is_some());
    }
}
