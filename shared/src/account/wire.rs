//! Bodies of the account endpoints of `/api/v1`.

use serde::{Deserialize, Serialize};

use super::{Role, Scope};
use crate::{AuditId, InviteId, SessionId, StudyId, TokenId, UserId};

/// A person who can sign in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct User {
    pub id: UserId,
    pub email: String,
    pub name: String,
    pub role: Role,
    /// Cannot sign in; tokens do not work either.
    pub disabled: bool,
    pub created_at: String,
}

/// Who is asking.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Me {
    /// `None` in local mode, where whoever uses this machine is the administrator.
    pub user: Option<User>,
    /// What this session or token may do.
    pub scopes: Vec<Scope>,
}

impl Me {
    /// Whether it may do that.
    #[must_use]
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }
}

/// Body of `POST /api/v1/session`.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    pub email: String,
    pub password: String,
}

/// Body of `PUT /api/v1/password`.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ChangePassword {
    pub current: String,
    /// At least 12 characters.
    pub new: String,
}

/// One browser in which the user is signed in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Session {
    pub id: SessionId,
    /// What the browser called itself at sign-in.
    pub client: String,
    /// The session that asks.
    pub current: bool,
    pub created_at: String,
    /// To the minute.
    pub last_seen_at: String,
    /// It ends then at the latest.
    pub expires_at: String,
}

/// A personal API token, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Token {
    pub id: TokenId,
    pub name: String,
    pub scopes: Vec<Scope>,
    pub created_at: String,
    /// To the minute.
    pub last_used_at: Option<String>,
    pub expires_at: Option<String>,
}

/// Body of `POST /api/v1/tokens`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateToken {
    /// What it is for.
    pub name: String,
    /// At least one, and none that its owner lacks.
    pub scopes: Vec<Scope>,
    /// Days until it stops working, 1 to 366; never without it.
    #[serde(default)]
    pub days: Option<u16>,
}

/// A token that was just made. The secret is told this once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewToken {
    pub token: Token,
    /// Send it as `Authorization: Bearer qp_…`.
    pub secret: String,
}

/// Body of `PATCH /api/v1/users/{id}`: what is left out stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct ChangeUser {
    pub role: Option<Role>,
    pub disabled: Option<bool>,
}

/// A link for a new user that was not used yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Invite {
    pub id: InviteId,
    pub role: Role,
    /// Whom it is for. Nothing is sent there.
    pub note: String,
    /// Who made it.
    pub created_by: String,
    pub created_at: String,
    pub expires_at: String,
}

/// Body of `POST /api/v1/invites`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateInvite {
    pub role: Role,
    /// Whom it is for; for your own list.
    #[serde(default)]
    pub note: String,
    /// The study of which they become a member.
    #[serde(default)]
    pub study: Option<StudyId>,
}

/// A link that was just made. It is told this once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewLink {
    pub id: InviteId,
    /// Path of the page that opens it, to be put behind this server's address. The secret stands after
    /// `#`, which browsers send to no server.
    pub path: String,
    pub expires_at: String,
}

/// Body of `POST /api/v1/invites/open`: the secret of a link.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct LinkToken {
    pub token: String,
}

/// What a link is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum InvitePurpose {
    /// A new user.
    Join,
    /// A new password for a user who is there.
    Reset,
}

/// A link that works, before it is used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OpenInvite {
    pub purpose: InvitePurpose,
    pub role: Role,
    /// Whose password it resets.
    pub email: Option<String>,
    /// The first user of this server.
    pub first: bool,
}

/// Body of `POST /api/v1/invites/accept`.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct AcceptInvite {
    pub token: String,
    /// Of a new user; left out when a password is reset.
    #[serde(default)]
    pub email: String,
    /// Of a new user; left out when a password is reset.
    #[serde(default)]
    pub name: String,
    /// At least 12 characters.
    pub password: String,
}

/// One change, as the audit log keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditEntry {
    pub id: AuditId,
    pub at: String,
    /// The user, where there is one.
    pub actor_id: Option<UserId>,
    /// The address of the user at that time, `local`, or `operator` for the command line.
    pub actor: String,
    /// `session`, `token`, `link`, `local` or `command`.
    pub via: String,
    /// What was done, such as `image.delete`.
    pub action: String,
    /// Id of what it was done to.
    pub object: Option<String>,
    /// What changed, in words for people.
    pub detail: String,
    /// `x-request-id` of the request.
    pub request_id: Option<String>,
}
