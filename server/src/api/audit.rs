//! The audit log, for administrators.

use axum::extract::State;
use qponder_shared::AuditId;
use qponder_shared::account::AuditEntry;
use qponder_shared::api::{Page, Problem};
use uuid::Uuid;

use super::extract::Query;
use super::images::check_limit;
use super::problem::ApiError;
use crate::store::Store;

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
    let items = store.audit(query.object, query.cursor, limit + 1).await?;
    Ok(axum::Json(Page::cut(items, limit, |last| last.id.to_string())))
}
