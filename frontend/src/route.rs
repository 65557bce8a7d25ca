//! Addresses: `/` is the gallery, `/images/{id}` one image; studies, reviews, jobs and accounts have their own.

use std::str::FromStr;

use leptos::prelude::*;
use qponder_shared::{DatasetId, ImageId, JobId, ModelId, StudyId, ThreadId};
use wasm_bindgen::JsValue;

use crate::state::App;

/// What the address names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    Gallery,
    Image(ImageId),
    /// Opens a link that works once.
    Welcome,
    Account,
    Users,
    Audit,
    Storage,
    Health,
    Studies,
    /// Imports and exports.
    Transfers,
    /// Jobs: trainings, and what belongs to them.
    Jobs,
    /// The same, with a dataset chosen for a new pipeline.
    TrainOn(DatasetId),
    Job(JobId),
    /// Two to four jobs over each other.
    CompareJobs([Option<JobId>; 4]),
    /// Scoring photos on this device.
    QuickScore,
    Models,
    Model(ModelId),
    Study(StudyId),
    Annotate(StudyId),
    Statistics(StudyId),
    /// The review queue, with one annotation open.
    Review(Option<ThreadId>),
    /// Two models on all images.
    Compare,
    /// All models on one image.
    CompareImage(ImageId),
    /// Two to four images.
    SideBySide([Option<ImageId>; 4]),
    /// Nothing that exists.
    Unknown,
}

impl Route {
    /// Reads the browser's address.
    #[must_use]
    pub fn current() -> Self {
        let path = location().pathname().unwrap_or_default();
        let mut parts = path.split('/').filter(|part| !part.is_empty());
        match (parts.next(), parts.next(), parts.next()) {
            (None, ..) => Route::Gallery,
            (Some("images"), Some(id), None) => id.parse().map_or(Route::Unknown, Route::Image),
            (Some("welcome"), None, _) => Route::Welcome,
            (Some("account"), None, _) => Route::Account,
            (Some("users"), None, _) => Route::Users,
            (Some("audit"), None, _) => Route::Audit,
            (Some("storage"), None, _) => Route::Storage,
            (Some("health"), None, _) => Route::Health,
            (Some("studies"), None, _) => Route::Studies,
            (Some("transfers"), None, _) => Route::Transfers,
            (Some("training"), None, _) => {
                let dataset = query("dataset").and_then(|id| id.parse().ok());
                dataset.map_or(Route::Jobs, Route::TrainOn)
            }
            (Some("training"), Some("compare"), None) => {
                several("jobs").map_or(Route::Unknown, Route::CompareJobs)
            }
            (Some("quick-score"), None, _) => Route::QuickScore,
            (Some("models"), None, _) => Route::Models,
            (Some("models"), Some(id), None) => id.parse().map_or(Route::Unknown, Route::Model),
            (Some("training"), Some(id), None) => id.parse().map_or(Route::Unknown, Route::Job),
            (Some("studies"), Some(id), None) => id.parse().map_or(Route::Unknown, Route::Study),
            (Some("studies"), Some(id), Some("annotate")) => {
                id.parse().map_or(Route::Unknown, Route::Annotate)
            }
            (Some("studies"), Some(id), Some("statistics")) => {
                id.parse().map_or(Route::Unknown, Route::Statistics)
            }
            (Some("review"), None, _) => Route::Review(None),
            (Some("review"), Some(id), None) => {
                id.parse().map_or(Route::Unknown, |id| Route::Review(Some(id)))
            }
            (Some("compare"), None, _) => Route::Compare,
            (Some("images"), Some(id), Some("compare")) => {
                id.parse().map_or(Route::Unknown, Route::CompareImage)
            }
            (Some("side-by-side"), None, _) => several("images").map_or(Route::Unknown, Route::SideBySide),
            _ => Route::Unknown,
        }
    }

    /// The address, for links.
    #[must_use]
    pub fn path(self) -> String {
        match self {
            Route::Image(id) => format!("/images/{id}"),
            Route::Welcome => "/welcome".to_owned(),
            Route::Account => "/account".to_owned(),
            Route::Users => "/users".to_owned(),
            Route::Audit => "/audit".to_owned(),
            Route::Storage => "/storage".to_owned(),
            Route::Health => "/health".to_owned(),
            Route::Studies => "/studies".to_owned(),
            Route::Transfers => "/transfers".to_owned(),
            Route::Jobs => "/training".to_owned(),
            Route::TrainOn(dataset) => format!("/training?dataset={dataset}"),
            Route::Job(id) => format!("/training/{id}"),
            Route::CompareJobs(jobs) => format!("/training/compare?jobs={}", listed(&jobs)),
            Route::QuickScore => "/quick-score".to_owned(),
            Route::Models => "/models".to_owned(),
            Route::Model(id) => format!("/models/{id}"),
            Route::Study(id) => format!("/studies/{id}"),
            Route::Annotate(id) => format!("/studies/{id}/annotate"),
            Route::Statistics(id) => format!("/studies/{id}/statistics"),
            Route::Review(None) => "/review".to_owned(),
            Route::Review(Some(id)) => format!("/review/{id}"),
            Route::Compare => "/compare".to_owned(),
            Route::CompareImage(id) => format!("/images/{id}/compare"),
            Route::SideBySide(images) => format!("/side-by-side?images={}", listed(&images)),
            Route::Gallery | Route::Unknown => "/".to_owned(),
        }
    }
}

/// A word of the query.
fn query(name: &str) -> Option<String> {
    let query = location().search().ok()?;
    let mut parts = query.trim_start_matches('?').split('&').filter_map(|part| part.split_once('='));
    let (_, value) = parts.find(|(known, _)| *known == name)?;
    Some(String::from(js_sys::decode_uri_component(value).ok()?))
}

/// The ids of the query: two to four.
fn several<T: FromStr + Copy>(name: &str) -> Option<[Option<T>; 4]> {
    let list = query(name)?;
    let ids = list.split(',').map(|id| id.parse().ok()).collect::<Option<Vec<T>>>()?;
    let mut found = [None; 4];
    if !(2..=found.len()).contains(&ids.len()) {
        return None;
    }
    found.iter_mut().zip(ids).for_each(|(slot, id)| *slot = Some(id));
    Some(found)
}

fn listed<T: ToString>(ids: &[Option<T>]) -> String {
    let ids: Vec<String> = ids.iter().flatten().map(ToString::to_string).collect();
    ids.join(",")
}

/// Goes somewhere, as a link would.
pub fn go(app: App, to: Route) {
    change(app, to, |history, path| history.push_state_with_url(&JsValue::NULL, "", Some(path)));
}

/// Goes somewhere without a step in the history: from image to image, Back still leads to the gallery.
pub fn replace(app: App, to: Route) {
    change(app, to, |history, path| history.replace_state_with_url(&JsValue::NULL, "", Some(path)));
}

fn change(app: App, to: Route, act: impl FnOnce(&web_sys::History, &str) -> Result<(), JsValue>) {
    if app.route.get_untracked() == to {
        return;
    }
    // A sandboxed page may lack a history; the page itself still changes.
    if let Ok(history) = window().history() {
        let _ = act(&history, &to.path());
    }
    app.route.set(to);
}

/// Makes a link change the page in place, unless the person wants a new tab or window.
pub fn follow_link(app: App, to: Route) -> impl Fn(web_sys::MouseEvent) + Clone + 'static {
    move |event| {
        if event.button() == 0 && !event.ctrl_key() && !event.meta_key() && !event.shift_key() {
            event.prevent_default();
            go(app, to);
        }
    }
}
