//! What is rated in a study.

use axum::extract::State;
use axum::http::StatusCode;
use qponder_shared::api::{Page, Problem};
use qponder_shared::study::{AddItems, Added, ChangeItem, Item, StudyTask, check};
use qponder_shared::{ImageId, ItemId, StudyId};

use super::extract::{Json, Path, Query};
use super::gate::Caller;
use super::images::check_limit;
use super::problem::ApiError;
use super::studies::find;
use crate::store::Store;
use crate::store::study_items::AddedItems;

/// Largest request, in bytes: ten thousand images' ids fit.
pub const MAX_REQUEST_BYTES: usize = 1 << 20;
/// Items that one request adds at most.
const MOST_ADDED: usize = 10_000;
/// The same where a dataset names them.
const MOST_OF_DATASET: usize = 1_000_000;

/// Which page of items.
#[derive(serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListItems {
    /// `next` of the page before; from the first without it.
    cursor: Option<ItemId>,
    /// Items on the page, 1 to 200.
    #[param(default = 50, minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

/// List a study's items in the order in which they came.
#[utoipa::path(get, path = "/studies/{id}/items", tag = "studies", params(("id" = StudyId, Path), ListItems),
    responses(
    (status = OK, body = Page<Item>),
    (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
))]
pub async fn list(
    State(store): State<Store>,
    caller: Caller,
    Path(id): Path<StudyId>,
    Query(query): Query<ListItems>,
) -> Result<axum::Json<Page<Item>>, ApiError> {
    let limit = check_limit(query.limit)?;
    find(&store, id, &caller).await?;
    let items = store.items(id, query.cursor, limit + 1).await?;
    Ok(axum::Json(Page::cut(items, limit, |last| last.id.to_string())))
}

/// Add images to a study, at any time: to be rated, for training, or as gold.
///
/// In a study of pairs every pair of `images`, and those of `pairs`. What the study has already stays as
/// it is. `dataset` adds all images of a version of a dataset.
#[utoipa::path(post, path = "/studies/{id}/items", tag = "studies", params(("id" = StudyId, Path)),
    request_body = AddItems, responses(
    (status = OK, body = Added),
    (status = NOT_FOUND, description = "There is no such study, image or dataset.", body = Problem,
        content_type = "application/problem+json"),
    (status = UNPROCESSABLE_ENTITY, description = "They cannot be items of this study.", body = Problem,
        content_type = "application/problem+json"),
))]
pub async fn add(
    State(store): State<Store>,
    caller: Caller,
    Path(id): Path<StudyId>,
    Json(mut body): Json<AddItems>,
) -> Result<axum::Json<Added>, ApiError> {
    check::number("tolerance", body.tolerance, 0.0, 4.0)?;
    let study = find(&store, id, &caller).await?;
    let mut most = MOST_ADDED;
    if let Some(dataset) = body.dataset {
        if store.dataset(dataset).await?.is_none() {
            return Err(ApiError::not_found("dataset", dataset));
        }
        body.images.extend(store.dataset_images(dataset).await?);
        most = MOST_OF_DATASET;
    }
    let items = match study.task {
        StudyTask::Pairs => pairs(&body)?,
        _ if !body.pairs.is_empty() => {
            return Err(ApiError::unprocessable("only a study of pairs takes pairs; send images"));
        }
        _ => body.images.iter().map(|image| (*image, None)).collect(),
    };
    if items.is_empty() || items.len() > most {
        let detail = format!("these are {} items; add 1 to {most} at a time", items.len());
        return Err(ApiError::unprocessable(detail));
    }
    match store.add_items(id, &items, &body, &caller.by).await? {
        AddedItems::Added(added) => Ok(axum::Json(added)),
        AddedItems::NoStudy => Err(ApiError::not_found("study", id)),
        AddedItems::NoImage(image) => Err(ApiError::not_found("image", image)),
    }
}

/// Change what an item is for. Votes on it stay.
#[utoipa::path(patch, path = "/items/{id}", tag = "studies", params(("id" = ItemId, Path)),
    request_body = ChangeItem, responses(
    (status = OK, body = Item),
    (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
))]
pub async fn change(
    State(store): State<Store>,
    caller: Caller,
    Path(id): Path<ItemId>,
    Json(body): Json<ChangeItem>,
) -> Result<(StatusCode, axum::Json<Item>), ApiError> {
    if let Some(tolerance) = body.tolerance {
        check::number("tolerance", tolerance, 0.0, 4.0)?;
    }
    let item = store.change_item(id, &body, &caller.by).await?;
    let item = item.ok_or_else(|| ApiError::not_found("item", id))?;
    Ok((StatusCode::OK, axum::Json(item)))
}

/// The pairs that a body asks for.
fn pairs(body: &AddItems) -> Result<Vec<(ImageId, Option<ImageId>)>, ApiError> {
    let most = body.images.len().saturating_mul(body.images.len().saturating_sub(1)) / 2;
    if most > MOST_ADDED {
        let detail = format!("{} images have {most} pairs; add {MOST_ADDED} at a time", body.images.len());
        return Err(ApiError::unprocessable(detail));
    }
    let all = body.images.iter().enumerate();
    let all = all.flat_map(|(at, one)| body.images[at + 1..].iter().map(|two| (*one, *two)));
    let named = body.pairs.iter().map(|[one, two]| (*one, *two));
    all.chain(named)
        .map(|(one, two)| {
            if one == two {
                return Err(ApiError::unprocessable(format!(
                    "the image {one} stands on both sides of a pair"
                )));
            }
            Ok((one, Some(two)))
        })
        .collect()
}
