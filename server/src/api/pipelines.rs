//! Recipes before they are queued, and whole pipelines of jobs.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use qponder_shared::JobId;
use qponder_shared::api::{Mode, Problem};
use qponder_shared::job::{
    Base, CheckRecipe, CreateJob, CreatePipeline, EditRecipe, EditedRecipe, Job, JobKind, JobRecipe,
    RecipeCheck, RecipeDifference, Template, differences,
};
use qponder_shared::prompt;
use qponder_shared::recipe::{self, RecipeField};
use qponder_shared::study::check;

use super::assessments::idempotency_key;
use super::extract::{Json, Query};
use super::gate::Caller;
use super::jobs::find;
use super::problem::ApiError;
use crate::inference::Inference;
use crate::jobs::Places;
use crate::store::Store;
use crate::store::jobs::MadeJob;

/// Check a recipe, and say what it will need.
#[utoipa::path(post, path = "/recipes/check", tag = "training", request_body = CheckRecipe, responses(
    (status = OK, description = "What is wrong with it, or what it will need.", body = RecipeCheck),
))]
pub async fn check_recipe(
    State(store): State<Store>,
    State(places): State<Places>,
    Json(body): Json<CheckRecipe>,
) -> Result<axum::Json<RecipeCheck>, ApiError> {
    let values = recipe::values(&body.recipe);
    let recipe = match JobRecipe::parse(body.kind, &body.recipe) {
        Ok(recipe) => recipe,
        Err(problem) => {
            return Ok(axum::Json(RecipeCheck { problem: Some(problem), values, ..RecipeCheck::default() }));
        }
    };
    let memory = places.memory(&recipe, &store).await;
    let pace = store.pace(body.kind).await?;
    let seconds = recipe.steps().zip(pace).map(|(steps, (pace, _))| pace * steps as f64);
    let paced_by = pace.map_or(0, |(_, count)| count);
    Ok(axum::Json(RecipeCheck { problem: None, memory, seconds, paced_by, values }))
}

/// Which recipes.
#[derive(serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RecipeFields {
    kind: JobKind,
}

/// List the keys of a kind of recipe, with their defaults, ranges and meanings.
#[utoipa::path(get, path = "/recipes/fields", tag = "training", params(RecipeFields), responses(
    (status = OK, body = Vec<RecipeField>),
))]
pub async fn recipe_fields(Query(query): Query<RecipeFields>) -> axum::Json<Vec<RecipeField>> {
    axum::Json(recipe::fields(query.kind.recipe()))
}

/// Change one key of a recipe; its comments and everything else stay as they are.
#[utoipa::path(post, path = "/recipes/edit", tag = "training", request_body = EditRecipe, responses(
    (status = OK, description = "The recipe that comes of it.", body = EditedRecipe),
    (status = UNPROCESSABLE_ENTITY, description = "The recipe or the value is no TOML.", body = Problem,
        content_type = "application/problem+json"),
))]
pub async fn edit_recipe(Json(body): Json<EditRecipe>) -> Result<axum::Json<EditedRecipe>, ApiError> {
    let recipe = recipe::set(&body.recipe, &body.key, body.value.as_deref());
    let recipe = recipe.map_err(|error| ApiError::unprocessable(error.to_string()))?;
    Ok(axum::Json(EditedRecipe { recipe }))
}

/// Which jobs.
#[derive(serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CompareRecipes {
    /// Ids of two to four jobs, with commas between them.
    jobs: String,
}

/// List the keys in which the recipes of jobs differ.
#[utoipa::path(get, path = "/recipes/differences", tag = "training", params(CompareRecipes), responses(
    (status = OK, body = Vec<RecipeDifference>),
    (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
))]
pub async fn recipe_differences(
    State(store): State<Store>,
    Query(query): Query<CompareRecipes>,
) -> Result<axum::Json<Vec<RecipeDifference>>, ApiError> {
    let ids = query.jobs.split(',').map(str::parse::<JobId>).collect::<Result<Vec<_>, _>>();
    let ids = ids.ok().filter(|ids| (2..=4).contains(&ids.len()));
    let ids = ids.ok_or_else(|| ApiError::unprocessable("jobs must be the ids of two to four jobs"))?;
    let mut recipes = Vec::new();
    for id in ids {
        recipes.push(find(&store, id).await?.recipe);
    }
    let recipes: Vec<&str> = recipes.iter().map(String::as_str).collect();
    Ok(axum::Json(differences(&recipes)))
}

