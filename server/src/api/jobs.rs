//! Training jobs: queue, look at, cancel, try again.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use qponder_shared::api::{Page, Problem};
use qponder_shared::job::{
    Artifact, Attempt, Base, Completions, CreateJob, EditJob, Job, JobKind, JobRecipe, JobState, LogLine,
    MAX_NEEDS, MAX_NOTES, MAX_RECIPE, MAX_TAG, MAX_TAGS, MetricsSoFar, Source, Worker,
};
use qponder_shared::study::check;
use qponder_shared::{ArtifactId, JobId};

use super::assessments::idempotency_key;
use super::extract::{Json, Path, Query};
use super::files::saved;
use super::gate::Caller;
use super::images::check_limit;
use super::problem::ApiError;
use crate::store::Store;
use crate::store::jobs::{ChangedJob, MadeJob, Which};
use crate::store::objects::{Kind, Objects};

/// Most points of one line of a chart.
const MOST_POINTS: u32 = 5000;
/// Most lines of a log on a page.
const MOST_LINES: u32 = 1000;

/// Which page of jobs.
#[derive(serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListJobs {
    /// Only jobs in this state. One of `state`, `kind` and `tag` at most.
    #[param(inline)]
    state: Option<JobState>,
    /// Only jobs of this kind.
    #[param(inline)]
    kind: Option<JobKind>,
    /// Only jobs with this tag.
    tag: Option<String>,
    /// `next` of the page before; from the newest without it.
    cursor: Option<JobId>,
    /// Jobs on the page, 1 to 200.
    #[param(default = 50, minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

/// How fine the numbers are.
#[derive(serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ReadMetrics {
    /// Steps at most, 1 to 5000: of longer jobs some steps stand for all.
    #[param(default = 1000, minimum = 1, maximum = 5000)]
    points: Option<u32>,
}

/// Which part of a log.
#[derive(serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ReadLog {
    /// Lines after this place; from the beginning without it.
    #[serde(default)]
    after: u64,
    /// Lines at most, 1 to 1000.
    #[param(default = 500, minimum = 1, maximum = 1000)]
    limit: Option<u32>,
}

/// List jobs, newest first.
#[utoipa::path(get, path = "/jobs", tag = "training", params(ListJobs), responses(
    (status = OK, body = Page<Job>),
))]
pub async fn list(
    State(store): State<Store>,
    Query(query): Query<ListJobs>,
) -> Result<axum::Json<Page<Job>>, ApiError> {
    let limit = check_limit(query.limit)?;
    let which = match (query.state, query.kind, query.tag) {
        (None, None, None) => Which::All,
        (Some(state), None, None) => Which::State(state),
        (None, Some(kind), None) => Which::Kind(kind),
        (None, None, Some(tag)) => Which::Tag(tag),
        _ => return Err(ApiError::unprocessable("name one of state, kind and tag")),
    };
    let items = store.jobs(&which, query.cursor, limit + 1).await?;
    Ok(axum::Json(Page::cut(items, limit, |last| last.id.to_string())))
}

/// Queue a job.
///
/// The recipe is checked before anything is queued. With an `Idempotency-Key` a repeated request gives the first
/// one's job.
#[utoipa::path(post, path = "/jobs", tag = "training", params(
    ("Idempotency-Key" = Option<String>, Header, description = "Your name for this request, 1 to 200 characters."),
), request_body = CreateJob, responses(
    (status = CREATED, description = "`Location` names it.", body = Job),
    (status = OK, description = "The same request came before; this is what it made.", body = Job),
    (status = NOT_FOUND, description = "There is no such dataset or job.", body = Problem,
        content_type = "application/problem+json"),
    (status = UNPROCESSABLE_ENTITY, description = "The recipe cannot be used, or the key belongs to another request.",
        body = Problem, content_type = "application/problem+json"),
))]
pub async fn create(
    State(store): State<Store>,
    caller: Caller,
    headers: HeaderMap,
    Json(body): Json<CreateJob>,
) -> Result<Response, ApiError> {
    let name = check::text("the name", &body.name, 1, check::MAX_NAME)?;
    if body.recipe.len() > MAX_RECIPE {
        return Err(ApiError::unprocessable(format!("the recipe has more than {MAX_RECIPE} bytes")));
    }
    check::number("priority", f64::from(body.priority), -100.0, 100.0)?;
    let label = body.label.as_deref().map(|label| check::text("the label", label, 1, MAX_TAG)).transpose()?;
    let recipe = JobRecipe::parse(body.kind, &body.recipe)
        .map_err(|error| ApiError::unprocessable(format!("the recipe: {error}")))?;
    let mut needs = body.needs.clone();
    needs.extend(recipe.jobs());
    needs.sort_unstable();
    needs.dedup();
    if needs.len() > MAX_NEEDS {
        return Err(ApiError::unprocessable(format!(
            "it needs {} jobs; {MAX_NEEDS} is the most",
            needs.len()
        )));
    }
    for source in &recipe.sources {
        if let Source::Dataset(id) = source {
            store.dataset(*id).await?.ok_or_else(|| ApiError::not_found("dataset", id))?;
        }
    }
    check_kinds(&store, &recipe).await?;
    let key = idempotency_key(&headers)?;
    let new = CreateJob { name, label, ..body };
    let (status, job) = match store.add_job(&new, &needs, key, &caller.by).await? {
        MadeJob::New(job) => (StatusCode::CREATED, job),
        MadeJob::Repeated(job) => (StatusCode::OK, job),
        MadeJob::KeyTaken => {
            return Err(ApiError::unprocessable("this Idempotency-Key was used for another request"));
        }
        MadeJob::NoJob(id) => return Err(ApiError::not_found("job", id)),
    };
    let location = format!("/api/v1/jobs/{}", job.id);
    Ok((status, [(header::LOCATION, location)], axum::Json(*job)).into_response())
}

