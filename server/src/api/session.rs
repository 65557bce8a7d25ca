//! Signing in and out, one's sessions, and one's password.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use qponder_shared::account::{ChangePassword, Me, Session, SignIn, User, check};
use qponder_shared::api::Problem;

use super::client_name;
use super::extract::Json;
use super::gate::Caller;
use super::problem::ApiError;
use super::security::is_loopback_name;
use super::visitor::Visitor;
use crate::accounts::limits::{self, Limits};
use crate::accounts::passwords::Passwords;
use crate::accounts::secret::{self, Secret, SecretHash};
use crate::store::Store;
use crate::store::audit::{By, Via};
use crate::store::sessions::NewSession;

/// Sign in.
///
/// The answer sets the session's cookie; a session that the browser had before ends. Wrong passwords are
/// counted by address and by account.
#[utoipa::path(post, path = "/session", tag = "account", request_body = SignIn, responses(
    (status = OK, description = "Signed in.", body = Me),
    (status = UNAUTHORIZED, description = "The address or the password is wrong, or the user is disabled.",
        body = Problem, content_type = "application/problem+json"),
    (status = FORBIDDEN, description = "It came over plain HTTP from another machine.", body = Problem,
        content_type = "application/problem+json"),
    (status = TOO_MANY_REQUESTS, description = "Too many failures; `Retry-After` says when to try again.",
        body = Problem, content_type = "application/problem+json"),
))]
pub async fn sign_in(
    State(store): State<Store>,
    State(passwords): State<Passwords>,
    State(limits): State<Arc<Limits>>,
    visitor: Visitor,
    headers: HeaderMap,
    Json(body): Json<SignIn>,
) -> Result<Response, ApiError> {
    check_transport(&headers)?;
    let email = check::email(&body.email).unwrap_or_default();
    let (address, account) = (limits::address(visitor.address), limits::account(&email));
    let refuse = |too_many| ApiError::too_many("too many sign-ins have failed", too_many);
    limits.sign_in_address.count(address).map_err(refuse)?;
    limits.sign_in_account.count(account).map_err(refuse)?;
    let outcome = authenticate(&store, &passwords, &email, body.password).await;
    if !matches!(outcome, Ok(None)) {
        limits.sign_in_address.forgive(address);
        limits.sign_in_account.forgive(account);
    }
    let Some(user) = outcome? else {
        tracing::warn!(address = %visitor.address, "a sign-in failed");
        return Err(ApiError::unauthorised("sign-in-failed", "the e-mail address or the password is wrong"));
    };
    let secret = Secret::new("")?;
    let new = NewSession {
        user: user.id,
        secret: secret.hash(),
        client: &client_name::of(&headers),
        replaces: replaced(&visitor),
    };
    let by =
        By { user: Some(user.id), name: user.email.clone(), via: Via::Session, request: visitor.request };
    store.begin_session(&new, &by).await?;
    Ok(signed_in(StatusCode::OK, user, &visitor, &secret))
}

/// Who is signed in, or whose token it is.
#[utoipa::path(get, path = "/session", tag = "account", responses(
    (status = OK, body = Me),
    (status = UNAUTHORIZED, description = "Nobody.", body = Problem, content_type = "application/problem+json"),
))]
pub async fn read(caller: Caller) -> axum::Json<Me> {
    axum::Json(caller.me())
}

/// Sign out.
#[utoipa::path(delete, path = "/session", tag = "account", responses(
    (status = NO_CONTENT, description = "This session has ended."),
))]
pub async fn sign_out(
    State(store): State<Store>,
    visitor: Visitor,
    caller: Caller,
) -> Result<Response, ApiError> {
    let (_, session) = caller.own()?;
    store.end_session(session, &caller.by).await?;
    Ok(signed_out(&visitor))
}

/// List one's sessions, newest first.
#[utoipa::path(get, path = "/sessions", tag = "account", responses((status = OK, body = Vec<Session>)))]
pub async fn list(State(store): State<Store>, caller: Caller) -> Result<axum::Json<Vec<Session>>, ApiError> {
    let (user, session) = caller.own()?;
    Ok(axum::Json(store.sessions_of(user, session).await?))
}

