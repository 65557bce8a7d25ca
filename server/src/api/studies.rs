//! Studies and their members.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use qponder_shared::api::{Page, Problem};
use qponder_shared::study::{AddMember, ChangeStudy, CreateStudy, Member, Study, check};
use qponder_shared::{Scope, StudyId, UserId, account};

use super::assessments::idempotency_key;
use super::extract::{Json, Path, Query};
use super::gate::Caller;
use super::images::check_limit;
use super::problem::ApiError;
use crate::store::Store;
use crate::store::studies::{Changed, Made, Viewer};

/// Largest study, in bytes: the longest guidelines in any script.
pub const MAX_REQUEST_BYTES: usize = 8 * check::MAX_GUIDELINES;

/// Which page of studies.
#[derive(serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListStudies {
    /// `next` of the page before; from the newest without it.
    cursor: Option<StudyId>,
    /// Studies on the page, 1 to 200.
    #[param(default = 50, minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

/// List studies, newest first: all of them for those who run studies, one's own for others.
#[utoipa::path(get, path = "/studies", tag = "studies", params(ListStudies), responses(
    (status = OK, body = Page<Study>),
))]
pub async fn list(
    State(store): State<Store>,
    caller: Caller,
    Query(query): Query<ListStudies>,
) -> Result<axum::Json<Page<Study>>, ApiError> {
    let limit = check_limit(query.limit)?;
    let items = store.studies(viewer(&caller), query.cursor, limit + 1).await?;
    Ok(axum::Json(Page::cut(items, limit, |last| last.id.to_string())))
}

/// Make a study.
///
/// With an `Idempotency-Key` a repeated request gives the first one's study.
#[utoipa::path(post, path = "/studies", tag = "studies", params(
    ("Idempotency-Key" = Option<String>, Header, description = "Your name for this request, 1 to 200 characters."),
), request_body = CreateStudy, responses(
    (status = CREATED, description = "`Location` names it.", body = Study),
    (status = OK, description = "The same request came before; this is what it made.", body = Study),
    (status = UNPROCESSABLE_ENTITY, description = "A text or number cannot be used, or the key belongs to another request.",
        body = Problem, content_type = "application/problem+json"),
))]
pub async fn create(
    State(store): State<Store>,
    caller: Caller,
    headers: HeaderMap,
    Json(body): Json<CreateStudy>,
) -> Result<Response, ApiError> {
    let name = check::text("the name", &body.name, 1, check::MAX_NAME)?;
    let guidelines = check::text("the guidelines", &body.guidelines, 0, check::MAX_GUIDELINES)?;
    check_numbers(Some(body.overlap), Some(body.break_minutes))?;
    let key = idempotency_key(&headers)?;
    let seed = match body.seed {
        Some(seed) => seed,
        None => draw_seed()?,
    };
    let new = CreateStudy { name, guidelines, ..body };
    let (status, id) = match store.add_study(&new, seed, key, &caller.by).await? {
        Made::New(id) => (StatusCode::CREATED, id),
        Made::Repeated(id) => (StatusCode::OK, id),
        Made::KeyTaken => {
            return Err(ApiError::unprocessable("this Idempotency-Key was used for another request"));
        }
    };
    let study = find(&store, id, &caller).await?;
    let location = format!("/api/v1/studies/{id}");
    Ok((status, [(header::LOCATION, location)], axum::Json(study)).into_response())
}

/// Read a study.
#[utoipa::path(get, path = "/studies/{id}", tag = "studies", params(("id" = StudyId, Path)), responses(
    (status = OK, body = Study),
    (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
))]
pub async fn read(
    State(store): State<Store>,
    caller: Caller,
    Path(id): Path<StudyId>,
) -> Result<axum::Json<Study>, ApiError> {
    Ok(axum::Json(find(&store, id, &caller).await?))
}