/// Whether the jobs that a recipe names make what it wants of them. Those that are not there are told later.
async fn check_kinds(store: &Store, recipe: &JobRecipe) -> Result<(), ApiError> {
    let bases = recipe.bases.iter().filter_map(|base| match base {
        Base::Job(id) => Some((*id, true)),
        Base::Model(_) => None,
    });
    let sources = recipe.sources.iter().filter_map(|source| match source {
        Source::Job(id) => Some((*id, false)),
        Source::Dataset(_) => None,
    });
    for (id, is_base) in bases.chain(sources) {
        let Some(job) = store.job(id).await? else { continue };
        let is_right = if is_base { job.kind.trains() } else { job.kind == JobKind::Distil };
        if !is_right {
            let wanted = if is_base { "trains no model" } else { "makes no manifest; name a distillation" };
            return Err(ApiError::unprocessable(format!("the recipe: the job {id} {wanted}")));
        }
    }
    Ok(())
}

/// Read a job.
#[utoipa::path(get, path = "/jobs/{id}", tag = "training", params(("id" = JobId, Path)), responses(
    (status = OK, body = Job),
    (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
))]
pub async fn read(State(store): State<Store>, Path(id): Path<JobId>) -> Result<axum::Json<Job>, ApiError> {
    Ok(axum::Json(find(&store, id).await?))
}

/// Cancel a job.
///
/// One that runs writes a checkpoint first; it is cancelled once it has ended.
#[utoipa::path(delete, path = "/jobs/{id}", tag = "training", params(("id" = JobId, Path)), responses(
    (status = OK, body = Job),
    (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
    (status = CONFLICT, description = "It has ended already.", body = Problem,
        content_type = "application/problem+json"),
))]
pub async fn cancel(
    State(store): State<Store>,
    caller: Caller,
    Path(id): Path<JobId>,
) -> Result<axum::Json<Job>, ApiError> {
    changed(store.cancel_job(id, &caller.by).await?, id, "it has ended already")
}

/// Change what a job is called, its notes or its tags.
#[utoipa::path(patch, path = "/jobs/{id}", tag = "training", params(("id" = JobId, Path)), request_body = EditJob,
    responses(
    (status = OK, body = Job),
    (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
))]
pub async fn edit(
    State(store): State<Store>,
    caller: Caller,
    Path(id): Path<JobId>,
    Json(mut body): Json<EditJob>,
) -> Result<axum::Json<Job>, ApiError> {
    if let Some(name) = &mut body.name {
        *name = check::text("the name", name, 1, check::MAX_NAME)?;
    }
    if let Some(notes) = &mut body.notes {
        *notes = check::text("the notes", notes, 0, MAX_NOTES)?;
    }
    if let Some(tags) = &mut body.tags {
        if tags.len() > MAX_TAGS {
            return Err(ApiError::unprocessable(format!(
                "there are {} tags; {MAX_TAGS} is the most",
                tags.len()
            )));
        }
        for tag in tags {
            *tag = check::text("a tag", tag, 1, MAX_TAG)?;
        }
    }
    let job = store.edit_job(id, &body, &caller.by).await?;
    Ok(axum::Json(job.ok_or_else(|| ApiError::not_found("job", id))?))
}

/// Try a job again that failed or was cancelled. It goes on from its newest checkpoint.
#[utoipa::path(post, path = "/jobs/{id}/retry", tag = "training", params(("id" = JobId, Path)), responses(
    (status = OK, body = Job),
    (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
    (status = CONFLICT, description = "It has not failed and was not cancelled.", body = Problem,
        content_type = "application/problem+json"),
))]
pub async fn retry(
    State(store): State<Store>,
    caller: Caller,
    Path(id): Path<JobId>,
) -> Result<axum::Json<Job>, ApiError> {
    changed(store.retry_job(id, &caller.by).await?, id, "only what failed or was cancelled is tried again")
}

/// List the attempts at a job, oldest first.
#[utoipa::path(get, path = "/jobs/{id}/attempts", tag = "training", params(("id" = JobId, Path)), responses(
    (status = OK, body = Vec<Attempt>),
    (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
))]
pub async fn attempts(
    State(store): State<Store>,
    Path(id): Path<JobId>,
) -> Result<axum::Json<Vec<Attempt>>, ApiError> {
    find(&store, id).await?;
    Ok(axum::Json(store.attempts(id).await?))
}

