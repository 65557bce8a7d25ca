//! Photos that are scored on this device: what the page *Quick score* knows of them.
//!
//! The worker, its engine and the weights are loaded when that page is opened for the first time. No photo
//! leaves the device unless somebody sends it.

mod offline;
mod table;
mod trial;
mod worker;

use std::cell::RefCell;
use std::collections::BTreeMap;

use leptos::prelude::*;
use leptos::task::spawn_local;
use qponder_shared::quick::{Ask, Key, Place, Ready, Scored, Tell};
use wasm_bindgen::prelude::*;
use web_sys::File;

use crate::dropped::{Found, photos};
use crate::format;
use crate::state::App;
pub use table::{Column, Order, csv};
pub use worker::text_field;

/// Times that a worker that broke down is started again.
const MOST_RESTARTS: usize = 3;

/// How the engine stands.
#[derive(Clone, Debug, PartialEq)]
pub enum EngineState {
    /// The page was not opened yet.
    Off,
    Loading {
        loaded: u64,
        total: u64,
    },
    Ready(Ready),
    /// Why nothing can be scored.
    Broken(String),
}

/// How a photo stands.
#[derive(Clone, Debug, PartialEq)]
pub enum PhotoState {
    Waiting,
    Working,
    Scored(Scored),
    Failed(String),
}

/// How the reasoning about a photo stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Explaining {
    /// Nobody asked.
    #[default]
    No,
    Waiting,
    Writing,
    Done {
        tokens: usize,
        ms: f64,
        is_complete: bool,
    },
    Failed(String),
}

/// A photo on the page.
#[derive(Clone)]
pub struct Photo {
    pub key: Key,
    /// With its folder, where one was chosen.
    pub name: String,
    /// An address of its bytes within this page.
    pub url: String,
    pub state: ArcRwSignal<PhotoState>,
    pub explaining: ArcRwSignal<Explaining>,
    /// The reasoning as far as it is written.
    pub text: ArcRwSignal<String>,
    pub is_sent: ArcRwSignal<bool>,
}

/// The page is left in peace, whatever the engine is doing.
pub fn leave() {
    trial::end();
}

thread_local! {
    /// The browser's objects cannot be kept in signals.
    static FILES: RefCell<BTreeMap<Key, File>> = const { RefCell::new(BTreeMap::new()) };
}

/// All photos and the engine.
#[derive(Clone, Copy)]
pub struct Quick {
    pub engine: RwSignal<EngineState>,
    photos: RwSignal<Vec<Photo>>,
    pub order: RwSignal<Order>,
    /// Whether the page opens without a network.
    pub is_offline_ready: RwSignal<bool>,
    /// What went wrong with the engine while it was running.
    pub notice: RwSignal<Option<String>>,
    last_key: StoredValue<Key>,
    restarts: StoredValue<usize>,
}

impl Quick {
    /// No photos, no engine.
    #[must_use]
    pub fn new() -> Self {
        Self {
            engine: RwSignal::new(EngineState::Off),
            photos: RwSignal::new(Vec::new()),
            order: RwSignal::new(Order::default()),
            is_offline_ready: RwSignal::new(false),
            notice: RwSignal::new(None),
            last_key: StoredValue::new(0),
            restarts: StoredValue::new(0),
        }
    }

    /// Loads the engine, unless it is there.
    pub fn open(self, app: App) {
        if self.engine.get_untracked() == EngineState::Off {
            self.start(app);
        }
    }

    /// Tries again to load what could not be loaded.
    pub fn try_again(self, app: App) {
        self.restarts.set_value(0);
        self.start(app);
    }

    fn start(self, app: App) {
        self.engine.set(EngineState::Loading { loaded: 0, total: 0 });
        let is_after_crash = trial::was_cut_off() || self.restarts.get_value() > 0;
        let on_tell = move |tell| self.hear(app, tell);
        if let Err(reason) = worker::start(is_after_crash, on_tell, move |reason| self.broke(app, &reason)) {
            self.engine.set(EngineState::Broken(reason));
        }
    }

    /// All photos in the chosen order.
    #[must_use]
    pub fn photos(self) -> Vec<Photo> {
        let mut photos = self.photos.get();
        self.order.get().sort(&mut photos);
        photos
    }

