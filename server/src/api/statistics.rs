//! Statistics of studies.

use axum::extract::State;
use qponder_shared::StudyId;
use qponder_shared::api::Problem;
use qponder_shared::study::statistics::{StudyStatistics, statistics};
use qponder_shared::subjective::Screening;

use super::extract::{Path, Query};
use super::gate::Caller;
use super::problem::ApiError;
use super::studies::find;
use crate::store::Store;

/// Whose votes count.
#[derive(serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Choice {
    /// Everybody's without one.
    #[serde(default)]
    #[param(inline)]
    screening: Screening,
}

/// Read a study's statistics.
///
/// Of each person the newest vote on each item counts that was given before any answer was revealed;
/// training does not. What each rule of screening says of each subject is always told, whichever is applied.
#[utoipa::path(get, path = "/studies/{id}/statistics", tag = "studies", params(("id" = StudyId, Path), Choice),
    responses(
    (status = OK, body = StudyStatistics),
    (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
))]
pub async fn read(
    State(store): State<Store>,
    caller: Caller,
    Path(id): Path<StudyId>,
    Query(choice): Query<Choice>,
) -> Result<axum::Json<StudyStatistics>, ApiError> {
    let study = find(&store, id, &caller).await?;
    let votes = store.study_votes(id).await?;
    // Resampling takes a while for large studies; the threads that answer others do not wait for it.
    let made =
        tokio::task::spawn_blocking(move || statistics(votes, choice.screening, study.seed.cast_unsigned()));
    let made = made.await.map_err(|error| ApiError::internal(&error))?;
    Ok(axum::Json(made.map_err(|error| ApiError::internal(&error))?))
}