/// Read the numbers of a job.
#[utoipa::path(get, path = "/jobs/{id}/metrics", tag = "training", params(("id" = JobId, Path), ReadMetrics),
    responses(
    (status = OK, body = MetricsSoFar),
    (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
))]
pub async fn metrics(
    State(store): State<Store>,
    Path(id): Path<JobId>,
    Query(query): Query<ReadMetrics>,
) -> Result<axum::Json<MetricsSoFar>, ApiError> {
    let points = query.points.unwrap_or(1000);
    if !(1..=MOST_POINTS).contains(&points) {
        let detail = format!("points is {points}; it must be between 1 and {MOST_POINTS}");
        return Err(ApiError::unprocessable(detail));
    }
    find(&store, id).await?;
    let (metrics, place) = store.metrics(id, points).await?;
    Ok(axum::Json(MetricsSoFar { metrics, place }))
}

/// Which step.
#[derive(serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ReadCompletions {
    /// This one, or the newest before it that has answers; the newest of all without it.
    step: Option<u64>,
}

/// Read some of the answers that reinforcement learning sampled in a step, with each term of their rewards.
#[utoipa::path(get, path = "/jobs/{id}/completions", tag = "training",
    params(("id" = JobId, Path), ReadCompletions), responses(
    (status = OK, body = Completions),
    (status = NOT_FOUND, description = "There is no such job, or it has sampled none yet.", body = Problem,
        content_type = "application/problem+json"),
))]
pub async fn completions(
    State(store): State<Store>,
    Path(id): Path<JobId>,
    Query(query): Query<ReadCompletions>,
) -> Result<axum::Json<Completions>, ApiError> {
    find(&store, id).await?;
    let found = store.completions(id, query.step).await?;
    Ok(axum::Json(found.ok_or_else(|| ApiError::not_found("answer of job", id))?))
}

/// Read the log of a job.
#[utoipa::path(get, path = "/jobs/{id}/log", tag = "training", params(("id" = JobId, Path), ReadLog), responses(
    (status = OK, body = Vec<LogLine>),
    (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
))]
pub async fn log(
    State(store): State<Store>,
    Path(id): Path<JobId>,
    Query(query): Query<ReadLog>,
) -> Result<axum::Json<Vec<LogLine>>, ApiError> {
    let limit = query.limit.unwrap_or(500);
    if !(1..=MOST_LINES).contains(&limit) {
        let detail = format!("limit is {limit}; it must be between 1 and {MOST_LINES}");
        return Err(ApiError::unprocessable(detail));
    }
    find(&store, id).await?;
    Ok(axum::Json(store.log_after(id, query.after, i64::from(limit)).await?))
}

/// List the files that a job made; there are some when it has ended.
#[utoipa::path(get, path = "/jobs/{id}/artifacts", tag = "training", params(("id" = JobId, Path)), responses(
    (status = OK, body = Vec<Artifact>),
    (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
))]
pub async fn artifacts(
    State(store): State<Store>,
    Path(id): Path<JobId>,
) -> Result<axum::Json<Vec<Artifact>>, ApiError> {
    let job = find(&store, id).await?;
    let files = if job.state.is_final() { store.artifacts(id).await? } else { Vec::new() };
    Ok(axum::Json(files))
}

/// Download a file that a job made.
#[utoipa::path(get, path = "/artifacts/{id}", tag = "training", params(("id" = ArtifactId, Path)), responses(
    (status = OK, description = "The file.", body = Vec<u8>, content_type = "application/octet-stream"),
    (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
))]
pub async fn artifact(
    State(store): State<Store>,
    State(objects): State<Objects>,
    Path(id): Path<ArtifactId>,
) -> Result<Response, ApiError> {
    let missing = || ApiError::not_found("artifact", id);
    let file = store.artifact(id).await?.ok_or_else(missing)?;
    let (size, stream) = objects.stream(Kind::Artifact, &file.sha256).await?.ok_or_else(missing)?;
    Ok(saved(&file.name, size, Body::from_stream(stream)))
}

/// List the workers that are there.
#[utoipa::path(get, path = "/workers", tag = "training", responses((status = OK, body = Vec<Worker>)))]
pub async fn workers(State(store): State<Store>) -> Result<axum::Json<Vec<Worker>>, ApiError> {
    Ok(axum::Json(store.workers().await?))
}

/// The job, or that there is none.
pub async fn find(store: &Store, id: JobId) -> Result<Job, ApiError> {
    store.job(id).await?.ok_or_else(|| ApiError::not_found("job", id))
}

fn changed(changed: ChangedJob, id: JobId, why: &str) -> Result<axum::Json<Job>, ApiError> {
    match changed {
        ChangedJob::Job(job) => Ok(axum::Json(*job)),
        ChangedJob::NoJob => Err(ApiError::not_found("job", id)),
        ChangedJob::Refused(state) => {
            let detail = format!("the job is {}: {why}", state.name());
            Err(ApiError::new(StatusCode::CONFLICT, "job-state", "Job in another state", detail))
        }
    }
}
