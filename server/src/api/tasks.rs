//! What comes next for one person of a study: tasks, drafts, votes, and what may be seen afterwards.

use axum::extract::State;
use axum::http::StatusCode;
use qponder_shared::api::{Page, Problem};
use qponder_shared::study::{CreateVote, Draft, Given, Reveal, SaveDraft, Tasks, VoteReceipt};
use qponder_shared::{ItemId, StudyId, VoteId};

use super::extract::{Json, Path, Query};
use super::gate::Caller;
use super::images::check_limit;
use super::problem::ApiError;
use super::studies::{conflict, find};
use crate::store::Store;
use crate::store::drafts::Saved;
use crate::store::votes::{Cast, Revealed};

/// Largest draft or vote, in bytes.
pub const MAX_REQUEST_BYTES: usize = 64 << 10;
/// Most tasks at a time.
const MOST_TASKS: usize = 10;

/// How many tasks.
#[derive(serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListTasks {
    /// 1 to 10.
    #[param(default = 3, minimum = 1, maximum = 10)]
    limit: Option<usize>,
}

/// Which page of one's votes.
#[derive(serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListVotes {
    /// `next` of the page before; from the newest without it.
    cursor: Option<VoteId>,
    /// Votes on the page, 1 to 200.
    #[param(default = 50, minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

/// Which draft.
#[derive(serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct WhichDraft {
    /// 1 when the item comes the second time.
    #[serde(default)]
    #[param(default = 0, maximum = 1)]
    repeat: u8,
}

/// What to rate next.
///
/// The order is the caller's own and stays: asked again, it gives the same until votes come. What a
/// reviewer sent back is first.
#[utoipa::path(get, path = "/studies/{id}/tasks", tag = "annotation", params(("id" = StudyId, Path), ListTasks),
    responses(
    (status = OK, body = Tasks),
    (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
))]
pub async fn next(
    State(store): State<Store>,
    caller: Caller,
    Path(id): Path<StudyId>,
    Query(query): Query<ListTasks>,
) -> Result<axum::Json<Tasks>, ApiError> {
    let limit = query.limit.unwrap_or(3);
    if !(1..=MOST_TASKS).contains(&limit) {
        let detail = format!("limit is {limit}; it must be between 1 and {MOST_TASKS}");
        return Err(ApiError::unprocessable(detail));
    }
    find(&store, id, &caller).await?;
    let items = store.tasks(id, limit, &caller.by).await?;
    Ok(axum::Json(Tasks { items, progress: store.progress(id, &caller.by).await? }))
}

/// Vote.
///
/// A vote is never changed. Voting again on an item adds another; statistics use the newest that was given
/// before any answer was revealed. Sent twice under one `key`, it is one vote.
#[utoipa::path(post, path = "/studies/{id}/votes", tag = "annotation", params(("id" = StudyId, Path)),
    request_body = CreateVote, responses(
    (status = CREATED, body = VoteReceipt),
    (status = NOT_FOUND, description = "There is no such study, or the item was not handed out to the caller.",
        body = Problem, content_type = "application/problem+json"),
    (status = CONFLICT, description = "The study is closed.", body = Problem,
        content_type = "application/problem+json"),
    (status = UNPROCESSABLE_ENTITY, description = "It is no vote of such a study.", body = Problem,
        content_type = "application/problem+json"),
))]
pub async fn vote(
    State(store): State<Store>,
    caller: Caller,
    Path(id): Path<StudyId>,
    Json(body): Json<CreateVote>,
) -> Result<(StatusCode, axum::Json<VoteReceipt>), ApiError> {
    find(&store, id, &caller).await?;
    match store.cast(id, &body, &caller.by).await? {
        Cast::Receipt(receipt) => Ok((StatusCode::CREATED, axum::Json(receipt))),
        Cast::Unacceptable(why) => Err(why.into()),
        Cast::KeyTaken => Err(ApiError::unprocessable("this key was used for a vote on another item")),
        Cast::NotAssigned => Err(not_assigned(body.item)),
        Cast::Closed => {
            let detail = "the study is closed and takes no more votes; ask whoever runs it";
            Err(ApiError::new(StatusCode::CONFLICT, "study-closed", "Study closed", detail))
        }
    }
}

