//! The models that have a name, as this server serves them: promoted and rolled back while everything runs.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use qponder_pipeline::assess::Assessor;
use qponder_pipeline::device::Place;
use qponder_shared::api::{ModelRole, ServedModel};
use qponder_shared::job::JobState;
use qponder_shared::registry::{Model, ModelUse, RegisterModel};
use qponder_shared::{JobId, ModelId};
use tokio::sync::Mutex;

use crate::inference::{Inference, Unservable};
use crate::jobs::{ArtifactError, fetch};
use crate::store::audit::By;
use crate::store::models::Named;
use crate::store::objects::Objects;
use crate::store::{Store, StoreError};

/// How long a model that nothing uses any more can still be asked: requests that chose it a moment ago arrive.
const LINGER: Duration = Duration::from_secs(5);

/// Why a model cannot be named or promoted.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What was asked for cannot be; in words for people.
    #[error("{0}")]
    Refused(String),
    /// The model's files are not there, or are no model.
    #[error("{0}")]
    Unusable(String),
}

impl From<ArtifactError> for RegistryError {
    fn from(error: ArtifactError) -> Self {
        Self::Unusable(error.to_string())
    }
}

impl From<Unservable> for RegistryError {
    fn from(error: Unservable) -> Self {
        Self::Unusable(error.to_string())
    }
}

/// Names models and promotes them.
#[derive(Clone)]
pub struct Registry {
    store: Store,
    objects: Objects,
    inference: Inference,
    /// Files of models that are served from here.
    dir: PathBuf,
    device: Place,
    /// Names of the models that the operator named, the default one first. They are served for as long as the server
    /// runs.
    own: Arc<[ServedModel]>,
    /// One change at a time.
    changing: Arc<Mutex<()>>,
}