/// Queue everything from a dataset to a measured model: a distillation where a teacher is named, the cold start, GRPO,
/// an evaluation of both beside what they began from, and answers of the first and the last to compare. All are queued,
/// or none.
#[utoipa::path(post, path = "/pipelines", tag = "training", params(
    ("Idempotency-Key" = Option<String>, Header, description = "Your name for this request, 1 to 190 characters."),
), request_body = CreatePipeline, responses(
    (status = CREATED, description = "Its jobs, in their order.", body = Vec<Job>),
    (status = NOT_FOUND, description = "There is no such dataset or job.", body = Problem,
        content_type = "application/problem+json"),
    (status = UNPROCESSABLE_ENTITY, description = "The base is none, or the key belongs to another request.",
        body = Problem, content_type = "application/problem+json"),
))]
pub async fn pipeline(
    State(store): State<Store>,
    State(inference): State<Inference>,
    caller: Caller,
    headers: HeaderMap,
    Json(body): Json<CreatePipeline>,
) -> Result<Response, ApiError> {
    let name = check::text("the name", &body.name, 1, check::MAX_NAME - 20)?;
    let base: Base = body.base.parse().map_err(ApiError::unprocessable)?;
    store.dataset(body.dataset).await?.ok_or_else(|| ApiError::not_found("dataset", body.dataset))?;
    if let Base::Job(id) = base
        && !find(&store, id).await?.kind.trains()
    {
        return Err(ApiError::unprocessable(format!("the job {id} trains no model")));
    }
    let split = store.dataset_split(body.dataset).await?;
    let teacher = body.teacher.as_deref().and_then(|name| inference.model(inference.lane_of(name)?));
    let is_own_teacher =
        teacher.is_some_and(|teacher| teacher.prompt_version == prompt::current(Mode::Reason).version);
    let dataset = format!("dataset:{}", body.dataset);
    let kinds = [JobKind::Distil, JobKind::Sft, JobKind::Grpo, JobKind::Evaluate, JobKind::AssessBatch];
    let kinds = if body.teacher.is_some() { &kinds[..] } else { &kinds[1..] };
    let next = |made: &[Job]| {
        let kind = *kinds.get(made.len())?;
        let of =
            |kind: JobKind| made.iter().find(|job| job.kind == kind).map(|job| format!("job:{}", job.id));
        let (sft, grpo) = (of(JobKind::Sft), of(JobKind::Grpo));
        let start = if kind == JobKind::Grpo { sft.clone() } else { None };
        let mut template = Template {
            models: vec![start.unwrap_or_else(|| base.to_string())],
            manifests: vec![dataset.clone()],
            teacher: body.teacher.clone().unwrap_or_default(),
            is_own_teacher,
            split,
            size: body.size,
        };
        match kind {
            JobKind::Evaluate => template.models.extend([sft, grpo].into_iter().flatten()),
            JobKind::AssessBatch => template.models.extend(grpo),
            _ => {}
        }
        if let (JobKind::Sft, Some(distilled)) = (kind, of(JobKind::Distil)) {
            template.manifests = vec![distilled];
        }
        let recipe = template.recipe(kind);
        let mut needs: Vec<JobId> = JobRecipe::parse(kind, &recipe).ok()?.jobs().collect();
        needs.sort_unstable();
        needs.dedup();
        let what = match kind {
            JobKind::Distil => "answers",
            JobKind::Sft => "cold start",
            JobKind::Grpo => "GRPO",
            JobKind::Evaluate => "evaluation",
            JobKind::AssessBatch => "answers to compare",
            JobKind::Export => return None,
        };
        let name = format!("{name}, {what}");
        Some((CreateJob { kind, name, recipe, needs: Vec::new(), priority: 0, label: None }, needs))
    };
    match store.add_jobs(idempotency_key(&headers)?, &caller.by, next).await? {
        Ok(jobs) => Ok((StatusCode::CREATED, axum::Json(jobs)).into_response()),
        Err(MadeJob::NoJob(id)) => Err(ApiError::not_found("job", id)),
        Err(_) => Err(ApiError::unprocessable("this Idempotency-Key was used for another request")),
    }
}
