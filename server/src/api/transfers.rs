//! Imports and exports: ask, send, watch, cancel, download.

use std::io::Write as _;

use axum::body::Body;
use axum::extract::State;
use axum::extract::multipart::{Field, Multipart, MultipartError, MultipartRejection};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use qponder_shared::api::{Page, Problem};
use qponder_shared::study::check;
use qponder_shared::transfer::{
    CreateExport, CreateImport, Direction, ExportSource, ImportContent, Transfer, TransferState,
};
use qponder_shared::{DatasetId, StudyId, TransferId};
use sha2::{Digest, Sha256};

use super::assessments::idempotency_key;
use super::extract::{Json, Path, Query};
use super::files::saved;
use super::gate::Caller;
use super::images::check_limit;
use super::problem::ApiError;
use super::studies;
use super::uploads::{MAX_REQUEST_BYTES, clean_name};
use crate::store::Store;
use crate::store::audit::By;
use crate::store::objects::{Kind, Objects};
use crate::store::transfers::{AddedTransfer, End, NewTransfer};
use crate::transfers::Transfers;

/// Largest request for an import, in bytes.
pub const MAX_IMPORT_BYTES: usize = MAX_REQUEST_BYTES;
/// Largest `query` of an import, in bytes.
const MAX_QUERY: usize = 16 << 10;

/// Which page of transfers.
#[derive(serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListTransfers {
    /// `next` of the page before; from the newest without it.
    cursor: Option<TransferId>,
    /// Transfers on the page, 1 to 200.
    #[param(default = 50, minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

/// Body of an import.
#[derive(utoipa::ToSchema)]
#[expect(
    dead_code,
    reason = "describes the form in the OpenAPI document; the fields are read as they stream in"
)]
pub struct ImportForm {
    /// What the file holds; must come before it.
    query: CreateImport,
    /// A label file, or a zip or tar archive with one and its images.
    #[schema(value_type = String, format = Binary, content_media_type = "application/octet-stream")]
    file: Vec<u8>,
}

/// Export votes, labels or answers.
///
/// The file is made in the background; follow it with `GET /transfers/{id}`. What was exported stays recorded
/// with its query and the hash of its file.
#[utoipa::path(post, path = "/exports", tag = "transfers",
    params(("Idempotency-Key" = Option<String>, Header, description = "Your name for this request, 1 to 200 characters.")),
    request_body = CreateExport, responses(
    (status = ACCEPTED, description = "It is queued.", body = Transfer),
    (status = OK, description = "The same request came before; this is what it created.", body = Transfer),
    (status = NOT_FOUND, description = "There is no such study or dataset.", body = Problem,
        content_type = "application/problem+json"),
    (status = UNPROCESSABLE_ENTITY, description = "There is no such format of it, or a filter is out of range.",
        body = Problem, content_type = "application/problem+json"),
))]
pub async fn export(
    State(store): State<Store>,
    State(transfers): State<Transfers>,
    caller: Caller,
    headers: HeaderMap,
    Json(body): Json<CreateExport>,
) -> Result<Response, ApiError> {
    body.check().map_err(ApiError::unprocessable)?;
    let key = idempotency_key(&headers)?;
    let (what, name) = match &body.source {
        ExportSource::Votes(filter) => ("votes", study_name(&store, filter.study, &caller).await?),
        ExportSource::Study(filter) => ("labels", study_name(&store, filter.study, &caller).await?),
        ExportSource::Dataset { id, .. } => ("dataset", dataset_name(&store, *id).await?),
        ExportSource::Answers(filter) => {
            if let Some(study) = filter.study {
                study_name(&store, study, &caller).await?;
            }
            ("answers", filter.model.clone().unwrap_or_else(|| "all models".to_owned()))
        }
    };
    let extension =
        if body.with_images { "zip" } else { body.format.file().rsplit('.').next().unwrap_or("txt") };
    let new = NewTransfer {
        id: TransferId::new(),
        direction: Direction::Export,
        query: serde_json::to_value(&body).map_err(|error| ApiError::internal(&error))?,
        title: &format!("{what} of {name} as {}", body.format.title()),
        file_name: &format!("{what}-{}.{extension}", slug(&name)),
        file: None,
        idempotency_key: key,
    };
    begin(&store, &transfers, &new, &caller.by).await
}