impl Registry {
    /// Notes the operator's models, and serves those that were promoted. One that cannot be served any more is told
    /// of in the log, and the operator's choice is in its place.
    ///
    /// # Errors
    /// When the database fails, or the operator's model has the name of one that a job trained.
    pub async fn start(
        store: Store,
        objects: Objects,
        inference: Inference,
        dir: PathBuf,
        device: Place,
    ) -> Result<Self, RegistryError> {
        let own: Arc<[ServedModel]> = inference.models().iter().map(|(_, model)| (**model).clone()).collect();
        if let Some(name) = store.note_served(&own).await? {
            return Err(RegistryError::Refused(format!(
                "a job has trained a model called {name}; rename the directory of the other one"
            )));
        }
        let registry = Self { store, objects, inference, dir, device, own, changing: Arc::default() };
        for promotion in registry.store.promotions(1).await? {
            let Some(id) = promotion.model else { continue };
            let Some(model) = registry.store.model(id).await? else { continue };
            if let Err(error) = registry.apply(promotion.model_use, Some(&model)).await {
                tracing::error!(%error, model = model.name, r#use = promotion.model_use.name(), "a promoted model cannot be used; the operator's choice is in its place");
            } else {
                tracing::info!(model = model.name, r#use = promotion.model_use.name(), "promoted earlier");
            }
        }
        Ok(registry)
    }

    /// Gives what a job trained a name, after a look whether it is a model.
    ///
    /// # Errors
    /// When the job has trained none, or the name is taken.
    pub async fn register(&self, new: &RegisterModel, by: &By) -> Result<Model, RegistryError> {
        let id = ModelId::new();
        if self.store.model_of_name(&new.name).await?.is_some() {
            return Err(taken(&new.name));
        }
        let assessor = self.load(id, new.job, &new.name).await;
        let info = assessor.inspect_err(|_| self.forget(id))?.info().clone();
        match self.store.add_model(id, new, &info.sha256, info.parameters, by).await? {
            Named::Model(model) => Ok(*model),
            Named::Taken => {
                self.forget(id);
                Err(taken(&new.name))
            }
        }
    }

    /// Removes the files of a model that did not become one.
    fn forget(&self, id: ModelId) {
        let _ = std::fs::remove_dir_all(self.dir.join(id.to_string()));
    }

    /// Promotes a model, or goes back to what the operator chose. Whoever asks meanwhile is answered by the one before.
    ///
    /// # Errors
    /// When it cannot be used so; then nothing changes.
    pub async fn promote(
        &self,
        model_use: ModelUse,
        model: Option<&Model>,
        by: &By,
    ) -> Result<(), RegistryError> {
        let _one = self.changing.lock().await;
        self.apply(model_use, model).await?;
        self.store.promote(model_use, model, by).await?;
        self.clear();
        Ok(())
    }

    /// Goes back to what was used before; the model, or `None` for the operator's choice.
    ///
    /// # Errors
    /// When nothing was used before, or it cannot be used any more; then nothing changes.
    pub async fn roll_back(&self, model_use: ModelUse, by: &By) -> Result<(), RegistryError> {
        let _one = self.changing.lock().await;
        let promotions = self.store.promotions(2).await?;
        let mut of_use = promotions.iter().filter(|one| one.model_use == model_use);
        if of_use.next().is_none() {
            return Err(RegistryError::Refused(format!("no model was promoted to {}", model_use.name())));
        }
        let model = match of_use.next().and_then(|before| before.model) {
            Some(id) => self.store.model(id).await?,
            None => None,
        };
        self.apply(model_use, model.as_ref()).await?;
        self.store.promote(model_use, model.as_ref(), by).await?;
        self.clear();
        Ok(())
    }

    async fn apply(&self, model_use: ModelUse, model: Option<&Model>) -> Result<(), RegistryError> {
        if let Some(model) = model.filter(|model| model.is_endpoint) {
            return Err(RegistryError::Refused(format!(
                "{} is behind an endpoint: it gives no quick score, and is a teacher already",
                model.name
            )));
        }
        match (model_use, model) {
            (ModelUse::Preview, Some(model)) => {
                // Nobody asks it here; its files must be there.
                if let Some(job) = model.job {
                    self.files(model.id, job).await?;
                }
            }
            (ModelUse::Preview, None) => {}
            (ModelUse::Default, None) => {
                let lane = self.own.first().and_then(|model| self.inference.lane_of(&model.name));
                self.inference.set_default(lane.unwrap_or_default());
            }
            (ModelUse::Default, Some(model)) => {
                let served = self.inference.lane_of(&model.name).and_then(|lane| self.inference.model(lane));
                if served.is_some_and(|served| served.role == ModelRole::Teacher) {
                    return Err(both(&model.name));
                }
                let lane = self.served(model, ModelRole::Model).await?;
                self.inference.set_default(lane);
            }
            (ModelUse::Teacher, chosen) => {
                let default = self.inference.info();
                if let (Some(model), Some(default)) = (chosen, default)
                    && model.name == default.name
                {
                    return Err(both(&model.name));
                }
                let lane = match chosen {
                    Some(model) => Some(self.served(model, ModelRole::Teacher).await?),
                    None => None,
                };
                for (other, served) in self.inference.models() {
                    let was_own = self.own.iter().find(|own| own.name == served.name).map(|own| own.role);
                    if Some(other) != lane
                        && served.role == ModelRole::Teacher
                        && was_own != Some(ModelRole::Teacher)
                    {
                        self.inference.set_role(other, ModelRole::Model);
                    }
                }
                if let Some(lane) = lane {
                    self.inference.set_role(lane, ModelRole::Teacher);
                }
            }
        }
        Ok(())
    }

    /// The place of a model, which is loaded where it is not served.
    async fn served(&self, model: &Model, role: ModelRole) -> Result<usize, RegistryError> {
        if let Some(lane) = self.inference.lane_of(&model.name) {
            return Ok(lane);
        }
        let gone =
            || RegistryError::Unusable(format!("{} is not served: start the server with it", model.name));
        let assessor = self.load(model.id, model.job.ok_or_else(gone)?, &model.name).await?;
        if assessor.info().sha256 != model.sha256 {
            return Err(RegistryError::Unusable(format!(
                "the weights of {} are not those that were registered",
                model.name
            )));
        }
        Ok(self.inference.serve(assessor, role)?)
    }

    /// The folder of a model's files, which are fetched where they are not there.
    async fn files(&self, id: ModelId, job: JobId) -> Result<PathBuf, RegistryError> {
        let found = self.store.job(job).await?;
        let found = found.ok_or_else(|| RegistryError::Refused(format!("there is no job {job}")))?;
        if found.state != JobState::Done || !found.kind.trains() {
            return Err(RegistryError::Refused(format!("the job {:?} has trained no model", found.name)));
        }
        let dir = self.dir.join(id.to_string());
        // The numbers of a training are no part of its model.
        let mut files = self.store.artifacts(job).await?;
        files.retain(|file| !file.name.ends_with(".jsonl"));
        fetch(&dir, &files, &self.objects).await?;
        Ok(dir)
    }

    async fn load(&self, id: ModelId, job: JobId, name: &str) -> Result<Assessor, RegistryError> {
        let dir = self.files(id, job).await?;
        let (device, name) = (self.device, name.to_owned());
        let loaded = tokio::task::spawn_blocking(move || Assessor::load(&dir, device)).await;
        let loaded = loaded.map_err(|error| RegistryError::Unusable(error.to_string()))?;
        Ok(loaded.map_err(|error| RegistryError::Unusable(error.to_string()))?.named(name))
    }

    /// Lets go, a little later, the models that nothing uses any more.
    fn clear(&self) {
        let registry = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(LINGER).await;
            let _one = registry.changing.lock().await;
            let default = registry.inference.default_lane();
            for (lane, model) in registry.inference.models() {
                let is_own = registry.own.iter().any(|own| own.name == model.name);
                if lane != default && model.role != ModelRole::Teacher && !is_own {
                    tracing::info!(model = model.name, "let go");
                    registry.inference.retire(lane);
                }
            }
        });
    }
}

fn taken(name: &str) -> RegistryError {
    RegistryError::Refused(format!("there is a model {name} already; choose another name"))
}

fn both(name: &str) -> RegistryError {
    RegistryError::Refused(format!(
        "{name} cannot be the default model and the teacher that it is compared with; promote another one first"
    ))
}
