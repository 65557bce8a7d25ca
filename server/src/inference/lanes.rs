//! The models that are served now: added, set to other roles and let go while everything runs.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use qponder_shared::api::{ModelInfo, ModelRole, ServedModel};
use tokio::sync::mpsc;

use super::Watched;

/// A model, and where its assessments wait.
pub(super) struct Lane {
    pub served: Arc<ServedModel>,
    /// Of a local model.
    pub info: Option<Arc<ModelInfo>>,
    /// `None` of a model that was let go. It answers what waits, and its place in the list stays its own.
    pub queue: Option<mpsc::Sender<Watched>>,
}

#[derive(Default)]
struct List {
    all: Vec<Lane>,
    default: usize,
}

/// All of them, by their place in the order in which they came.
#[derive(Default)]
pub(super) struct Lanes(RwLock<List>);

impl Lanes {
    fn read(&self) -> RwLockReadGuard<'_, List> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, List> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds one; its place. `None` where another one that is served has its name.
    pub fn add(&self, lane: Lane) -> Option<usize> {
        let mut list = self.write();
        let has_its_name = |other: &Lane| other.queue.is_some() && other.served.name == lane.served.name;
        if list.all.iter().any(has_its_name) {
            return None;
        }
        list.all.push(lane);
        Some(list.all.len() - 1)
    }

    /// The place of the default model.
    pub fn default(&self) -> usize {
        self.read().default
    }

    /// What the default model is.
    pub fn info(&self) -> Option<Arc<ModelInfo>> {
        let list = self.read();
        list.all.get(list.default)?.info.clone()
    }

    /// The model at a place, whether it is still served or not.
    pub fn model(&self, lane: usize) -> Option<Arc<ServedModel>> {
        self.read().all.get(lane).map(|lane| Arc::clone(&lane.served))
    }

    /// The place of a model that is served.
    pub fn of_name(&self, name: &str) -> Option<usize> {
        self.read().all.iter().position(|lane| lane.queue.is_some() && lane.served.name == name)
    }

    /// The queue of a model that is served.
    pub fn queue(&self, lane: usize) -> Option<mpsc::Sender<Watched>> {
        self.read().all.get(lane)?.queue.clone()
    }

    /// Every model that is served with its place, the default one first.
    pub fn served(&self) -> Vec<(usize, Arc<ServedModel>)> {
        let list = self.read();
        let mut served: Vec<_> =
            list.all.iter().enumerate().filter(|(_, lane)| lane.queue.is_some()).collect();
        served.sort_by_key(|(place, _)| (*place != list.default, *place));
        served.into_iter().map(|(place, lane)| (place, Arc::clone(&lane.served))).collect()
    }

    /// Makes a model the default one.
    pub fn set_default(&self, lane: usize) {
        self.write().default = lane;
    }

    /// Gives a model another role, and the prompt that it is asked with in it.
    pub fn set_role(&self, lane: usize, role: ModelRole, prompt_version: &str) {
        if let Some(lane) = self.write().all.get_mut(lane) {
            let served =
                ServedModel { role, prompt_version: prompt_version.to_owned(), ..(*lane.served).clone() };
            lane.served = Arc::new(served);
        }
    }

    /// Lets a model go. What waits for it is answered.
    pub fn retire(&self, lane: usize) {
        if let Some(lane) = self.write().all.get_mut(lane) {
            lane.queue = None;
        }
    }
}
