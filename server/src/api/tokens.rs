//! Personal API tokens: make, list, delete. The secret is shown once.

use axum::extract::State;
use axum::http::StatusCode;
use qponder_shared::TokenId;
use qponder_shared::account::{CreateToken, NewToken, Token, check};
use qponder_shared::api::Problem;

use super::extract::{Json, Path};
use super::gate::Caller;
use super::problem::ApiError;
use crate::accounts::secret::{Secret, TOKEN_PREFIX};
use crate::store::Store;
use crate::store::tokens::{self, MOST_TOKENS};

/// Longest life of a token that ends, in days.
const MAX_DAYS: u16 = 366;

/// List one's tokens, newest first.
#[utoipa::path(get, path = "/tokens", tag = "account", responses((status = OK, body = Vec<Token>)))]
pub async fn list(State(store): State<Store>, caller: Caller) -> Result<axum::Json<Vec<Token>>, ApiError> {
    let (user, _) = caller.own()?;
    Ok(axum::Json(store.tokens_of(user).await?))
}

/// Make a token.
///
/// It may do what its scopes and its owner's role both allow, now and later.
#[utoipa::path(post, path = "/tokens", tag = "account", request_body = CreateToken, responses(
    (status = CREATED, description = "The secret is in this answer and nowhere else.", body = NewToken),
    (status = FORBIDDEN, description = "A scope is beyond the role.", body = Problem,
        content_type = "application/problem+json"),
    (status = UNPROCESSABLE_ENTITY, description = "A value cannot be used, or there are too many tokens.",
        body = Problem, content_type = "application/problem+json"),
))]
pub async fn create(
    State(store): State<Store>,
    caller: Caller,
    Json(mut body): Json<CreateToken>,
) -> Result<(StatusCode, axum::Json<NewToken>), ApiError> {
    let (user, _) = caller.own()?;
    let name = check::name(&body.name)?;
    body.scopes.sort_unstable();
    body.scopes.dedup();
    if body.scopes.is_empty() {
        return Err(ApiError::unprocessable("a token needs at least one scope"));
    }
    if let Some(scope) = body.scopes.iter().find(|scope| !caller.scopes.contains(scope)) {
        let detail = format!("your role does not have the scope {scope}, so no token of yours can");
        return Err(ApiError::new(StatusCode::FORBIDDEN, "not-allowed", "Not allowed", detail));
    }
    if let Some(days) = body.days.filter(|days| !(1..=MAX_DAYS).contains(days)) {
        return Err(ApiError::unprocessable(format!("days is {days}; it must be between 1 and {MAX_DAYS}")));
    }
    let secret = Secret::new(TOKEN_PREFIX)?;
    let new =
        tokens::NewToken { user, name: &name, secret: secret.hash(), scopes: &body.scopes, days: body.days };
    let token = store.add_token(&new, &caller.by).await?.ok_or_else(|| {
        ApiError::unprocessable(format!("you have {MOST_TOKENS} tokens; delete one that is not used"))
    })?;
    Ok((StatusCode::CREATED, axum::Json(NewToken { token, secret: secret.text().to_owned() })))
}

/// Delete a token: it stops working at once.
#[utoipa::path(delete, path = "/tokens/{id}", tag = "account", params(("id" = TokenId, Path)), responses(
    (status = NO_CONTENT, description = "It is deleted."),
    (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
))]
pub async fn delete(
    State(store): State<Store>,
    caller: Caller,
    Path(id): Path<TokenId>,
) -> Result<StatusCode, ApiError> {
    let (user, _) = caller.own()?;
    match store.delete_token(user, id, &caller.by).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(ApiError::not_found("token", id)),
    }
}
