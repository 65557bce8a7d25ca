//! Datasets made of studies, and their download.

use std::collections::BTreeSet;
use std::io;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use qponder_shared::api::{Page, Problem};
use qponder_shared::study::check;
use qponder_shared::study::dataset::{CreateDataset, Dataset, labels, rows};
use qponder_shared::study::statistics::statistics;
use qponder_shared::subjective::BadRating;
use qponder_shared::{DatasetId, StudyId};
use tokio::sync::mpsc;

use super::extract::{Json, Path, Query};
use super::gate::Caller;
use super::images::check_limit;
use super::problem::ApiError;
use super::studies::find;
use crate::store::Store;
use crate::store::datasets::{Line, NewDataset};
use crate::store::objects::{self, Kind, Objects};

/// Lines that are read at a time.
const CHUNK: i64 = 500;
/// Name of the manifest within an archive.
const MANIFEST: &str = "manifest.jsonl";

/// Which page of datasets.
#[derive(serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListDatasets {
    /// `next` of the page before; from the newest without it.
    cursor: Option<DatasetId>,
    /// Datasets on the page, 1 to 200.
    #[param(default = 50, minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

/// Make the next version of a dataset of what a study settled.
///
/// Its label is the MOS under the chosen screening, its answers are the accepted annotations. What was asked
/// for and the hash of the manifest are kept with it. The MOS also become labels of the images.
#[utoipa::path(post, path = "/studies/{id}/datasets", tag = "datasets", params(("id" = StudyId, Path)),
    request_body = CreateDataset, responses(
    (status = CREATED, body = Dataset),
    (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
    (status = UNPROCESSABLE_ENTITY, description = "Nothing is settled yet, or a value is out of range.",
        body = Problem, content_type = "application/problem+json"),
))]
pub async fn create(
    State(store): State<Store>,
    caller: Caller,
    Path(id): Path<StudyId>,
    Json(body): Json<CreateDataset>,
) -> Result<(StatusCode, axum::Json<Dataset>), ApiError> {
    let name = check::text("the name", &body.name, 1, check::MAX_NAME)?;
    check::number("validation_share", body.validation_share, 0.0, 0.9)?;
    let wish = CreateDataset { name, ..body };
    let study = find(&store, id, &caller).await?;
    let (votes, settled) = (store.study_votes(id).await?, store.settled(id).await?);
    let (asked, seed) = (wish.clone(), study.seed.cast_unsigned());
    let made = tokio::task::spawn_blocking(move || {
        let made = statistics(votes, asked.screening, seed)?;
        Ok::<_, BadRating>((rows(&study.name, &made, &settled, &asked), labels(&study.name, &made)))
    });
    let made = made.await.map_err(|error| ApiError::internal(&error))?;
    let (rows, labels) = made.map_err(|error| ApiError::internal(&error))?;
    if rows.is_empty() {
        let what = if wish.only_answered { "a MOS and an accepted annotation" } else { "a MOS" };
        return Err(ApiError::unprocessable(format!("no image of this study has {what} yet")));
    }
    let answers = rows.iter().filter(|(_, row)| row.answer.is_some()).count();
    let mut lines = Vec::with_capacity(rows.len());
    for (image, row) in rows {
        lines.push((image, serde_json::to_string(&row).map_err(|error| ApiError::internal(&error))?));
    }
    let manifest: String = lines.iter().flat_map(|(_, line)| [line.as_str(), "\n"]).collect();
    let new = NewDataset {
        name: &wish.name,
        study: Some(id),
        query: serde_json::to_value(&wish).map_err(|error| ApiError::internal(&error))?,
        lines: &lines,
        answers: u32::try_from(answers).unwrap_or(u32::MAX),
        sha256: &objects::sha256(manifest.as_bytes()),
    };
    let dataset = store.add_dataset(&new, &caller.by).await?;
    // From now on comparisons hold answers against what people said.
    store.set_labels(&labels, &caller.by).await?;
    Ok((StatusCode::CREATED, axum::Json(dataset)))
}

