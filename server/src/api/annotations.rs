//! Annotations and their reviews.

use axum::extract::State;
use axum::http::StatusCode;
use qponder_shared::api::{Page, Problem};
use qponder_shared::study::{
    Comment, CreateAnnotation, CreateReview, QueueSort, Thread, ThreadState, ThreadSummary, Verdict, check,
};
use qponder_shared::{ItemId, Scope, StudyId, ThreadId};

use super::extract::{Json, Path, Query};
use super::gate::Caller;
use super::images::{check_limit, read_cursor};
use super::problem::ApiError;
use super::studies::conflict;
use crate::store::Store;
use crate::store::annotations::Written;
use crate::store::threads::after;

/// Which part of the review queue.
#[derive(serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListQueue {
    /// Where the threads stand.
    #[param(inline, default = "submitted")]
    state: Option<ThreadState>,
    /// Of this study alone.
    study: Option<StudyId>,
    /// The order. A cursor belongs to the order that it came from.
    #[serde(default)]
    #[param(inline)]
    sort: QueueSort,
    /// `next` of the page before; from the beginning without it.
    cursor: Option<String>,
    /// Threads on the page, 1 to 200.
    #[param(default = 50, minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

/// Annotate an item, or answer a reviewer with a new version.
///
/// The text is a response in the grammar of the models, complete. `base` is the newest version that the
/// page knows: if there is a newer one, it is a conflict, and nothing is overwritten.
#[utoipa::path(post, path = "/items/{id}/annotations", tag = "annotation", params(("id" = ItemId, Path)),
    request_body = CreateAnnotation, responses(
    (status = CREATED, body = Thread),
    (status = NOT_FOUND, description = "The caller has not seen the item's answers, or there is no such source.",
        body = Problem, content_type = "application/problem+json"),
    (status = CONFLICT, description = "There is a newer version, or it is accepted.", body = Problem,
        content_type = "application/problem+json"),
    (status = UNPROCESSABLE_ENTITY, description = "The text is not complete.", body = Problem,
        content_type = "application/problem+json"),
))]
pub async fn annotate(
    State(store): State<Store>,
    caller: Caller,
    Path(id): Path<ItemId>,
    Json(body): Json<CreateAnnotation>,
) -> Result<(StatusCode, axum::Json<Thread>), ApiError> {
    let response = check::annotation(&body.text)?;
    let written = store.annotate(id, &body, &response, &caller.by).await?;
    let thread = shape(written, "item or answer that you have seen", id)?;
    Ok((StatusCode::CREATED, axum::Json(thread)))
}

/// List the review queue: annotations that wait, or that were settled.
#[utoipa::path(get, path = "/annotations", tag = "review", params(ListQueue), responses(
    (status = OK, body = Page<ThreadSummary>),
))]
pub async fn list(
    State(store): State<Store>,
    caller: Caller,
    Query(query): Query<ListQueue>,
) -> Result<axum::Json<Page<ThreadSummary>>, ApiError> {
    let limit = check_limit(query.limit)?;
    let cursor = read_cursor(query.cursor.as_deref(), query.sort)?;
    let state = query.state.unwrap_or(ThreadState::Submitted);
    let items = store.queue(state, query.study, query.sort, cursor, limit + 1, &caller.by).await?;
    Ok(axum::Json(Page::cut(items, limit, |last| after(query.sort, last).write())))
}

/// Read an annotation with all its versions and reviews: one's own, or any for those who review.
#[utoipa::path(get, path = "/annotations/{id}", tag = "annotation", params(("id" = ThreadId, Path)), responses(
    (status = OK, body = Thread),
    (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
))]
pub async fn read(
    State(store): State<Store>,
    caller: Caller,
    Path(id): Path<ThreadId>,
) -> Result<axum::Json<Thread>, ApiError> {
    let thread = store.thread(id, &caller.by).await?;
    let thread = thread.filter(|thread| thread.summary.is_own || reviews(&caller));
    Ok(axum::Json(thread.ok_or_else(|| ApiError::not_found("annotation", id))?))
}

