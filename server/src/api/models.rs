//! Models that have a name: look at, register, promote, roll back, export.

use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use qponder_shared::api::{Page, Problem};
use qponder_shared::job::{Artifact, Job};
use qponder_shared::registry::{
    EditModel, MAX_CARD, Measurement, Model, ModelUse, Promote, Promotion, RegisterModel, check_name,
};
use qponder_shared::study::check;
use qponder_shared::{JobId, ModelId};

use super::extract::{Json, Path, Query};
use super::files::saved;
use super::gate::Caller;
use super::images::check_limit;
use super::jobs;
use super::problem::ApiError;
use crate::inference::Inference;
use crate::registry::{Registry, RegistryError};
use crate::store::Store;
use crate::store::objects::{Kind, ObjectError, Objects};

/// Promotions of each use that are shown.
const PROMOTIONS: i64 = 20;
/// Bytes of a block of a tar archive.
const BLOCK: usize = 512;

/// Which page of models.
#[derive(serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListModels {
    /// `next` of the page before; from the newest without it.
    cursor: Option<ModelId>,
    /// Models on the page, 1 to 200.
    #[param(default = 50, minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

/// List the models that have a name, newest first.
#[utoipa::path(get, path = "/models", tag = "models", params(ListModels), responses(
    (status = OK, body = Page<Model>),
))]
pub async fn list(
    State(store): State<Store>,
    State(inference): State<Inference>,
    Query(query): Query<ListModels>,
) -> Result<axum::Json<Page<Model>>, ApiError> {
    let limit = check_limit(query.limit)?;
    let mut items = store.models(query.cursor, limit + 1).await?;
    items.iter_mut().for_each(|model| see(model, &inference));
    Ok(axum::Json(Page::cut(items, limit, |last| last.id.to_string())))
}

/// Give what a job trained a name. It is loaded once, to see that it is a model.
#[utoipa::path(post, path = "/models", tag = "models", request_body = RegisterModel, responses(
    (status = CREATED, description = "`Location` names it.", body = Model),
    (status = NOT_FOUND, description = "There is no such job.", body = Problem,
        content_type = "application/problem+json"),
    (status = UNPROCESSABLE_ENTITY, description = "The job has trained no model, or the name cannot be used.",
        body = Problem, content_type = "application/problem+json"),
))]
pub async fn register(
    State(store): State<Store>,
    State(registry): State<Registry>,
    State(inference): State<Inference>,
    caller: Caller,
    Json(body): Json<RegisterModel>,
) -> Result<Response, ApiError> {
    check_name(&body.name).map_err(ApiError::unprocessable)?;
    let card = check::text("the card", &body.card, 0, MAX_CARD)?;
    jobs::find(&store, body.job).await?;
    let mut model = registry.register(&RegisterModel { card, ..body }, &caller.by).await?;
    see(&mut model, &inference);
    let location = format!("/api/v1/models/{}", model.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], axum::Json(model)).into_response())
}

/// Read a model.
#[utoipa::path(get, path = "/models/{id}", tag = "models", params(("id" = ModelId, Path)), responses(
    (status = OK, body = Model),
    (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
))]
pub async fn read(
    State(store): State<Store>,
    State(inference): State<Inference>,
    Path(id): Path<ModelId>,
) -> Result<axum::Json<Model>, ApiError> {
    let mut model = find(&store, id).await?;
    see(&mut model, &inference);
    Ok(axum::Json(model))
}

/// Change a model's card, or put it away.
#[utoipa::path(patch, path = "/models/{id}", tag = "models", params(("id" = ModelId, Path)), request_body = EditModel,
    responses(
    (status = OK, body = Model),
    (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
    (status = CONFLICT, description = "It is in use, so it cannot be put away.", body = Problem,
        content_type = "application/problem+json"),
))]
pub async fn edit(
    State(store): State<Store>,
    State(inference): State<Inference>,
    caller: Caller,
    Path(id): Path<ModelId>,
    Json(mut body): Json<EditModel>,
) -> Result<axum::Json<Model>, ApiError> {
    if let Some(card) = &mut body.card {
        *card = check::text("the card", card, 0, MAX_CARD)?;
    }
    let model = find(&store, id).await?;
    if body.is_archived == Some(true) && !model.uses.is_empty() {
        let uses: Vec<&str> = model.uses.iter().map(|one| one.name()).collect();
        let detail = format!("{} is in use ({}); promote another model first", model.name, uses.join(", "));
        return Err(ApiError::new(StatusCode::CONFLICT, "model-in-use", "Model in use", detail));
    }
    let edited = store.edit_model(id, &body, &caller.by).await?;
    let mut model = edited.ok_or_else(|| ApiError::not_found("model", id))?;
    see(&mut model, &inference);
    Ok(axum::Json(model))
}