/// List datasets, newest first.
#[utoipa::path(get, path = "/datasets", tag = "datasets", params(ListDatasets), responses(
    (status = OK, body = Page<Dataset>),
))]
pub async fn list(
    State(store): State<Store>,
    Query(query): Query<ListDatasets>,
) -> Result<axum::Json<Page<Dataset>>, ApiError> {
    let limit = check_limit(query.limit)?;
    let items = store.datasets(query.cursor, limit + 1).await?;
    Ok(axum::Json(Page::cut(items, limit, |last| last.id.to_string())))
}

/// Download a dataset: a tar archive with `manifest.jsonl` and the images, as `qponder sft` reads them.
#[utoipa::path(get, path = "/datasets/{id}/archive", tag = "datasets", params(("id" = DatasetId, Path)), responses(
    (status = OK, description = "The archive, as it is made.", body = Vec<u8>, content_type = "application/x-tar"),
    (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
))]
pub async fn archive(
    State(store): State<Store>,
    State(objects): State<Objects>,
    Path(id): Path<DatasetId>,
) -> Result<Response, ApiError> {
    let dataset = store.dataset(id).await?.ok_or_else(|| ApiError::not_found("dataset", id))?;
    let (pieces, received) = mpsc::channel::<io::Result<Bytes>>(4);
    tokio::spawn(async move {
        if let Err(error) = write(&store, &objects, id, &pieces).await {
            tracing::warn!(%error, dataset = %id, "an archive was cut off");
            // The connection is cut, so that nobody takes half an archive for a whole one.
            let _ = pieces.send(Err(error)).await;
        }
    });
    let stream = futures_util::stream::unfold(received, |mut received| async {
        received.recv().await.map(|piece| (piece, received))
    });
    let mut response = Body::from_stream(stream).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-tar"));
    let name = format!("attachment; filename=\"dataset-{}-{}.tar\"", dataset.version, &dataset.sha256[..12]);
    if let Ok(name) = HeaderValue::from_str(&name) {
        headers.insert(header::CONTENT_DISPOSITION, name);
    }
    Ok(response)
}

/// Writes the archive piece by piece: the manifest, then each image once.
async fn write(
    store: &Store,
    objects: &Objects,
    id: DatasetId,
    pieces: &mpsc::Sender<io::Result<Bytes>>,
) -> io::Result<()> {
    let (mut manifest, mut after) = (String::new(), 0);
    while let Some(lines) = next_lines(store, id, &mut after).await? {
        for line in lines {
            manifest.push_str(&line.text);
            manifest.push('\n');
        }
    }
    send_file(pieces, MANIFEST, manifest.into()).await?;
    let (mut sent, mut after) = (BTreeSet::new(), 0);
    while let Some(lines) = next_lines(store, id, &mut after).await? {
        for line in lines {
            if !sent.insert(line.sha256.clone()) {
                continue;
            }
            let bytes = objects.get(Kind::Original, &line.sha256).await.map_err(io::Error::other)?;
            let bytes =
                bytes.ok_or_else(|| io::Error::other(format!("the image {} is gone", line.sha256)))?;
            send_file(pieces, &format!("images/{}.{}", line.sha256, line.format), bytes).await?;
        }
    }
    // Two empty blocks end an archive.
    send(pieces, Bytes::from_static(&[0; 1024])).await
}

/// The lines after a position, which moves on; `None` after the last.
async fn next_lines(store: &Store, id: DatasetId, after: &mut i32) -> io::Result<Option<Vec<Line>>> {
    let lines = store.dataset_lines(id, *after, CHUNK).await.map_err(io::Error::other)?;
    let Some(last) = lines.last() else { return Ok(None) };
    *after = last.position;
    Ok(Some(lines))
}

async fn send_file(pieces: &mpsc::Sender<io::Result<Bytes>>, path: &str, bytes: Bytes) -> io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_path(path)?;
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    header.set_entry_type(tar::EntryType::Regular);
    header.set_cksum();
    let padding = bytes.len().next_multiple_of(512) - bytes.len();
    send(pieces, Bytes::copy_from_slice(header.as_bytes())).await?;
    send(pieces, bytes).await?;
    send(pieces, Bytes::from(vec![0; padding])).await
}

async fn send(pieces: &mpsc::Sender<io::Result<Bytes>>, bytes: Bytes) -> io::Result<()> {
    pieces.send(Ok(bytes)).await.map_err(|_| io::Error::other("nobody listens any more"))
}
