//! Calls of `/api/v1` about models that have a name.

use gloo_net::http::Request;
use qponder_shared::ModelId;
use qponder_shared::api::Page;
use qponder_shared::registry::{EditModel, Measurement, Model, ModelUse, Promote, Promotion, RegisterModel};

use crate::api::{Failure, NOTHING, get, read, send};

const MODELS: &str = "/api/v1/models";
const USES: &str = "/api/v1/uses";

/// One page of models, newest first.
pub async fn models(cursor: Option<&str>) -> Result<Page<Model>, Failure> {
    let cursor = cursor.map(|cursor| format!("&cursor={cursor}"));
    get(&format!("{MODELS}?limit=50{}", cursor.unwrap_or_default())).await
}

/// A model.
pub async fn model(id: ModelId) -> Result<Model, Failure> {
    get(&format!("{MODELS}/{id}")).await
}

/// What evaluations found of a model.
pub async fn measurements(id: ModelId) -> Result<Vec<Measurement>, Failure> {
    get(&format!("{MODELS}/{id}/measurements")).await
}

/// Gives what a job trained a name.
pub async fn register(body: &RegisterModel) -> Result<Model, Failure> {
    read(send(Request::post, MODELS, Some(body)).await?).await
}

/// Changes a model's card, or puts it away.
pub async fn edit(id: ModelId, body: &EditModel) -> Result<Model, Failure> {
    read(send(Request::patch, &format!("{MODELS}/{id}"), Some(body)).await?).await
}

/// Where a model's archive is.
pub fn file_url(id: ModelId) -> String {
    format!("{MODELS}/{id}/file")
}

/// What models are and were used for.
pub async fn uses() -> Result<Vec<Promotion>, Failure> {
    get(USES).await
}

/// Promotes a model, or goes back to what the operator chose.
pub async fn promote(model_use: ModelUse, model: Option<ModelId>) -> Result<Vec<Promotion>, Failure> {
    read(send(Request::put, &format!("{USES}/{}", model_use.name()), Some(&Promote { model })).await?).await
}

/// Goes back to what was used before.
pub async fn roll_back(model_use: ModelUse) -> Result<Vec<Promotion>, Failure> {
    read(send(Request::post, &format!("{USES}/{}/rollback", model_use.name()), NOTHING).await?).await
}
