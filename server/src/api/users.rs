//! Users, for administrators: list, change, and help those who forgot their password.

use axum::extract::State;
use axum::http::StatusCode;
use qponder_shared::UserId;
use qponder_shared::account::{ChangeUser, NewLink, User};
use qponder_shared::api::{Page, Problem};

use super::extract::{Json, Path, Query};
use super::gate::Caller;
use super::images::check_limit;
use super::invites::new_link;
use super::problem::ApiError;
use crate::store::Store;
use crate::store::invites::Purpose;
use crate::store::users::Changed;

/// Which page of users.
#[derive(serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListUsers {
    /// `next` of the page before; from the first user without it.
    cursor: Option<UserId>,
    /// Users on the page, 1 to 200.
    #[param(default = 50, minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

/// List users in the order in which they joined.
#[utoipa::path(get, path = "/users", tag = "administration", params(ListUsers), responses(
    (status = OK, body = Page<User>),
))]
pub async fn list(
    State(store): State<Store>,
    Query(query): Query<ListUsers>,
) -> Result<axum::Json<Page<User>>, ApiError> {
    let limit = check_limit(query.limit)?;
    let items = store.users(query.cursor, limit + 1).await?;
    Ok(axum::Json(Page::cut(items, limit, |last| last.id.to_string())))
}

/// Change a user's role, or disable or enable them.
///
/// It holds from their next request on: sessions of disabled users end, and their tokens do not work.
#[utoipa::path(patch, path = "/users/{id}", tag = "administration", params(("id" = UserId, Path)),
    request_body = ChangeUser, responses(
    (status = OK, body = User),
    (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
    (status = CONFLICT, description = "They are the last administrator.", body = Problem,
        content_type = "application/problem+json"),
))]
pub async fn change(
    State(store): State<Store>,
    caller: Caller,
    Path(id): Path<UserId>,
    Json(body): Json<ChangeUser>,
) -> Result<axum::Json<User>, ApiError> {
    match store.change_user(id, &body, &caller.by).await? {
        Changed::User(user) => Ok(axum::Json(user)),
        Changed::NoUser => Err(ApiError::not_found("user", id)),
        Changed::LastAdmin => {
            let detail = "nobody could administer afterwards; make somebody else an administrator first";
            Err(ApiError::new(StatusCode::CONFLICT, "last-admin", "Last administrator", detail))
        }
    }
}

/// Make a link with which a user sets a new password.
///
/// It works once, for a day; links made before stop working. Nothing is sent: hand it over yourself.
#[utoipa::path(post, path = "/users/{id}/reset-link", tag = "administration", params(("id" = UserId, Path)),
    responses(
    (status = CREATED, body = NewLink),
    (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
))]
pub async fn reset_link(
    State(store): State<Store>,
    caller: Caller,
    Path(id): Path<UserId>,
) -> Result<(StatusCode, axum::Json<NewLink>), ApiError> {
    if store.user(id).await?.is_none() {
        return Err(ApiError::not_found("user", id));
    }
    new_link(&store, Purpose::Reset(id), &caller.by).await
}
