//! Labels of images.

use axum::extract::State;
use qponder_shared::ImageId;
use qponder_shared::api::{Image, Problem};
use qponder_shared::compare::Label;

use super::extract::{Json, Path};
use super::gate::Caller;
use super::images::find;
use super::problem::ApiError;
use crate::store::Store;

/// Longest name of a source, in characters.
const MAX_SOURCE: usize = 200;

/// Set a label of an image.
///
/// One of the same kind and source is replaced. A number that a metric computed is a proxy, never a MOS.
#[utoipa::path(put, path = "/images/{id}/labels", tag = "images", params(("id" = ImageId, Path)),
    request_body = Label,
    responses(
        (status = OK, description = "The image with its labels.", body = Image),
        (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
        (status = UNPROCESSABLE_ENTITY, description = "A value is out of range.", body = Problem,
            content_type = "application/problem+json"),
    ))]
pub async fn set(
    State(store): State<Store>,
    caller: Caller,
    Path(id): Path<ImageId>,
    Json(label): Json<Label>,
) -> Result<axum::Json<Image>, ApiError> {
    check(&label)?;
    store.set_labels(&[(id, label)], &caller.by).await?;
    Ok(axum::Json(find(&store, id).await?))
}

fn check(label: &Label) -> Result<(), ApiError> {
    let length = label.source.trim().chars().count();
    if length == 0 || length > MAX_SOURCE || label.source.contains(char::is_control) {
        let detail = format!("source must be 1 to {MAX_SOURCE} characters that can be seen");
        return Err(ApiError::unprocessable(detail));
    }
    if label.n.is_some_and(|n| n == 0 || i32::try_from(n).is_err()) {
        return Err(ApiError::unprocessable(
            "n must be at least 1: the number of opinions; leave it out if unknown",
        ));
    }
    if label.sd.is_some_and(|sd| !(0.0..=4.0).contains(&sd)) {
        return Err(ApiError::unprocessable("sd must be between 0 and 4; leave it out if unknown"));
    }
    Ok(())
}
