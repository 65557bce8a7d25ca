//! Accounts: who may do what, what makes a name or password acceptable, and the wire types.
//!
//! Secrets (passwords, tokens, links) are plain texts here and are kept nowhere as such.

pub mod check;
mod role;
mod wire;

pub use role::{Role, Scope};
pub use wire::{
    AcceptInvite, AuditEntry, ChangePassword, ChangeUser, CreateInvite, CreateToken, Invite, InvitePurpose,
    LinkToken, Me, NewLink, NewToken, OpenInvite, Session, SignIn, Token, User,
};