/// Change a study, close it, or open it again.
///
/// The body names the revision that was looked at: a change by somebody else in between is a conflict,
/// and nothing is overwritten.
#[utoipa::path(patch, path = "/studies/{id}", tag = "studies", params(("id" = StudyId, Path)),
    request_body = ChangeStudy, responses(
    (status = OK, body = Study),
    (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
    (status = CONFLICT, description = "Somebody changed it meanwhile.", body = Problem,
        content_type = "application/problem+json"),
    (status = UNPROCESSABLE_ENTITY, description = "A text or number cannot be used.", body = Problem,
        content_type = "application/problem+json"),
))]
pub async fn change(
    State(store): State<Store>,
    caller: Caller,
    Path(id): Path<StudyId>,
    Json(body): Json<ChangeStudy>,
) -> Result<axum::Json<Study>, ApiError> {
    let text = |what, text: &Option<String>, least, most| {
        text.as_deref().map(|text| check::text(what, text, least, most)).transpose()
    };
    let name = text("the name", &body.name, 1, check::MAX_NAME)?;
    let guidelines = text("the guidelines", &body.guidelines, 0, check::MAX_GUIDELINES)?;
    check_numbers(body.overlap, body.break_minutes)?;
    let change = ChangeStudy { name, guidelines, ..body };
    match store.change_study(id, &change, viewer(&caller), &caller.by).await? {
        Changed::Study(study) => Ok(axum::Json(*study)),
        Changed::NoStudy => Err(ApiError::not_found("study", id)),
        Changed::Conflict(now) => Err(conflict(format!(
            "somebody changed the study meanwhile; it is at revision {} now: look at it and try again",
            now.revision
        ))),
    }
}

/// List a study's members in the order in which they came.
#[utoipa::path(get, path = "/studies/{id}/members", tag = "studies", params(("id" = StudyId, Path)), responses(
    (status = OK, body = Vec<Member>),
    (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
))]
pub async fn members(
    State(store): State<Store>,
    caller: Caller,
    Path(id): Path<StudyId>,
) -> Result<axum::Json<Vec<Member>>, ApiError> {
    find(&store, id, &caller).await?;
    Ok(axum::Json(store.members(id).await?))
}

/// Add a user to a study, by their e-mail address.
#[utoipa::path(post, path = "/studies/{id}/members", tag = "studies", params(("id" = StudyId, Path)),
    request_body = AddMember, responses(
    (status = CREATED, description = "They are a member.", body = Vec<Member>),
    (status = NOT_FOUND, description = "There is no such study, or nobody with that address.", body = Problem,
        content_type = "application/problem+json"),
))]
pub async fn add_member(
    State(store): State<Store>,
    caller: Caller,
    Path(id): Path<StudyId>,
    Json(body): Json<AddMember>,
) -> Result<(StatusCode, axum::Json<Vec<Member>>), ApiError> {
    find(&store, id, &caller).await?;
    let email = account::check::email(&body.email)?;
    let Some((user, _)) = store.credentials(&email).await? else {
        return Err(ApiError::not_found("user", format!("{email}; ask an administrator to invite them")));
    };
    if !store.add_member(id, user.id, &caller.by).await? {
        return Err(ApiError::not_found("study", id));
    }
    Ok((StatusCode::CREATED, axum::Json(store.members(id).await?)))
}

/// Take a user out of a study. Their votes stay.
#[utoipa::path(delete, path = "/studies/{id}/members/{user}", tag = "studies",
    params(("id" = StudyId, Path), ("user" = UserId, Path)), responses(
    (status = NO_CONTENT, description = "They are no member any more."),
    (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
))]
pub async fn remove_member(
    State(store): State<Store>,
    caller: Caller,
    Path((id, user)): Path<(StudyId, UserId)>,
) -> Result<StatusCode, ApiError> {
    match store.remove_member(id, user, &caller.by).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(ApiError::not_found("member", user)),
    }
}

/// Who looks, as far as studies are concerned.
pub fn viewer(caller: &Caller) -> Viewer {
    Viewer { user: caller.by.user, runs_studies: caller.scopes.contains(&Scope::Review) }
}

/// A study that the caller may see, or the error that there is none.
pub async fn find(store: &Store, id: StudyId, caller: &Caller) -> Result<Study, ApiError> {
    store.study(id, viewer(caller)).await?.ok_or_else(|| ApiError::not_found("study", id))
}

/// Somebody else was faster.
pub fn conflict(detail: impl Into<String>) -> ApiError {
    ApiError::new(StatusCode::CONFLICT, "conflict", "Changed meanwhile", detail)
}

fn check_numbers(overlap: Option<u32>, break_minutes: Option<u32>) -> Result<(), check::Unacceptable> {
    if let Some(overlap) = overlap {
        check::number("overlap", overlap.into(), 1.0, check::MAX_OVERLAP.into())?;
    }
    if let Some(minutes) = break_minutes {
        check::number("break_minutes", minutes.into(), 0.0, 240.0)?;
    }
    Ok(())
}

/// A seed that JSON's numbers hold exactly.
fn draw_seed() -> Result<i64, ApiError> {
    let drawn = getrandom::u64().map_err(|error| ApiError::internal(&error))?;
    Ok((drawn >> 12).cast_signed())
}
