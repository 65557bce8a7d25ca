//! Links that work once: made by administrators, used by whoever has them.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use qponder_shared::InviteId;
use qponder_shared::account::{
    AcceptInvite, CreateInvite, Invite, InvitePurpose, LinkToken, Me, NewLink, OpenInvite, check,
};
use qponder_shared::api::Problem;

use super::client_name;
use super::extract::{Json, Path};
use super::gate::Caller;
use super::problem::ApiError;
use super::session::{check_transport, replaced, signed_in};
use super::visitor::Visitor;
use crate::accounts::limits::{self, Limits};
use crate::accounts::passwords::Passwords;
use crate::accounts::secret::{self, Secret};
use crate::store::Store;
use crate::store::acceptance::{Acceptance, Accepted};
use crate::store::audit::By;
use crate::store::invites::{MOST_INVITES, Purpose};

/// The page that opens a link. The secret follows after `#`, which stays in the browser.
pub const LINK_PATH: &str = "/welcome#";

/// List the invites that were not used yet, newest first.
#[utoipa::path(get, path = "/invites", tag = "administration", responses((status = OK, body = Vec<Invite>)))]
pub async fn list(State(store): State<Store>) -> Result<axum::Json<Vec<Invite>>, ApiError> {
    Ok(axum::Json(store.invites().await?))
}

/// Invite somebody.
///
/// The link works once, for a week. Nothing is sent: hand it over yourself.
#[utoipa::path(post, path = "/invites", tag = "administration", request_body = CreateInvite, responses(
    (status = CREATED, description = "The link is in this answer and nowhere else.", body = NewLink),
    (status = UNPROCESSABLE_ENTITY, description = "The note cannot be used, or too many invites are open.",
        body = Problem, content_type = "application/problem+json"),
))]
pub async fn create(
    State(store): State<Store>,
    caller: Caller,
    Json(body): Json<CreateInvite>,
) -> Result<(StatusCode, axum::Json<NewLink>), ApiError> {
    let note = if body.note.trim().is_empty() { String::new() } else { check::name(&body.note)? };
    new_link(&store, Purpose::Join { role: body.role, note: &note, study: body.study }, &caller.by).await
}

/// Take an invite back.
#[utoipa::path(delete, path = "/invites/{id}", tag = "administration", params(("id" = InviteId, Path)), responses(
    (status = NO_CONTENT, description = "Its link does not work any more."),
    (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
))]
pub async fn revoke(
    State(store): State<Store>,
    caller: Caller,
    Path(id): Path<InviteId>,
) -> Result<StatusCode, ApiError> {
    match store.revoke_invite(id, &caller.by).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(ApiError::not_found("open invite", id)),
    }
}

/// What a link is for.
#[utoipa::path(post, path = "/invites/open", tag = "account", request_body = LinkToken, responses(
    (status = OK, description = "It works.", body = OpenInvite),
    (status = NOT_FOUND, description = "It does not, or no more.", body = Problem,
        content_type = "application/problem+json"),
    (status = TOO_MANY_REQUESTS, description = "Too many failures; `Retry-After` says when to try again.",
        body = Problem, content_type = "application/problem+json"),
))]
pub async fn open(
    State(store): State<Store>,
    State(limits): State<Arc<Limits>>,
    visitor: Visitor,
    Json(body): Json<LinkToken>,
) -> Result<axum::Json<OpenInvite>, ApiError> {
    Ok(axum::Json(find(&store, &limits, &visitor, &body.token).await?))
}

/// Use a link: become a user, or set a new password. Either way one is signed in afterwards.
#[utoipa::path(post, path = "/invites/accept", tag = "account", request_body = AcceptInvite, responses(
    (status = CREATED, description = "Signed in.", body = Me),
    (status = NOT_FOUND, description = "The link does not work, or no more.", body = Problem,
        content_type = "application/problem+json"),
    (status = CONFLICT, description = "Somebody with this address is here already.", body = Problem,
        content_type = "application/problem+json"),
    (status = UNPROCESSABLE_ENTITY, description = "An address, name or password cannot be used.", body = Problem,
        content_type = "application/problem+json"),
    (status = TOO_MANY_REQUESTS, description = "Too many failures; `Retry-After` says when to try again.",
        body = Problem, content_type = "application/problem+json"),
))]
pub async fn accept(
    State(store): State<Store>,
    State(passwords): State<Passwords>,
    State(limits): State<Arc<Limits>>,
    visitor: Visitor,
    headers: HeaderMap,
    Json(body): Json<AcceptInvite>,
) -> Result<Response, ApiError> {
    check_transport(&headers)?;
    // The link before the hash: who has none costs no time.
    let link = find(&store, &limits, &visitor, &body.token).await?;
    let (email, name) = match (link.purpose, link.email) {
        (InvitePurpose::Reset, Some(email)) => (email, String::new()),
        _ => (check::email(&body.email)?, check::name(&body.name)?),
    };
    check::password(&body.password, &email, &name)?;
    let password_hash = passwords.hash(body.password).await?;
    let session = Secret::new("")?;
    let use_of = Acceptance {
        link: secret::hash(&body.token),
        email: &email,
        name: &name,
        password_hash: &password_hash,
        session: session.hash(),
        client: &client_name::of(&headers),
        replaces: replaced(&visitor),
        request: visitor.request,
    };
    match store.accept(&use_of).await? {
        Accepted::User(user) => Ok(signed_in(StatusCode::CREATED, user, &visitor, &session)),
        Accepted::NoLink => Err(no_link()),
        Accepted::EmailTaken => {
            let detail = "somebody with this e-mail address is here already; sign in, or use another address";
            Err(ApiError::new(StatusCode::CONFLICT, "email-taken", "Address taken", detail))
        }
    }
}

/// Makes a link and tells it, this once.
pub async fn new_link(
    store: &Store,
    purpose: Purpose<'_>,
    by: &By,
) -> Result<(StatusCode, axum::Json<NewLink>), ApiError> {
    let secret = Secret::new("")?;
    let (id, expires_at) = store.add_link(purpose, &secret.hash(), by).await?.ok_or_else(|| {
        ApiError::unprocessable(format!("{MOST_INVITES} links are open; take back some that nobody will use"))
    })?;
    let path = format!("{LINK_PATH}{}", secret.text());
    Ok((StatusCode::CREATED, axum::Json(NewLink { id, path, expires_at })))
}

/// The link of a secret; failures count against the address.
async fn find(
    store: &Store,
    limits: &Limits,
    visitor: &Visitor,
    token: &str,
) -> Result<OpenInvite, ApiError> {
    let key = limits::address(visitor.address);
    limits.links.count(key).map_err(|too_many| {
        ApiError::too_many("too many links that do not work came from this address", too_many)
    })?;
    let found = store.link(&secret::hash(token)).await;
    if !matches!(found, Ok(None)) {
        limits.links.forgive(key);
    }
    found?.ok_or_else(no_link)
}

fn no_link() -> ApiError {
    let detail =
        "this link was used already, has expired, or was taken back; ask an administrator for another";
    ApiError::new(StatusCode::NOT_FOUND, "no-link", "The link does not work", detail)
}
