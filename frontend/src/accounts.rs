//! Calls of `/api/v1` about accounts.

use gloo_net::http::Request;
use qponder_shared::account::{
    AcceptInvite, AuditEntry, ChangePassword, ChangeUser, CreateInvite, CreateToken, Invite, LinkToken, Me,
    NewLink, NewToken, OpenInvite, Session, SignIn, Token, User,
};
use qponder_shared::api::Page;
use qponder_shared::operation::{Health, KindCount, Storage};
use qponder_shared::{InviteId, TokenId, UserId};

use crate::api::{Failure, NOTHING, delete, get, read, send, send_once};
use crate::session;

const SESSION: &str = "/api/v1/session";

/// Who is signed in; `None` when nobody is.
pub async fn me() -> Result<Option<Me>, Failure> {
    match send_once(Request::get, SESSION, NOTHING).await {
        Err(Failure::Refused { problem, .. }) if problem.kind == session::NOT_SIGNED_IN => Ok(None),
        answer => read(answer?).await.map(Some),
    }
}

/// Signs in.
pub async fn sign_in(body: &SignIn) -> Result<Me, Failure> {
    read(send_once(Request::post, SESSION, Some(body)).await?).await
}

/// Signs out, here or everywhere. Where nobody is signed in any more, that is done.
pub async fn sign_out(everywhere: bool) -> Result<(), Failure> {
    let url = if everywhere { "/api/v1/sessions" } else { SESSION };
    match send_once(Request::delete, url, NOTHING).await {
        Err(Failure::Refused { problem, .. }) if problem.status == 401 => Ok(()),
        answer => answer.map(drop),
    }
}

/// What a link is for.
pub async fn open_link(token: &str) -> Result<OpenInvite, Failure> {
    let body = LinkToken { token: token.to_owned() };
    read(send_once(Request::post, "/api/v1/invites/open", Some(&body)).await?).await
}

/// Uses a link.
pub async fn accept(body: &AcceptInvite) -> Result<Me, Failure> {
    read(send_once(Request::post, "/api/v1/invites/accept", Some(body)).await?).await
}

/// Where one is signed in.
pub async fn sessions() -> Result<Vec<Session>, Failure> {
    get("/api/v1/sessions").await
}

/// Changes one's password.
pub async fn change_password(body: &ChangePassword) -> Result<(), Failure> {
    send(Request::put, "/api/v1/password", Some(body)).await.map(drop)
}

/// One's tokens.
pub async fn tokens() -> Result<Vec<Token>, Failure> {
    get("/api/v1/tokens").await
}

/// Makes a token.
pub async fn create_token(body: &CreateToken) -> Result<NewToken, Failure> {
    read(send(Request::post, "/api/v1/tokens", Some(body)).await?).await
}

/// Deletes a token.
pub async fn delete_token(id: TokenId) -> Result<(), Failure> {
    delete(&format!("/api/v1/tokens/{id}")).await
}

/// One page of users.
pub async fn users(cursor: Option<&str>) -> Result<Page<User>, Failure> {
    get(&paged("/api/v1/users", cursor)).await
}

/// Changes a user.
pub async fn change_user(id: UserId, body: &ChangeUser) -> Result<User, Failure> {
    read(send(Request::patch, &format!("/api/v1/users/{id}"), Some(body)).await?).await
}

/// Makes a link for a new password.
pub async fn reset_link(id: UserId) -> Result<NewLink, Failure> {
    read(send(Request::post, &format!("/api/v1/users/{id}/reset-link"), NOTHING).await?).await
}

/// Invites that were not used yet.
pub async fn invites() -> Result<Vec<Invite>, Failure> {
    get("/api/v1/invites").await
}

/// Invites somebody.
pub async fn create_invite(body: &CreateInvite) -> Result<NewLink, Failure> {
    read(send(Request::post, "/api/v1/invites", Some(body)).await?).await
}

/// Takes an invite back.
pub async fn revoke_invite(id: InviteId) -> Result<(), Failure> {
    delete(&format!("/api/v1/invites/{id}")).await
}

/// One page of the audit log under filters, which are a query such as `noun=study`.
pub async fn audit(filters: &str, cursor: Option<&str>) -> Result<Page<AuditEntry>, Failure> {
    let filters = if filters.is_empty() { String::new() } else { format!("&{filters}") };
    get(&format!("{}{filters}", paged("/api/v1/audit", cursor))).await
}

/// Where the bytes are.
pub async fn storage() -> Result<Storage, Failure> {
    get("/api/v1/storage").await
}

/// Begins to count the files.
pub async fn count_files() -> Result<(), Failure> {
    send(Request::post, "/api/v1/storage/count", NOTHING).await.map(drop)
}

/// Removes the files that nothing names.
pub async fn remove_orphans() -> Result<KindCount, Failure> {
    read(send(Request::delete, "/api/v1/storage/orphans", NOTHING).await?).await
}

/// How every part of the server is.
pub async fn health() -> Result<Health, Failure> {
    get("/api/v1/health").await
}

fn paged(url: &str, cursor: Option<&str>) -> String {
    let cursor = cursor.map(|cursor| format!("&cursor={}", js_sys::encode_uri_component(cursor)));
    format!("{url}?limit=50{}", cursor.unwrap_or_default())
}