    /// How many there are, and how many of them are still to be scored.
    #[must_use]
    pub fn count(self) -> (usize, usize) {
        self.photos.with(|photos| {
            let is_open =
                |photo: &&Photo| matches!(*photo.state.read(), PhotoState::Waiting | PhotoState::Working);
            (photos.len(), photos.iter().filter(is_open).count())
        })
    }

    fn find(self, key: Key) -> Option<Photo> {
        self.photos.with_untracked(|photos| photos.iter().find(|photo| photo.key == key).cloned())
    }

    /// Scores files here.
    pub fn add(self, app: App, files: Vec<Found>) {
        let files = photos(app.toasts, files);
        if files.is_empty() {
            return;
        }
        app.announcement.set(format!("{} to score.", format::plural(files.len(), "photo")));
        let mut photos = Vec::with_capacity(files.len());
        for Found { path, file } in files {
            let key = self.last_key.get_value() + 1;
            self.last_key.set_value(key);
            photos.push(Photo {
                key,
                name: path,
                url: web_sys::Url::create_object_url_with_blob(&file).unwrap_or_default(),
                state: ArcRwSignal::new(PhotoState::Waiting),
                explaining: ArcRwSignal::default(),
                text: ArcRwSignal::default(),
                is_sent: ArcRwSignal::default(),
            });
            FILES.with_borrow_mut(|all| drop(all.insert(key, file)));
            self.ask(&Ask::Score { key }, key);
        }
        self.photos.update(|all| all.extend(photos));
    }

    /// Passes an ask on, once there is an engine; what waits is asked when it is ready.
    fn ask(self, ask: &Ask, key: Key) {
        if matches!(self.engine.get_untracked(), EngineState::Ready(_)) {
            let file = FILES.with_borrow(|files| files.get(&key).cloned());
            worker::ask(ask, file.as_ref());
        }
    }

    /// Asks for the reasoning about a photo.
    pub fn explain(self, photo: &Photo) {
        photo.text.set(String::new());
        photo.explaining.set(Explaining::Waiting);
        self.ask(&Ask::Explain { key: photo.key }, photo.key);
    }

    /// Ends the reasoning about a photo where it is.
    pub fn stop(self, photo: &Photo) {
        if photo.explaining.get_untracked() == Explaining::Waiting {
            photo.explaining.set(Explaining::No);
        }
        worker::ask(&Ask::Stop { key: photo.key }, None);
    }

    /// Takes a photo off the page.
    pub fn remove(self, photo: &Photo) {
        worker::ask(&Ask::Stop { key: photo.key }, None);
        let _ = web_sys::Url::revoke_object_url(&photo.url);
        FILES.with_borrow_mut(|files| drop(files.remove(&photo.key)));
        self.photos.update(|photos| photos.retain(|one| one.key != photo.key));
    }

    /// Takes all photos off the page.
    pub fn clear(self) {
        for photo in self.photos.get_untracked() {
            self.remove(&photo);
        }
    }

    /// Uploads a photo, because somebody asked for it.
    pub fn send(self, app: App, photo: &Photo) {
        let Some(file) = FILES.with_borrow(|files| files.get(&photo.key).cloned()) else { return };
        photo.is_sent.set(true);
        app.uploads.add_one(app, file);
    }

    /// Computes there from now on.
    pub fn use_place(self, place: Place) {
        self.notice.set(None);
        worker::ask(&Ask::Use { place }, None);
    }

    /// Removes the weights and the page that the browser keeps. What runs goes on with what is in memory.
    pub fn forget(self) {
        worker::ask(&Ask::Forget, None);
        spawn_local(async move {
            match offline::forget().await {
                Ok(()) => self.is_offline_ready.set(false),
                Err(error) => {
                    let reason = message_of(&error);
                    self.notice.set(Some(format!("This browser still keeps the page ({reason}).")));
                }
            }
        });
    }