/// List one's own votes, newest first, with what is needed to vote again.
#[utoipa::path(get, path = "/studies/{id}/votes/mine", tag = "annotation",
    params(("id" = StudyId, Path), ListVotes), responses(
    (status = OK, body = Page<Given>),
    (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
))]
pub async fn given(
    State(store): State<Store>,
    caller: Caller,
    Path(id): Path<StudyId>,
    Query(query): Query<ListVotes>,
) -> Result<axum::Json<Page<Given>>, ApiError> {
    let limit = check_limit(query.limit)?;
    find(&store, id, &caller).await?;
    let items = store.votes_of(id, query.cursor, limit + 1, &caller.by).await?;
    Ok(axum::Json(Page::cut(items, limit, |last| last.id.to_string())))
}

/// Keep unsent work.
///
/// The body is whatever the page makes of it. It names the revision that the page knows: another one means
/// that another tab works on the same item, and nothing is overwritten.
#[utoipa::path(put, path = "/items/{id}/draft", tag = "annotation", params(("id" = ItemId, Path)),
    request_body = SaveDraft, responses(
    (status = OK, body = Draft),
    (status = NOT_FOUND, description = "The item was not handed out to the caller.", body = Problem,
        content_type = "application/problem+json"),
    (status = CONFLICT, description = "Another draft was saved meanwhile.", body = Problem,
        content_type = "application/problem+json"),
))]
pub async fn save_draft(
    State(store): State<Store>,
    caller: Caller,
    Path(id): Path<ItemId>,
    Json(body): Json<SaveDraft>,
) -> Result<axum::Json<Draft>, ApiError> {
    match store.save_draft(id, &body, &caller.by).await? {
        Saved::Draft(draft) => Ok(axum::Json(draft)),
        Saved::NotAssigned => Err(not_assigned(id)),
        Saved::Conflict(other) => Err(conflict(format!(
            "another tab or machine saved this item at {}; reload to see it",
            other.updated_at
        ))),
    }
}

/// Read unsent work, such as what another tab saved.
#[utoipa::path(get, path = "/items/{id}/draft", tag = "annotation", params(("id" = ItemId, Path), WhichDraft),
    responses(
    (status = OK, body = Draft),
    (status = NOT_FOUND, description = "There is none.", body = Problem, content_type = "application/problem+json"),
))]
pub async fn read_draft(
    State(store): State<Store>,
    caller: Caller,
    Path(id): Path<ItemId>,
    Query(which): Query<WhichDraft>,
) -> Result<axum::Json<Draft>, ApiError> {
    let draft = store.draft(id, which.repeat, &caller.by).await?;
    Ok(axum::Json(draft.ok_or_else(|| ApiError::not_found("draft of item", id))?))
}

/// Throw unsent work away.
#[utoipa::path(delete, path = "/items/{id}/draft", tag = "annotation", params(("id" = ItemId, Path), WhichDraft),
    responses((status = NO_CONTENT, description = "There is none."),))]
pub async fn delete_draft(
    State(store): State<Store>,
    caller: Caller,
    Path(id): Path<ItemId>,
    Query(which): Query<WhichDraft>,
) -> Result<StatusCode, ApiError> {
    store.delete_draft(id, which.repeat, &caller.by).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// See what models say of an item, after one's own vote, in a study of reasoning.
///
/// It is remembered: votes on the item from now on are not blind.
#[utoipa::path(post, path = "/items/{id}/reveal", tag = "annotation", params(("id" = ItemId, Path)), responses(
    (status = OK, body = Reveal),
    (status = CONFLICT, description = "The caller has not voted on it, or the study does not show answers.",
        body = Problem, content_type = "application/problem+json"),
))]
pub async fn reveal(
    State(store): State<Store>,
    caller: Caller,
    Path(id): Path<ItemId>,
) -> Result<axum::Json<Reveal>, ApiError> {
    let refuse = |detail: &str| ApiError::new(StatusCode::CONFLICT, "blind", "Not yet", detail);
    match store.reveal(id, &caller.by).await? {
        Revealed::Reveal(reveal) => Ok(axum::Json(*reveal)),
        Revealed::VoteFirst => {
            Err(refuse("rate it first: nobody sees what others say of an item before their own vote"))
        }
        Revealed::NotShown => Err(refuse("this study does not show what models say")),
    }
}

fn not_assigned(item: ItemId) -> ApiError {
    ApiError::not_found("item of yours", item)
}
