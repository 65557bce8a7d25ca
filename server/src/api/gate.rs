//! The gate: finds out who asks, looks up what the route asks of them, and lets them in or not.
//!
//! Nothing else decides about access. Handlers get the [`Caller`] that came through.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use qponder_shared::account::{Me, User};
use qponder_shared::{Scope, SessionId, UserId};

use super::access::{Access, Entry, look_up};
use super::chat::ChatError;
use super::denied::Denied;
use super::problem::ApiError;
use super::visitor::Visitor;
use super::{PublicUrl, wrong_method};
use crate::accounts::limits::{self, Limits};
use crate::accounts::secret::{self, TOKEN_PREFIX};
use crate::store::Store;
use crate::store::audit::{By, Via};

/// Everything that the gate looks at.
#[derive(Clone)]
pub struct Gate {
    /// Sessions and tokens.
    pub store: Store,
    /// How many wrong tokens an address may show.
    pub limits: Arc<Limits>,
    /// Everybody is the local admin.
    pub local: bool,
    /// Whose word about the client's address is believed.
    pub proxies: Arc<[IpAddr]>,
    /// How people reach the server.
    pub public_url: Option<PublicUrl>,
}

/// Who came through the gate.
#[derive(Clone)]
pub struct Caller {
    /// The user; `None` in local mode.
    pub user: Option<User>,
    /// What they may do here.
    pub scopes: Vec<Scope>,
    /// The session, where they are signed in on the page.
    pub session: Option<SessionId>,
    /// For the audit log.
    pub by: By,
}

impl Caller {
    /// Who they are, as they are told.
    pub fn me(&self) -> Me {
        Me { user: self.user.clone(), scopes: self.scopes.clone() }
    }

    /// Their account and session. The gate lets no other caller to routes about one's own account.
    pub fn own(&self) -> Result<(UserId, SessionId), ApiError> {
        match (&self.user, self.session) {
            (Some(user), Some(session)) => Ok((user.id, session)),
            _ => Err(Denied::NoAccount.into()),
        }
    }
}

/// A handler asked for what only the gate can give, on a route that it does not guard.
#[derive(Debug, thiserror::Error)]
#[error("a handler is not behind the gate")]
pub struct NoGate;

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parts.extensions.get().cloned().ok_or_else(|| ApiError::internal(&NoGate))
    }
}

/// Lets a request through, or answers it.
pub async fn guard(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    // Without a pattern there is no endpoint: files of the page, or the answer that there is nothing.
    let Some(route) = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned()) else {
        return next.run(request).await;
    };
    let access = match look_up(request.method(), &route) {
        Entry::Asks(access) => access,
        Entry::OtherMethod => {
            return wrong_method(request.method().clone(), request.uri().clone()).await.into_response();
        }
        Entry::Unlisted => {
            tracing::error!(route, "this route has no line in the table of access, so nobody may use it");
            return Denied::Unlisted.into_response(&route);
        }
    };
    let visitor = Visitor::of(&request, &gate.proxies, gate.public_url.as_ref());
    match gate.admit(access, request.headers(), &visitor).await {
        Ok(Some(caller)) => drop(request.extensions_mut().insert(caller)),
        Ok(None) => {}
        Err(denied) => return denied.into_response(&route),
    }
    request.extensions_mut().insert(visitor);
    let mut response = next.run(request).await;
    if access != Access::Public {
        // What was told to one person is for no cache; files say themselves how long they may be kept.
        response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    }
    response
}

impl Gate {
    /// Finds out who asks, as far as the route wants to know.
    async fn admit(
        &self,
        access: Access,
        headers: &HeaderMap,
        visitor: &Visitor,
    ) -> Result<Option<Caller>, Denied> {
        if self.local && (headers.contains_key("forwarded") || headers.contains_key("x-forwarded-for")) {
            return Err(Denied::Proxied);
        }
        if access == Access::Public {
            return Ok(None);
        }
        let caller = if self.local { local(visitor) } else { self.identify(headers, visitor).await? };
        match access {
            Access::Own if caller.session.is_none() => Err(Denied::NoAccount),
            Access::Needs(scope) if !caller.scopes.contains(&scope) => Err(Denied::Lacks(scope)),
            _ => Ok(Some(caller)),
        }
    }

    async fn identify(&self, headers: &HeaderMap, visitor: &Visitor) -> Result<Caller, Denied> {
        let by = |user: &User, via| By {
            user: Some(user.id),
            name: user.email.clone(),
            via,
            request: visitor.request,
        };
        // Who names a token means it, whatever cookies there are.
        if let Some(value) = headers.get(header::AUTHORIZATION) {
            let key = limits::address(visitor.address);
            let found = match bearer(value) {
                Some(token) => self.store.token(&secret::hash(token)).await?,
                None => None,
            };
            let Some((mut scopes, user)) = found else {
                self.limits.tokens.count(key).map_err(Denied::TooMany)?;
                return Err(Denied::BadToken);
            };
            scopes.retain(|scope| user.role.scopes().contains(scope));
            return Ok(Caller { scopes, session: None, by: by(&user, Via::Token), user: Some(user) });
        }
        let session = visitor.session.as_deref().ok_or(Denied::NotSignedIn)?;
        let (session, user) = self.store.session(&secret::hash(session)).await?.ok_or(Denied::NotSignedIn)?;
        Ok(Caller {
            scopes: user.role.scopes().to_vec(),
            session: Some(session),
            by: by(&user, Via::Session),
            user: Some(user),
        })
    }
}

/// Whoever uses this machine, in local mode.
fn local(visitor: &Visitor) -> Caller {
    let by = By { user: None, name: "local".to_owned(), via: Via::Local, request: visitor.request };
    Caller { user: None, scopes: Scope::ALL.to_vec(), session: None, by }
}

fn bearer(value: &HeaderValue) -> Option<&str> {
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && token.starts_with(TOKEN_PREFIX)).then_some(token)
}

impl From<Denied> for ApiError {
    fn from(denied: Denied) -> Self {
        denied.problem()
    }
}

impl Denied {
    /// The answer in the dialect of the route.
    fn into_response(self, route: &str) -> Response {
        if route.starts_with("/v1/") {
            return ChatError::from(self.problem()).into_response();
        }
        self.problem().into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_bearer_tokens_of_ours() {
        for (text, expected) in [
            ("Bearer qp_abc", Some("qp_abc")),
            ("bearer  qp_abc ", Some("qp_abc")),
            ("Bearer sk-abc", None),
            ("Basic qp_abc", None),
            ("qp_abc", None),
        ] {
            let value = HeaderValue::from_static(text);
            assert_eq!(bearer(&value), expected, "{text}");
        }
    }
}