/// List what evaluations found of a model, newest first.
#[utoipa::path(get, path = "/models/{id}/measurements", tag = "models", params(("id" = ModelId, Path)), responses(
    (status = OK, body = Vec<Measurement>),
    (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
))]
pub async fn measurements(
    State(store): State<Store>,
    Path(id): Path<ModelId>,
) -> Result<axum::Json<Vec<Measurement>>, ApiError> {
    let model = find(&store, id).await?;
    Ok(axum::Json(store.measurements(&model).await?))
}

/// Download a model as a tar archive: a directory that Q-Ponder and transformers load.
#[utoipa::path(get, path = "/models/{id}/file", tag = "models", params(("id" = ModelId, Path)), responses(
    (status = OK, description = "The archive.", body = Vec<u8>, content_type = "application/octet-stream"),
    (status = NOT_FOUND, description = "There is no such model, or its files are not this server's.", body = Problem,
        content_type = "application/problem+json"),
))]
pub async fn file(
    State(store): State<Store>,
    State(objects): State<Objects>,
    Path(id): Path<ModelId>,
) -> Result<Response, ApiError> {
    let model = find(&store, id).await?;
    let job = model.job.ok_or_else(|| ApiError::not_found("file of model", id))?;
    let mut files = store.artifacts(job).await?;
    files.retain(|file| !file.name.ends_with(".jsonl") && file.name != "README.md");
    let mut pieces = Vec::new();
    let mut size = 2 * BLOCK as u64;
    if !model.card.is_empty() {
        let card = Bytes::from(model.card.clone());
        size += BLOCK as u64 + padded(card.len() as u64);
        let name = format!("{}/README.md", model.name);
        let padding = padding(card.len() as u64);
        pieces.push(entry(&name, card.len() as u64)?);
        pieces.push(Piece::Bytes(card));
        pieces.push(Piece::Bytes(Bytes::from(vec![0; padding])));
    }
    for file in files {
        size += BLOCK as u64 + padded(file.bytes);
        pieces.push(entry(&format!("{}/{}", model.name, file.name), file.bytes)?);
        let padding = padding(file.bytes);
        pieces.push(Piece::Artifact(file));
        pieces.push(Piece::Bytes(Bytes::from(vec![0; padding])));
    }
    pieces.push(Piece::Bytes(Bytes::from(vec![0; 2 * BLOCK])));
    let body = Body::from_stream(stream::iter(pieces).flat_map(move |piece| sent(piece, objects.clone())));
    Ok(saved(&format!("{}.tar", model.name), size, body))
}

/// What a model's archive is made of.
enum Piece {
    Bytes(Bytes),
    Artifact(Artifact),
}

/// The header of a file in the archive.
fn entry(name: &str, bytes: u64) -> Result<Piece, ApiError> {
    let mut head = tar::Header::new_ustar();
    head.set_path(name).map_err(|error| ApiError::internal(&error))?;
    head.set_size(bytes);
    head.set_mode(0o644);
    head.set_cksum();
    Ok(Piece::Bytes(Bytes::copy_from_slice(head.as_bytes())))
}

fn padding(bytes: u64) -> usize {
    (bytes.next_multiple_of(BLOCK as u64) - bytes) as usize
}

fn padded(bytes: u64) -> u64 {
    bytes.next_multiple_of(BLOCK as u64)
}

/// The bytes of a piece.
fn sent(piece: Piece, objects: Objects) -> impl Stream<Item = Result<Bytes, ObjectError>> + Send {
    stream::once(async move {
        match piece {
            Piece::Bytes(bytes) => stream::iter([Ok(bytes)]).boxed(),
            Piece::Artifact(file) => match objects.stream(Kind::Artifact, &file.sha256).await {
                Ok(Some((_, bytes))) => bytes.map(|piece| piece.map_err(ObjectError::from)).boxed(),
                // The length was said, so whoever reads sees that it is cut off.
                Ok(None) => {
                    tracing::error!(
                        name = file.name,
                        sha256 = file.sha256,
                        "a model's file is not in the object store"
                    );
                    stream::empty().boxed()
                }
                Err(error) => stream::iter([Err(error)]).boxed(),
            },
        }
    })
    .flatten()
}

