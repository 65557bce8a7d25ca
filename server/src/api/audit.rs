//! The audit log, for administrators.

use axum::extract::State;
use qponder_shared::account::AuditEntry;
use qponder_shared::api::{Page, Problem};
use qponder_shared::{AuditId, day};
use uuid::Uuid;

use super::extract::Query;
use super::images::check_limit;
use super::problem::ApiError;
use crate::store::Store;
use crate::store::audit::AuditFilter;

/// Which page of the log.
#[derive(serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListAudit {
    /// `next` of the page before; from the newest without it.
    cursor: Option<AuditId>,
    /// Lines on the page, 1 to 200.
    #[param(default = 50, minimum = 1, maximum = 200)]
    limit: Option<usize>,
    /// Only changes of the object with this id.
    object: Option<Uuid>,
    /// Only what this person changed: the name in the log, which is an address for users.
    actor: Option<String>,
    /// Only actions of this noun: `study` for `study.create` and all others.
    noun: Option<String>,
    /// Not before this day (`2026-03-01`, UTC).
    since: Option<String>,
    /// Before the end of this day (UTC).
    until: Option<String>,
}

/// List who changed what, newest first.
#[utoipa::path(get, path = "/audit", tag = "administration", params(ListAudit), responses(
    (status = OK, body = Page<AuditEntry>),
    (status = BAD_REQUEST, body = Problem, content_type = "application/problem+json"),
))]
pub async fn list(
    State(store): State<Store>,
    Query(query): Query<ListAudit>,
) -> Result<axum::Json<Page<AuditEntry>>, ApiError> {
    let limit = check_limit(query.limit)?;
    let moment = |day: Option<String>, of: fn(&str) -> Option<u64>| {
        let refused = |day: &str| ApiError::bad_request(format!("{day:?} is no day; write it as 2026-03-01"));
        day.map(|day| of(&day).ok_or_else(|| refused(&day))).transpose()
    };
    let filter = AuditFilter {
        object: query.object,
        actor: query.actor,
        noun: query.noun,
        since: moment(query.since, day::start)?,
        until: moment(query.until, day::end)?,
    };
    let items = store.audit(&filter, query.cursor, limit + 1).await?;
    Ok(axum::Json(Page::cut(items, limit, |last| last.id.to_string())))
}
