//! Comparing models: on one image, and on all images that both have answered.

use axum::extract::State;
use qponder_pipeline::train::grpo::rewards::{LevelMap, terms_alone};
use qponder_shared::api::{Mode, Page, Problem};
use qponder_shared::compare::{
    self, ComparedImage, ComparisonStatistics, ImageComparison, ModelAnswers, RewardBasis, RewardTerms,
    ScorePoint, by_attribute, by_score,
};
use qponder_shared::recipe::Rewards;
use qponder_shared::{ImageId, Level, Score};

use super::extract::{Path, Query};
use super::images::{check_limit, find, read_cursor};
use super::problem::ApiError;
use crate::inference::Inference;
use crate::store::Store;
use crate::store::pairs::{PairSort, SampledPair, Sides};

/// Images that statistics and the scatter plot are made of at most.
const SAMPLE: usize = 5000;

/// Which models to compare.
#[derive(serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TwoModels {
    /// Name of a model.
    left: String,
    /// Name of another one.
    right: String,
}

/// Which page of a comparison.
#[derive(serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListPairs {
    /// Name of a model.
    left: String,
    /// Name of another one.
    right: String,
    /// The order. A cursor belongs to the order that it came from.
    #[serde(default)]
    #[param(inline)]
    sort: PairSort,
    /// `next` of the page before; from the beginning without it.
    cursor: Option<String>,
    /// Images on the page, 1 to 200.
    #[param(default = 50, minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

/// Compare what every model says of an image.
///
/// Of each model the newest complete answer in reason mode and in quick mode, and what GRPO would reward the former
/// with. The score's term needs a label: MOS before proxies, the newest.
#[utoipa::path(get, path = "/images/{id}/comparison", tag = "compare", params(("id" = ImageId, Path)), responses(
    (status = OK, body = ImageComparison),
    (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
))]
pub async fn of_image(
    State(store): State<Store>,
    State(inference): State<Inference>,
    Path(id): Path<ImageId>,
) -> Result<axum::Json<ImageComparison>, ApiError> {
    let image = find(&store, id).await?;
    let label = compare::preferred(&image.labels).map(|label| label.value.get());
    let nothing =
        |model: &str| ModelAnswers { model: model.to_owned(), reason: None, quick: None, terms: None };
    let mut models: Vec<ModelAnswers> =
        inference.models().iter().map(|(_, model)| nothing(&model.name)).collect();
    let (levels, scale) = (LevelMap::fit([]), Rewards::default().score_scale);
    for answer in store.newest_of_each_model(id).await? {
        let at = models.iter().position(|one| one.model == answer.model).unwrap_or_else(|| {
            models.push(nothing(&answer.model));
            models.len() - 1
        });
        match answer.mode {
            Mode::Quick => models[at].quick = Some(answer),
            Mode::Reason => {
                let (format, score, consistency) = terms_alone(&answer.text, label, &levels, scale);
                models[at].terms = Some(RewardTerms { format, score, consistency });
                models[at].reason = Some(answer);
            }
        }
    }
    let basis = RewardBasis {
        level_scores: Level::ALL.map(|level| levels.score(level)),
        level_scores_from: "the scale itself: no model here ships the map that its training fitted"
            .to_owned(),
        score_scale: scale,
    };
    Ok(axum::Json(ImageComparison { image, models, basis }))
}

/// List images with what two models say of them.
///
/// Answers are the newest readable ones in reason mode.
#[utoipa::path(get, path = "/comparison", tag = "compare", params(ListPairs), responses(
    (status = OK, body = Page<ComparedImage>),
    (status = BAD_REQUEST, body = Problem, content_type = "application/problem+json"),
    (status = UNPROCESSABLE_ENTITY, description = "Both names are the same, or a value is out of range.",
        body = Problem, content_type = "application/problem+json"),
))]
pub async fn list(
    State(store): State<Store>,
    Query(query): Query<ListPairs>,
) -> Result<axum::Json<Page<ComparedImage>>, ApiError> {
    let limit = check_limit(query.limit)?;
    let sides = sides(&query.left, &query.right)?;
    let cursor = read_cursor(query.cursor.as_deref(), query.sort)?;
    Ok(axum::Json(store.compared(sides, query.sort, cursor, limit).await?))
}

/// How far two models agree.
///
/// On all images that both have answered, up to 5,000; of more, on 5,000 drawn at random, the same ones each time.
#[utoipa::path(get, path = "/comparison/statistics", tag = "compare", params(TwoModels), responses(
    (status = OK, body = ComparisonStatistics),
    (status = UNPROCESSABLE_ENTITY, description = "Both names are the same.", body = Problem,
        content_type = "application/problem+json"),
))]
pub async fn statistics(
    State(store): State<Store>,
    Query(query): Query<TwoModels>,
) -> Result<axum::Json<ComparisonStatistics>, ApiError> {
    let mut pairs = store.sampled_pairs(sides(&query.left, &query.right)?, SAMPLE + 1).await?;
    let is_sample = pairs.len() > SAMPLE;
    pairs.truncate(SAMPLE);
    // Ranking thousands is no work for a thread that others wait for.
    let computed = tokio::task::spawn_blocking(move || compute(&pairs, is_sample)).await;
    Ok(axum::Json(computed.map_err(|error| ApiError::internal(&error))?))
}

/// List the names of models that have readable answers, served or not.
#[utoipa::path(get, path = "/comparison/models", tag = "compare", responses((status = OK, body = Vec<String>)))]
pub async fn models(State(store): State<Store>) -> Result<axum::Json<Vec<String>>, ApiError> {
    Ok(axum::Json(store.models_with_readings().await?))
}

fn sides<'a>(left: &'a str, right: &'a str) -> Result<Sides<'a>, ApiError> {
    if left == right {
        return Err(ApiError::unprocessable("left and right are the same model; name two"));
    }
    Ok(Sides { left, right })
}

fn compute(pairs: &[SampledPair], is_sample: bool) -> ComparisonStatistics {
    let levels: Vec<_> = pairs.iter().map(|pair| pair.levels).collect();
    let scores: Vec<_> = pairs.iter().map(|pair| pair.scores).collect();
    let labelled = |side: fn(&SampledPair) -> f64| {
        let known: Vec<_> = pairs.iter().filter_map(|pair| Some((pair.label?, side(pair)))).collect();
        by_score(&known)
    };
    let point = |pair: &SampledPair| {
        let (left, right) = (Score::clamped(pair.scores.0)?, Score::clamped(pair.scores.1)?);
        Some(ScorePoint { image: pair.image, left, right })
    };
    ComparisonStatistics {
        n: pairs.len(),
        is_sample,
        attributes: by_attribute(&levels),
        scores: by_score(&scores),
        left_labels: labelled(|pair| pair.scores.0),
        right_labels: labelled(|pair| pair.scores.1),
        points: pairs.iter().filter_map(point).collect(),
    }
}