/// List what models are and were used for, newest first for each use.
#[utoipa::path(get, path = "/uses", tag = "models", responses((status = OK, body = Vec<Promotion>)))]
pub async fn uses(State(store): State<Store>) -> Result<axum::Json<Vec<Promotion>>, ApiError> {
    Ok(axum::Json(store.promotions(PROMOTIONS).await?))
}

/// Promote a model.
///
/// It is loaded first, and what is asked meanwhile is answered by the one before. `default` answers where no model is
/// named, `preview` inside the browser, and `teacher` is what others are compared with.
#[utoipa::path(put, path = "/uses/{use}", tag = "models", params(("use" = String, Path)), request_body = Promote,
    responses(
    (status = OK, body = Vec<Promotion>),
    (status = NOT_FOUND, description = "There is no such use or model.", body = Problem,
        content_type = "application/problem+json"),
    (status = UNPROCESSABLE_ENTITY, description = "The model cannot be used so; nothing changed.", body = Problem,
        content_type = "application/problem+json"),
))]
pub async fn promote(
    State(store): State<Store>,
    State(registry): State<Registry>,
    caller: Caller,
    Path(name): Path<String>,
    Json(body): Json<Promote>,
) -> Result<axum::Json<Vec<Promotion>>, ApiError> {
    let model_use = find_use(&name)?;
    let model = match body.model {
        Some(id) => Some(find(&store, id).await?),
        None => None,
    };
    if let Some(model) = model.as_ref().filter(|model| model.is_archived) {
        return Err(ApiError::unprocessable(format!("{} was put away; take it out again first", model.name)));
    }
    registry.promote(model_use, model.as_ref(), &caller.by).await?;
    uses(State(store)).await
}

/// Go back to what was used before.
#[utoipa::path(post, path = "/uses/{use}/rollback", tag = "models", params(("use" = String, Path)), responses(
    (status = OK, body = Vec<Promotion>),
    (status = NOT_FOUND, description = "There is no such use.", body = Problem,
        content_type = "application/problem+json"),
    (status = UNPROCESSABLE_ENTITY, description = "Nothing was promoted, or what was used before cannot be used any \
        more; nothing changed.", body = Problem, content_type = "application/problem+json"),
))]
pub async fn roll_back(
    State(store): State<Store>,
    State(registry): State<Registry>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<axum::Json<Vec<Promotion>>, ApiError> {
    registry.roll_back(find_use(&name)?, &caller.by).await?;
    uses(State(store)).await
}

/// List what evaluations found of the model that a job trained, newest first.
#[utoipa::path(get, path = "/jobs/{id}/measurements", tag = "training", params(("id" = JobId, Path)), responses(
    (status = OK, body = Vec<Measurement>),
    (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
))]
pub async fn measurements_of_job(
    State(store): State<Store>,
    Path(id): Path<JobId>,
) -> Result<axum::Json<Vec<Measurement>>, ApiError> {
    jobs::find(&store, id).await?;
    Ok(axum::Json(store.measurements_of_job(id).await?))
}

/// List the jobs that came before a job, oldest first.
#[utoipa::path(get, path = "/jobs/{id}/lineage", tag = "training", params(("id" = JobId, Path)), responses(
    (status = OK, body = Vec<Job>),
    (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
))]
pub async fn lineage(
    State(store): State<Store>,
    Path(id): Path<JobId>,
) -> Result<axum::Json<Vec<Job>>, ApiError> {
    jobs::find(&store, id).await?;
    Ok(axum::Json(store.lineage(id).await?))
}

fn find_use(name: &str) -> Result<ModelUse, ApiError> {
    ModelUse::of_name(name).ok_or_else(|| ApiError::not_found("use of models", name))
}

async fn find(store: &Store, id: ModelId) -> Result<Model, ApiError> {
    store.model(id).await?.ok_or_else(|| ApiError::not_found("model", id))
}

/// Adds what the server alone knows.
fn see(model: &mut Model, inference: &Inference) {
    model.is_served = inference.lane_of(&model.name).is_some();
}

impl From<RegistryError> for ApiError {
    fn from(error: RegistryError) -> Self {
        match error {
            RegistryError::Store(error) => error.into(),
            RegistryError::Refused(_) | RegistryError::Unusable(_) => Self::unprocessable(error.to_string()),
        }
    }
}
