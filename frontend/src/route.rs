//! Addresses: `/` is the gallery, `/images/{id}` one image; studies, reviews and accounts have their own.

use leptos::prelude::*;
use qponder_shared::{ImageId, JobId, StudyId, ThreadId};
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
    /// Trainings.
    Jobs,
    Job(JobId),
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
            (Some("training"), None, _) => Route::Jobs,
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
            (Some("side-by-side"), None, _) => side_by_side().map_or(Route::Unknown, Route::SideBySide),
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
            Route::Job(id) => format!("/training/{id}"),
            Route::Study(id) => format!("/studies/{id}"),
            Route::Annotate(id) => format!("/studies/{id}/annotate"),
            Route::Statistics(id) => format!("/studies/{id}/statistics"),
            Route::Review(None) => "/review".to_owned(),
            Route::Review(Some(id)) => format!("/review/{id}"),
            Route::Compare => "/compare".to_owned(),
            Route::CompareImage(id) => format!("/images/{id}/compare"),
            Route::SideBySide(images) => {
                let ids: Vec<String> = images.iter().flatten().map(ToString::to_string).collect();
                format!("/side-by-side?images={}", ids.join(","))
            }
            Route::Gallery | Route::Unknown => "/".to_owned(),
        }
    }
}

/// The images of the query: two to four.
fn side_by_side() -> Option<[Option<ImageId>; 4]> {
    let query = location().search().ok()?;
    let list = query.trim_start_matches('?').split('&').find_map(|part| part.strip_prefix("images="))?;
    let list = String::from(js_sys::decode_uri_component(list).ok()?);
    let ids = list.split(',').map(str::parse).collect::<Result<Vec<ImageId>, _>>().ok()?;
    let mut images = [None; 4];
    if !(2..=images.len()).contains(&ids.len()) {
        return None;
    }
    images.iter_mut().zip(ids).for_each(|(slot, id)| *slot = Some(id));
    Some(images)
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
