//! Assessments: ask, read, list, cancel. Their event stream is in [`super::events`].

use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use qponder_shared::api::{Assessment, CreateAssessment, Page, Problem};
use qponder_shared::{AssessmentId, ImageId};

use super::extract::{Json, Path, Query};
use super::gate::Caller;
use super::images::{check_limit, check_sight, find};
use super::problem::ApiError;
use crate::inference::{Inference, Job, Picture, prompt_version, takes, words_of};
use crate::store::Store;
use crate::store::assessments::{Added, NewAssessment};

/// How long a cancellation waits for the model to stop before it answers "accepted".
const CANCEL_WAIT: Duration = Duration::from_secs(5);
/// Longest idempotency key.
const MAX_KEY: usize = 200;

/// How an assessment is created.
#[derive(serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CreateOptions {
    /// Stop when the last event stream of this assessment closes, once one was open. The header
    /// `Prefer: cancel-on-disconnect` does the same.
    #[serde(default)]
    #[param(default = false)]
    cancel_on_disconnect: bool,
}

/// Which page of an image's assessments.
#[derive(serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListAssessments {
    /// `next` of the page before; from the newest without it.
    cursor: Option<AssessmentId>,
    /// Assessments on the page, 1 to 200.
    #[param(default = 50, minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

/// Ask the model about an image.
///
/// The answer comes at once and is queued; follow it with its event stream. With the header
/// `Idempotency-Key` a repeated request gives the first one's assessment.
#[utoipa::path(post, path = "/assessments", tag = "assessments",
    params(
        CreateOptions,
        ("Idempotency-Key" = Option<String>, Header, description = "Your name for this request, 1 to 200 characters."),
        ("Prefer" = Option<String>, Header, description = "`cancel-on-disconnect`"),
    ),
    request_body = CreateAssessment,
    responses(
        (status = CREATED, description = "It is queued; `Location` names it.", body = Assessment),
        (status = OK, description = "The same request came before; this is what it created.", body = Assessment),
        (status = NOT_FOUND, description = "There is no such image.", body = Problem,
            content_type = "application/problem+json"),
        (status = UNPROCESSABLE_ENTITY, description = "There is no such model, a value is out of range, or the key belongs to another request.",
            body = Problem, content_type = "application/problem+json"),
        (status = SERVICE_UNAVAILABLE, description = "The queue is full; `Retry-After` says when to try again.",
            body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn create(
    State(store): State<Store>,
    State(inference): State<Inference>,
    caller: Caller,
    Query(options): Query<CreateOptions>,
    headers: HeaderMap,
    Json(request): Json<CreateAssessment>,
) -> Result<Response, ApiError> {
    request.sampling.check().map_err(|error| ApiError::unprocessable(format!("sampling: {error}")))?;
    let idempotency_key = idempotency_key(&headers)?;
    let lane = lane(&inference, request.model.as_deref())?;
    let model = inference.model(lane).ok_or_else(|| ApiError::not_found("model", lane))?;
    takes(&model, request.mode, &request.sampling).map_err(ApiError::unprocessable)?;
    // A place in the queue before the row: nothing is promised that cannot be kept.
    let slot = inference.reserve(lane)?;
    let words = words_of(&model, request.mode);
    let new = NewAssessment {
        image_id: request.image_id,
        model: &model.name,
        model_sha256: &model.sha256,
        mode: request.mode,
        prompt_version: prompt_version(words.as_ref(), request.mode),
        sampling: request.sampling,
        cancel_on_disconnect: options.cancel_on_disconnect || prefers_cancel(&headers),
        idempotency_key,
    };
    match store.add_assessment(&new, &caller.by).await? {
        Added::Created(assessment) => {
            slot.submit(Job {
                id: assessment.id,
                picture: Picture::Stored(assessment.image_id),
                mode: assessment.mode,
                sampling: assessment.sampling,
                words,
                cancel_on_disconnect: new.cancel_on_disconnect,
            });
            let location = format!("/api/v1/assessments/{}", assessment.id);
            Ok((StatusCode::CREATED, [(header::LOCATION, location)], axum::Json(assessment)).into_response())
        }
        Added::Repeated(mut assessment) => {
            show_progress(&inference, &mut assessment);
            Ok(axum::Json(assessment).into_response())
        }
        Added::KeyTaken => Err(ApiError::unprocessable("this Idempotency-Key was used for another request")),
        Added::NoImage => Err(ApiError::not_found("image", request.image_id)),
    }
}

/// The model of a name, or the default one.
fn lane(inference: &Inference, name: Option<&str>) -> Result<usize, ApiError> {
    let Some(name) = name else { return Ok(inference.default_lane()) };
    inference.lane_of(name).ok_or_else(|| {
        let models = inference.models();
        let known: Vec<&str> = models.iter().map(|(_, model)| model.name.as_str()).collect();
        let asked: String = name.chars().take(100).collect();
        ApiError::unprocessable(format!("there is no model {asked:?} here; ask one of {}", known.join(", ")))
    })
}

/// Read an assessment; while it runs, the text so far.
#[utoipa::path(get, path = "/assessments/{id}", tag = "assessments", params(("id" = AssessmentId, Path)), responses(
    (status = OK, body = Assessment),
    (status = FORBIDDEN, description = "The caller only rates.", body = Problem,
        content_type = "application/problem+json"),
    (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
))]
pub async fn read(
    State(store): State<Store>,
    State(inference): State<Inference>,
    caller: Caller,
    Path(id): Path<AssessmentId>,
) -> Result<axum::Json<Assessment>, ApiError> {
    let assessment = current(&store, &inference, id).await?;
    check_sight(&caller)?;
    Ok(axum::Json(assessment))
}