/// Import images, labels, answers or votes.
///
/// The file is read in the background; follow it with `GET /transfers/{id}`, whose report says what came of it.
/// Lines with problems are listed; unless they are to be skipped, then nothing but good images is imported.
#[utoipa::path(post, path = "/imports", tag = "transfers",
    params(("Idempotency-Key" = Option<String>, Header, description = "Your name for this request, 1 to 200 characters.")),
    request_body(content = ImportForm, content_type = "multipart/form-data"), responses(
    (status = ACCEPTED, description = "It is queued.", body = Transfer),
    (status = OK, description = "The same request came before; this is what it created.", body = Transfer),
    (status = BAD_REQUEST, description = "A part of the form is missing.", body = Problem,
        content_type = "application/problem+json"),
    (status = NOT_FOUND, description = "There is no such study.", body = Problem,
        content_type = "application/problem+json"),
    (status = UNPROCESSABLE_ENTITY, description = "There is no such layout, or a name is missing.",
        body = Problem, content_type = "application/problem+json"),
))]
pub async fn import(
    State(store): State<Store>,
    State(transfers): State<Transfers>,
    caller: Caller,
    headers: HeaderMap,
    form: Result<Multipart, MultipartRejection>,
) -> Result<Response, ApiError> {
    let key = idempotency_key(&headers)?;
    let mut form = form.map_err(|_| {
        let detail = "send the parts `query` and `file` as multipart/form-data with a boundary";
        ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-multipart", "Not multipart", detail)
    })?;
    let query = form.next_field().await.map_err(|error| broken(&error))?;
    let query = query.filter(|field| field.name() == Some("query"));
    let query = query.ok_or_else(|| ApiError::bad_request("the first part must be `query`, as JSON"))?;
    let query = read_query(query).await?;
    query.check().map_err(ApiError::unprocessable)?;
    let name = match &query.content {
        ImportContent::Images {} => "images".to_owned(),
        ImportContent::Manifest { name } => format!("manifest as dataset {}", name.trim()),
        ImportContent::Labels { name, layout, .. } => format!("labels ({layout}) as dataset {}", name.trim()),
        ImportContent::Conversations { model } => format!("answers of {}", model.trim()),
        ImportContent::Votes { study } => {
            format!("votes into {}", study_name(&store, *study, &caller).await?)
        }
    };
    let file = form.next_field().await.map_err(|error| broken(&error))?;
    let file = file.filter(|field| field.name() == Some("file"));
    let file = file.ok_or_else(|| ApiError::bad_request("the second part must be `file`"))?;
    let file_name = clean_name(file.file_name().unwrap_or("file"));
    let id = TransferId::new();
    let path = transfers.incoming(id);
    let kept = keep(file, &path).await;
    let begun = match kept {
        Ok((bytes, sha256)) => {
            let new = NewTransfer {
                id,
                direction: Direction::Import,
                query: serde_json::to_value(&query).map_err(|error| ApiError::internal(&error))?,
                title: &name,
                file_name: &file_name,
                file: Some((bytes, &sha256)),
                idempotency_key: key,
            };
            begin(&store, &transfers, &new, &caller.by).await
        }
        Err(error) => Err(error),
    };
    // The file of a request that was not accepted, or came before, belongs to nothing.
    if begun.as_ref().map_or(true, |answer| answer.status() != StatusCode::ACCEPTED) {
        let _ = std::fs::remove_file(path);
    }
    begun
}

/// List imports and exports, newest first.
#[utoipa::path(get, path = "/transfers", tag = "transfers", params(ListTransfers), responses(
    (status = OK, body = Page<Transfer>),
))]
pub async fn list(
    State(store): State<Store>,
    Query(query): Query<ListTransfers>,
) -> Result<axum::Json<Page<Transfer>>, ApiError> {
    let limit = check_limit(query.limit)?;
    let items = store.transfers(query.cursor, limit + 1).await?;
    Ok(axum::Json(Page::cut(items, limit, |last| last.id.to_string())))
}

/// Read how far an import or export is, and what came of it.
#[utoipa::path(get, path = "/transfers/{id}", tag = "transfers", params(("id" = TransferId, Path)), responses(
    (status = OK, body = Transfer),
    (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
))]
pub async fn read(
    State(store): State<Store>,
    Path(id): Path<TransferId>,
) -> Result<axum::Json<Transfer>, ApiError> {
    Ok(axum::Json(find(&store, id).await?))
}

/// Cancel what runs, or remove the file of an export that is done. The record stays.
#[utoipa::path(delete, path = "/transfers/{id}", tag = "transfers", params(("id" = TransferId, Path)), responses(
    (status = OK, description = "How it is now.", body = Transfer),
    (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
))]
pub async fn cancel(
    State(store): State<Store>,
    State(objects): State<Objects>,
    State(transfers): State<Transfers>,
    caller: Caller,
    Path(id): Path<TransferId>,
) -> Result<axum::Json<Transfer>, ApiError> {
    let transfer = find(&store, id).await?;
    if !transfer.state.is_final() {
        let was_queued = transfer.state == TransferState::Queued;
        if store.end_transfer(id, &End::Cancelled, &caller.by).await? && was_queued {
            // Nobody will read what came.
            let _ = std::fs::remove_file(transfers.incoming(id));
        }
    } else if store.remove_file(id, &caller.by).await? {
        objects.delete(Kind::Export, &id.to_string()).await?;
    }
    Ok(axum::Json(find(&store, id).await?))
}