/// Review an annotation: accept it, fix and accept it, or return it with a comment.
///
/// Nobody reviews their own work. The body names the version that was looked at.
#[utoipa::path(post, path = "/annotations/{id}/reviews", tag = "review", params(("id" = ThreadId, Path)),
    request_body = CreateReview, responses(
    (status = CREATED, body = Thread),
    (status = FORBIDDEN, description = "It is the caller's own work.", body = Problem,
        content_type = "application/problem+json"),
    (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
    (status = CONFLICT, description = "There is a newer version, or it is settled.", body = Problem,
        content_type = "application/problem+json"),
    (status = UNPROCESSABLE_ENTITY, description = "A comment or a text is missing or not complete.", body = Problem,
        content_type = "application/problem+json"),
))]
pub async fn review(
    State(store): State<Store>,
    caller: Caller,
    Path(id): Path<ThreadId>,
    Json(body): Json<CreateReview>,
) -> Result<(StatusCode, axum::Json<Thread>), ApiError> {
    let least = usize::from(body.verdict == Verdict::Returned);
    let comment = check::text("the comment", &body.comment, least, check::MAX_COMMENT)?;
    match (body.verdict, &body.text) {
        (Verdict::Comment, _) => {
            return Err(ApiError::unprocessable(
                "comments go to /comments; a review accepts, fixes or returns",
            ));
        }
        (Verdict::Fixed, Some(text)) => drop(check::annotation(text)?),
        (Verdict::Fixed, None) => {
            return Err(ApiError::unprocessable("a fixed annotation needs its text"));
        }
        (_, Some(_)) => {
            return Err(ApiError::unprocessable("only a fixed annotation comes with a text"));
        }
        (_, None) => {}
    }
    let review = CreateReview { comment, ..body };
    let thread = shape(store.review(id, &review, &caller.by).await?, "annotation", id)?;
    Ok((StatusCode::CREATED, axum::Json(thread)))
}

/// Comment on an annotation: its author, or those who review.
#[utoipa::path(post, path = "/annotations/{id}/comments", tag = "annotation", params(("id" = ThreadId, Path)),
    request_body = Comment, responses(
    (status = CREATED, body = Thread),
    (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
    (status = UNPROCESSABLE_ENTITY, description = "It is empty or too long.", body = Problem,
        content_type = "application/problem+json"),
))]
pub async fn comment(
    State(store): State<Store>,
    caller: Caller,
    Path(id): Path<ThreadId>,
    Json(body): Json<Comment>,
) -> Result<(StatusCode, axum::Json<Thread>), ApiError> {
    let comment = check::text("the comment", &body.comment, 1, check::MAX_COMMENT)?;
    let written = store.comment(id, &comment, reviews(&caller), &caller.by).await?;
    Ok((StatusCode::CREATED, axum::Json(shape(written, "annotation", id)?)))
}

fn reviews(caller: &Caller) -> bool {
    caller.scopes.contains(&Scope::Review)
}

fn shape(written: Written, what: &str, id: impl std::fmt::Display) -> Result<Thread, ApiError> {
    match written {
        Written::Thread(thread) => Ok(*thread),
        Written::NotFound => Err(ApiError::not_found(what, id)),
        Written::Refused(why) => Err(ApiError::new(StatusCode::CONFLICT, "settled", "Settled", why)),
        Written::OwnWork => {
            let detail = "nobody reviews their own work; another reviewer has to look at it";
            Err(ApiError::new(StatusCode::FORBIDDEN, "own-work", "Own work", detail))
        }
        Written::Conflict(now) => Err(conflict(format!(
            "{} wrote version {} meanwhile; look at it, nothing of yours was overwritten",
            now.versions.last().map_or("somebody", |last| &last.author),
            now.summary.version
        ))),
    }
}