/// List the assessments of an image, newest first.
#[utoipa::path(get, path = "/images/{id}/assessments", tag = "assessments",
    params(("id" = ImageId, Path), ListAssessments), responses(
    (status = OK, body = Page<Assessment>),
    (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
))]
pub async fn list(
    State(store): State<Store>,
    State(inference): State<Inference>,
    caller: Caller,
    Path(id): Path<ImageId>,
    Query(query): Query<ListAssessments>,
) -> Result<axum::Json<Page<Assessment>>, ApiError> {
    let limit = check_limit(query.limit)?;
    find(&store, id).await?;
    check_sight(&caller)?;
    let mut items = store.assessments_of(id, query.cursor, limit + 1).await?;
    for assessment in &mut items {
        show_progress(&inference, assessment);
    }
    Ok(axum::Json(Page::cut(items, limit, |last| last.id.to_string())))
}

/// Cancel an assessment.
///
/// What the model wrote so far stays. One that is final already is left as it is.
#[utoipa::path(delete, path = "/assessments/{id}", tag = "assessments", params(("id" = AssessmentId, Path)), responses(
    (status = OK, description = "It is final, cancelled or not.", body = Assessment),
    (status = ACCEPTED, description = "It will stop soon.", body = Assessment),
    (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
))]
pub async fn cancel(
    State(store): State<Store>,
    State(inference): State<Inference>,
    caller: Caller,
    Path(id): Path<AssessmentId>,
) -> Result<(StatusCode, axum::Json<Assessment>), ApiError> {
    if let Some(feed) = inference.feed(id) {
        store.note_cancellation(id, &caller.by).await?;
        feed.cancel();
        let _ = tokio::time::timeout(CANCEL_WAIT, feed.finished()).await;
    }
    let assessment = current(&store, &inference, id).await?;
    let status = if assessment.status.is_final() { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok((status, axum::Json(assessment)))
}

/// An assessment as it stands now: its row, and what its engine has written since.
pub async fn current(store: &Store, inference: &Inference, id: AssessmentId) -> Result<Assessment, ApiError> {
    // The feed before the row: an assessment that ends in between is found final in the row.
    let feed = inference.feed(id);
    let mut assessment = store.assessment(id).await?.ok_or_else(|| ApiError::not_found("assessment", id))?;
    if let (Some(feed), false) = (feed, assessment.status.is_final()) {
        feed.overlay(&mut assessment);
    }
    Ok(assessment)
}

fn show_progress(inference: &Inference, assessment: &mut Assessment) {
    if let (Some(feed), false) = (inference.feed(assessment.id), assessment.status.is_final()) {
        feed.overlay(assessment);
    }
}

/// The client's name for a request, if it has one.
///
/// # Errors
/// When it is too long, or no plain text.
pub fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let Some(value) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    match value.to_str() {
        Ok(key) if (1..=MAX_KEY).contains(&key.len()) => Ok(Some(key)),
        _ => Err(ApiError::bad_request(format!(
            "Idempotency-Key must be 1 to {MAX_KEY} printable ASCII characters"
        ))),
    }
}

fn prefers_cancel(headers: &HeaderMap) -> bool {
    let preferences = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    preferences
        .flat_map(|value| value.split(','))
        .any(|one| one.trim().eq_ignore_ascii_case("cancel-on-disconnect"))
}