/// Sign out everywhere, here too. Tokens go on working.
#[utoipa::path(delete, path = "/sessions", tag = "account", responses(
    (status = NO_CONTENT, description = "Every session has ended."),
))]
pub async fn sign_out_everywhere(
    State(store): State<Store>,
    visitor: Visitor,
    caller: Caller,
) -> Result<Response, ApiError> {
    let (user, _) = caller.own()?;
    store.end_sessions(user, &caller.by).await?;
    Ok(signed_out(&visitor))
}

/// Change one's password. Every other session ends.
#[utoipa::path(put, path = "/password", tag = "account", request_body = ChangePassword, responses(
    (status = NO_CONTENT, description = "It is changed."),
    (status = FORBIDDEN, description = "The current password is wrong.", body = Problem,
        content_type = "application/problem+json"),
    (status = UNPROCESSABLE_ENTITY, description = "The new password is too short, too long or obvious.",
        body = Problem, content_type = "application/problem+json"),
    (status = TOO_MANY_REQUESTS, description = "Too many failures; `Retry-After` says when to try again.",
        body = Problem, content_type = "application/problem+json"),
))]
pub async fn change_password(
    State(store): State<Store>,
    State(passwords): State<Passwords>,
    State(limits): State<Arc<Limits>>,
    caller: Caller,
    Json(body): Json<ChangePassword>,
) -> Result<StatusCode, ApiError> {
    let (id, session) = caller.own()?;
    let Some(User { email, name, .. }) = caller.user else {
        return Err(ApiError::not_found("user", id));
    };
    check::password(&body.new, &email, &name)?;
    let account = limits::account(&email);
    limits
        .sign_in_account
        .count(account)
        .map_err(|too_many| ApiError::too_many("too many wrong passwords for this account", too_many))?;
    let outcome = authenticate(&store, &passwords, &email, body.current).await;
    if !matches!(outcome, Ok(None)) {
        limits.sign_in_account.forgive(account);
    }
    if outcome?.is_none() {
        let detail = "the current password is wrong";
        return Err(ApiError::new(StatusCode::FORBIDDEN, "wrong-password", "Wrong password", detail));
    }
    let hash = passwords.hash(body.new).await?;
    store.set_password(id, &hash, Some(session), &caller.by).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The user with that address and password who is not disabled. Takes as long when there is none.
async fn authenticate(
    store: &Store,
    passwords: &Passwords,
    email: &str,
    password: String,
) -> Result<Option<User>, ApiError> {
    let found = store.credentials(email).await?.filter(|(user, _)| !user.disabled);
    let hash = found.as_ref().map(|(_, hash)| hash.clone());
    let is_right = passwords.verify(password, hash).await?;
    Ok(found.filter(|_| is_right).map(|(user, _)| user))
}

/// Passwords cross no network in the clear: browsers say by which scheme they came.
pub fn check_transport(headers: &HeaderMap) -> Result<(), ApiError> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if text(header::ORIGIN).starts_with("http://") && !is_loopback_name(text(header::HOST)) {
        let detail = "signing in over the network needs HTTPS: put a proxy with TLS before the server, \
                      and pass its address as --public-url";
        return Err(ApiError::new(StatusCode::FORBIDDEN, "https-needed", "HTTPS needed", detail));
    }
    Ok(())
}

/// The session that a browser had before it signs in anew.
pub fn replaced(visitor: &Visitor) -> Option<SecretHash> {
    visitor.session.as_deref().map(secret::hash)
}

/// The answer that hands a session over.
pub fn signed_in(status: StatusCode, user: User, visitor: &Visitor, secret: &Secret) -> Response {
    let me = Me { scopes: user.role.scopes().to_vec(), user: Some(user) };
    let mut response = (status, axum::Json(me)).into_response();
    if let Some(cookie) = visitor.cookie.set(secret.text()) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response.headers_mut().insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    response
}

fn signed_out(visitor: &Visitor) -> Response {
    let mut response =
        (StatusCode::NO_CONTENT, [(header::SET_COOKIE, visitor.cookie.clear())]).into_response();
    // Pictures are kept by browsers for good: the next person at this one should not find them.
    let cache = header::HeaderValue::from_static("\"cache\"");
    response.headers_mut().insert("clear-site-data", cache);
    response
}