/// Download the file that an export made.
#[utoipa::path(get, path = "/transfers/{id}/file", tag = "transfers", params(("id" = TransferId, Path)), responses(
    (status = OK, description = "The file.", body = Vec<u8>, content_type = "application/octet-stream"),
    (status = NOT_FOUND, description = "There is no such export, or its file was removed.", body = Problem,
        content_type = "application/problem+json"),
))]
pub async fn file(
    State(store): State<Store>,
    State(objects): State<Objects>,
    Path(id): Path<TransferId>,
) -> Result<Response, ApiError> {
    let transfer = find(&store, id).await?;
    let kept = if transfer.available { objects.stream(Kind::Export, &id.to_string()).await? } else { None };
    let (size, stream) = kept.ok_or_else(|| ApiError::not_found("file of transfer", id))?;
    Ok(saved(&transfer.file_name, size, Body::from_stream(stream)))
}

async fn find(store: &Store, id: TransferId) -> Result<Transfer, ApiError> {
    store.transfer(id).await?.ok_or_else(|| ApiError::not_found("transfer", id))
}

async fn begin(
    store: &Store,
    transfers: &Transfers,
    new: &NewTransfer<'_>,
    by: &By,
) -> Result<Response, ApiError> {
    let (status, transfer) = match store.add_transfer(new, by).await? {
        AddedTransfer::Created(transfer) => (StatusCode::ACCEPTED, transfer),
        AddedTransfer::Repeated(transfer) => (StatusCode::OK, transfer),
        AddedTransfer::KeyTaken => {
            return Err(ApiError::unprocessable("this Idempotency-Key belongs to another request"));
        }
    };
    transfers.wake();
    let place = [(header::LOCATION, format!("/api/v1/transfers/{}", transfer.id))];
    Ok((status, place, axum::Json(transfer)).into_response())
}

async fn study_name(store: &Store, id: StudyId, caller: &Caller) -> Result<String, ApiError> {
    Ok(studies::find(store, id, caller).await?.name)
}

async fn dataset_name(store: &Store, id: DatasetId) -> Result<String, ApiError> {
    let dataset = store.dataset(id).await?.ok_or_else(|| ApiError::not_found("dataset", id))?;
    Ok(format!("{} version {}", dataset.name, dataset.version))
}

/// Reads the query, which is small.
async fn read_query(mut field: Field<'_>) -> Result<CreateImport, ApiError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = field.chunk().await.map_err(|error| broken(&error))? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > MAX_QUERY {
            return Err(ApiError::bad_request(format!("the query has more than {MAX_QUERY} bytes")));
        }
    }
    serde_json::from_slice(&bytes).map_err(|error| ApiError::unprocessable(format!("query: {error}")))
}

/// Writes the file as it comes; its size and SHA-256.
async fn keep(mut field: Field<'_>, path: &std::path::Path) -> Result<(u64, String), ApiError> {
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::StorageFull => {
            let detail = "the server's disk is full; nothing was imported";
            ApiError::new(StatusCode::INSUFFICIENT_STORAGE, "disk-full", "Disk full", detail)
        }
        _ => ApiError::internal(&error),
    };
    let mut file = std::fs::File::create(path).map_err(failed)?;
    let (mut hash, mut bytes) = (Sha256::new(), 0_u64);
    while let Some(chunk) = field.chunk().await.map_err(|error| broken(&error))? {
        // Pieces are small and go to the page cache, so no thread waits long.
        file.write_all(&chunk).map_err(failed)?;
        hash.update(&chunk);
        bytes += chunk.len() as u64;
    }
    if bytes == 0 {
        return Err(ApiError::unprocessable("the file is empty"));
    }
    Ok((bytes, format!("{:x}", hash.finalize())))
}

fn broken(error: &MultipartError) -> ApiError {
    let (status, detail) = (error.status(), error.body_text());
    if status == StatusCode::PAYLOAD_TOO_LARGE {
        let detail = format!("the file has more than {} GB: split it", MAX_IMPORT_BYTES >> 30);
        return ApiError::new(status, "request-too-large", "Too large", detail);
    }
    ApiError::new(status, "broken-upload", "Upload not readable", detail)
}

/// A name as part of a file's name: letters, digits and dashes.
fn slug(name: &str) -> String {
    let mut slug = String::new();
    for letter in name.chars().take(check::MAX_NAME) {
        if letter.is_alphanumeric() {
            slug.extend(letter.to_lowercase());
        } else if !slug.ends_with('-') && !slug.is_empty() {
            slug.push('-');
        }
    }
    match slug.trim_end_matches('-') {
        "" => "export".to_owned(),
        slug => slug.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::slug;

    #[test]
    fn file_names_are_tame() {
        for (name, expected) in [
            ("Portraits, May 2026", "portraits-may-2026"),
            ("../../etc/passwd", "etc-passwd"),
            ("Übung \u{202e}gnp", "übung-gnp"),
            ("!!!", "export"),
        ] {
            assert_eq!(slug(name), expected);
        }
    }
}
