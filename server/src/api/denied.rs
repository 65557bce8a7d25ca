//! Why a request does not come through the gate.

use axum::http::StatusCode;
use qponder_shared::Scope;

use super::problem::ApiError;
use crate::accounts::limits::TooMany;
use crate::store::StoreError;

/// Why not.
#[derive(Debug)]
pub enum Denied {
    /// Nobody is signed in, or no more.
    NotSignedIn,
    /// The token is none, or works no more.
    BadToken,
    /// Too many tokens that were none.
    TooMany(TooMany),
    /// The role or the token does not allow it.
    Lacks(Scope),
    /// It is about one's own account, and a token or local mode has none.
    NoAccount,
    /// Local mode, through a proxy.
    Proxied,
    /// The route is not in the table.
    Unlisted,
    /// It could not be found out.
    Store(StoreError),
}

impl From<StoreError> for Denied {
    fn from(error: StoreError) -> Self {
        Denied::Store(error)
    }
}

impl Denied {
    /// What the client is told.
    pub fn problem(self) -> ApiError {
        let forbidden =
            |kind, detail: String| ApiError::new(StatusCode::FORBIDDEN, kind, "Not allowed", detail);
        match self {
            Denied::NotSignedIn => ApiError::unauthorised(
                "not-signed-in",
                "sign in, or send an API token as `Authorization: Bearer qp_…`",
            ),
            Denied::BadToken => ApiError::unauthorised(
                "bad-token",
                "this is no API token that works; it begins with qp_, and the account page lists those you have",
            ),
            Denied::TooMany(too_many) => ApiError::too_many("too many wrong tokens came from this address", too_many),
            Denied::Lacks(scope) => forbidden(
                "not-allowed",
                format!("this needs the scope {scope}, which the role or the token does not have; ask an administrator"),
            ),
            Denied::NoAccount => forbidden(
                "no-account",
                "this is about the account of somebody who is signed in on the page; tokens and local mode have none"
                    .to_owned(),
            ),
            Denied::Proxied => forbidden(
                "local-only",
                "this server runs in local mode, for this machine alone, and the request came through a proxy; \
                 start it without --local"
                    .to_owned(),
            ),
            Denied::Unlisted => {
                forbidden("not-allowed", "nobody may use this route; the server's log says why".to_owned())
            }
            Denied::Store(error) => error.into(),
        }
    }
}
