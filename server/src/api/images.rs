//! Images: list, read, delete.

use axum::extract::State;
use axum::http::StatusCode;
use qponder_shared::api::{Image, Page, Problem};
use qponder_shared::{ImageId, Scope};

use super::extract::{Path, Query};
use super::gate::Caller;
use super::problem::ApiError;
use crate::inference::Inference;
use crate::store::Store;
use crate::store::cursor::{Cursor, Order};
use crate::store::images::{Deleted, Sort};
use crate::store::objects::Objects;

/// Images or assessments on a page when nothing else is asked for.
const DEFAULT_LIMIT: usize = 50;
/// Images or assessments on a page at most.
pub const MAX_LIMIT: usize = 200;

/// Which page of images.
#[derive(serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListImages {
    /// `next` of the page before; from the beginning without it.
    cursor: Option<String>,
    /// Images on the page, 1 to 200.
    #[param(default = 50, minimum = 1, maximum = 200)]
    limit: Option<usize>,
    /// The order. A cursor belongs to the order that it came from.
    #[serde(default)]
    #[param(inline)]
    sort: Sort,
}

/// Reads the number of items on a page.
pub fn check_limit(limit: Option<usize>) -> Result<usize, ApiError> {
    match limit.unwrap_or(DEFAULT_LIMIT) {
        limit @ 1..=MAX_LIMIT => Ok(limit),
        limit => {
            Err(ApiError::unprocessable(format!("limit is {limit}; it must be between 1 and {MAX_LIMIT}")))
        }
    }
}

/// Reads where a page begins.
pub fn read_cursor<O: Order>(text: Option<&str>, order: O) -> Result<Option<Cursor<O>>, ApiError> {
    match text {
        None | Some("") => Ok(None),
        Some(text) => Cursor::read(text, order).map(Some).ok_or_else(|| {
            ApiError::bad_request(
                "the cursor is not one that this listing gave in this order; start without one",
            )
        }),
    }
}

/// List images.
#[utoipa::path(get, path = "/images", tag = "images", params(ListImages), responses(
    (status = OK, body = Page<Image>),
    (status = BAD_REQUEST, body = Problem, content_type = "application/problem+json"),
))]
pub async fn list(
    State(store): State<Store>,
    caller: Caller,
    Query(query): Query<ListImages>,
) -> Result<axum::Json<Page<Image>>, ApiError> {
    let limit = check_limit(query.limit)?;
    if matches!(query.sort, Sort::Best | Sort::Worst) {
        check_sight(&caller)?;
    }
    let cursor = read_cursor(query.cursor.as_deref(), query.sort)?;
    let mut page = store.images(query.sort, cursor, limit).await?;
    if is_blind(&caller) {
        page.items.iter_mut().for_each(hide_opinions);
    }
    Ok(axum::Json(page))
}

/// Read an image.
#[utoipa::path(get, path = "/images/{id}", tag = "images", params(("id" = ImageId, Path)), responses(
    (status = OK, body = Image),
    (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
))]
pub async fn read(
    State(store): State<Store>,
    caller: Caller,
    Path(id): Path<ImageId>,
) -> Result<axum::Json<Image>, ApiError> {
    let mut image = find(&store, id).await?;
    if is_blind(&caller) {
        hide_opinions(&mut image);
    }
    Ok(axum::Json(image))
}

/// Delete an image, its bytes and its assessments.
///
/// Assessments of it that still run are stopped.
#[utoipa::path(delete, path = "/images/{id}", tag = "images", params(("id" = ImageId, Path)), responses(
    (status = NO_CONTENT, description = "It is deleted."),
    (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
    (status = CONFLICT, description = "A study has it.", body = Problem, content_type = "application/problem+json"),
))]
pub async fn delete(
    State(store): State<Store>,
    State(objects): State<Objects>,
    State(inference): State<Inference>,
    caller: Caller,
    Path(id): Path<ImageId>,
) -> Result<StatusCode, ApiError> {
    let unfinished = store.unfinished_of(id).await?;
    let sha256 = match store.delete_image(id, &caller.by).await? {
        Deleted::Sha256(sha256) => sha256,
        Deleted::NoImage => return Err(ApiError::not_found("image", id)),
        Deleted::InStudy(study) => {
            let detail = format!("people rate it in the study {study:?}, and their votes are kept");
            return Err(ApiError::new(StatusCode::CONFLICT, "in-study", "In a study", detail));
        }
    };
    for feed in unfinished.into_iter().filter_map(|assessment| inference.feed(assessment)) {
        feed.cancel();
    }
    store.with_unused_hash(&sha256, objects.delete_all(&sha256)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whether somebody is here to rate and nothing else: they see no model's answer but those that a study
/// reveals after their vote. Their tokens see no more than they do.
fn is_blind(caller: &Caller) -> bool {
    caller.user.as_ref().is_some_and(|user| !user.role.scopes().contains(&Scope::Assess))
}

/// Takes away what others say of an image.
fn hide_opinions(image: &mut Image) {
    image.latest = None;
    image.labels.clear();
}

/// Refuses what would tell a model's opinion to somebody who rates.
pub fn check_sight(caller: &Caller) -> Result<(), ApiError> {
    if is_blind(caller) {
        let detail =
            "who rates images does not see what models say of them; a study may show it after the vote";
        return Err(ApiError::new(StatusCode::FORBIDDEN, "blind", "Not for raters", detail));
    }
    Ok(())
}

/// The image with an id, or the error that says that there is none.
pub async fn find(store: &Store, id: ImageId) -> Result<Image, ApiError> {
    store.image(id).await?.ok_or_else(|| ApiError::not_found("image", id))
}