    fn hear(self, app: App, tell: Tell) {
        match tell {
            Tell::Loading { loaded, total } => self.engine.set(EngineState::Loading { loaded, total }),
            Tell::Broken { reason } => {
                trial::end();
                self.engine.set(EngineState::Broken(reason));
            }
            Tell::Tries { card: true } => trial::begin(),
            Tell::Tries { card: false } => trial::end(),
            Tell::Ready(ready) => {
                self.engine.set(EngineState::Ready(ready));
                self.ask_what_waits();
                spawn_local(self.stay_without_network());
            }
            Tell::Working { key } => {
                let Some(photo) = self.find(key) else { return };
                let is_scored = matches!(photo.state.get_untracked(), PhotoState::Scored(_));
                let explaining = photo.explaining.get_untracked();
                if matches!(explaining, Explaining::Waiting | Explaining::Writing) && is_scored {
                    photo.text.set(String::new());
                    photo.explaining.set(Explaining::Writing);
                } else if !is_scored {
                    photo.state.set(PhotoState::Working);
                }
            }
            Tell::Scored(scored) => {
                let Some(photo) = self.find(scored.key) else { return };
                photo.state.set(PhotoState::Scored(scored));
                if let (count, 0) = untrack(|| self.count()) {
                    app.announcement.set(format!("{} scored.", format::plural(count, "photo")));
                }
            }
            Tell::Text { key, text } => {
                let Some(photo) = self.find(key) else { return };
                photo.text.update(|all| all.push_str(&text));
            }
            Tell::Explained { key, tokens, ms, is_complete } => {
                let Some(photo) = self.find(key) else { return };
                photo.explaining.set(Explaining::Done { tokens, ms, is_complete });
            }
            Tell::Failed { key, reason } => {
                let Some(photo) = self.find(key) else { return };
                if matches!(photo.state.get_untracked(), PhotoState::Scored(_)) {
                    photo.explaining.set(Explaining::Failed(reason));
                } else {
                    photo.state.set(PhotoState::Failed(reason));
                }
            }
            Tell::Switched(runs) => {
                if runs.is_after_loss {
                    let what = "The graphics card failed; the processor goes on.";
                    self.notice.set(Some(what.to_owned()));
                    app.announcement.set(what.to_owned());
                }
                self.engine.update(|engine| {
                    if let EngineState::Ready(ready) = engine {
                        ready.runs = runs;
                    }
                });
            }
            Tell::Forgotten => {
                self.engine.update(|engine| {
                    if let EngineState::Ready(ready) = engine {
                        ready.not_kept = Some("you removed it".to_owned());
                    }
                });
            }
        }
    }

    fn ask_what_waits(self) {
        for photo in self.photos.get_untracked() {
            if photo.state.get_untracked() == PhotoState::Waiting {
                self.ask(&Ask::Score { key: photo.key }, photo.key);
            }
            if photo.explaining.get_untracked() == Explaining::Waiting {
                self.ask(&Ask::Explain { key: photo.key }, photo.key);
            }
        }
    }

    /// The worker is gone: what it worked on failed, and another one does the rest.
    fn broke(self, app: App, reason: &str) {
        for photo in self.photos.get_untracked() {
            let lost = || format!("The engine stopped at this photo ({reason}).");
            if photo.state.get_untracked() == PhotoState::Working {
                photo.state.set(PhotoState::Failed(lost()));
            }
            if photo.explaining.get_untracked() == Explaining::Writing {
                photo.explaining.set(Explaining::Failed(lost()));
            }
        }
        let restarts = self.restarts.get_value();
        if restarts >= MOST_RESTARTS {
            trial::end();
            return self.engine.set(EngineState::Broken(format!("The engine stopped ({reason}).")));
        }
        self.restarts.set_value(restarts + 1);
        self.notice
            .set(Some(format!("The engine stopped ({reason}) and was started again, on the processor.")));
        self.start(app);
    }

    /// Has the browser keep this page's files.
    async fn stay_without_network(self) {
        if offline::keep().await.is_ok() {
            let _ = self.is_offline_ready.try_set(true);
        }
    }
}

/// The address of a closure's event, where it has one.
fn message_of(event: &JsValue) -> String {
    text_field(event, "message").filter(|text| !text.is_empty()).unwrap_or_else(|| "no reason given".into())
}
