//! Sending photographs: one request a file, so that each has its own progress and its own error.

use std::cell::RefCell;
use std::collections::BTreeMap;

use js_sys::Promise;
use leptos::prelude::*;
use leptos::task::spawn_local;
use qponder_shared::Scope;
use qponder_shared::api::{Image, Problem, Sampling, UploadReport, UploadedFile};
use wasm_bindgen::JsCast as _;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{File, FormData, ProgressEvent, XmlHttpRequest};

use crate::api::{self, sentence};
use crate::dropped::Found;
use crate::format;
use crate::route::{self, Route};
use crate::session;
use crate::state::App;

/// Files sent at a time. Streams need the browser's other connections to the server.
const SLOTS: usize = 2;

/// How an upload stands.
#[derive(Clone, Debug, PartialEq)]
pub enum UploadState {
    Waiting,
    /// Which part of its bytes is out: `0.0..=1.0`.
    Sending(f64),
    /// Everything is out, and the server looks at it.
    Checking,
    /// Why it failed, and whether sending the same bytes again can help.
    Failed {
        reason: String,
        can_retry: bool,
    },
}

/// One file on its way.
#[derive(Clone)]
pub struct Upload {
    pub key: u32,
    pub name: String,
    pub bytes: f64,
    pub state: ArcRwSignal<UploadState>,
}

/// All files on their way, in the order in which they were chosen.
#[derive(Clone, Copy)]
pub struct Uploads {
    list: RwSignal<Vec<Upload>>,
    last_key: StoredValue<u32>,
}

thread_local! {
    /// The browser's objects cannot be kept in signals.
    static FILES: RefCell<BTreeMap<u32, File>> = const { RefCell::new(BTreeMap::new()) };
    static REQUESTS: RefCell<BTreeMap<u32, XmlHttpRequest>> = const { RefCell::new(BTreeMap::new()) };
}

impl Uploads {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self { list: RwSignal::new(Vec::new()), last_key: StoredValue::new(0) }
    }

    /// Files on their way and files that failed.
    #[must_use]
    pub fn all(self) -> Vec<Upload> {
        self.list.get()
    }

    /// Sends files. A single one is shown as soon as it has arrived.
    pub fn add(self, app: App, files: Vec<Found>) {
        if files.is_empty() {
            return;
        }
        if !app.allows(Scope::Assess) {
            return;
        }
        let is_single = files.len() == 1;
        if !is_single {
            // Several are watched where they arrive.
            route::go(app, Route::Gallery);
        }
        app.announcement.set(format!("Uploading {}.", format::plural(files.len(), "file")));
        for found in files {
            self.put(app, found.file);
        }
        self.pump(app, is_single);
    }

    /// Sends a file and stays where the page is.
    pub fn add_one(self, app: App, file: File) {
        if app.allows(Scope::Assess) {
            self.put(app, file);
            self.pump(app, false);
        }
    }

    /// Puts a file on the list.
    fn put(self, app: App, file: File) {
        let key = self.last_key.get_value() + 1;
        self.last_key.set_value(key);
        let upload = Upload {
            key,
            name: file.name(),
            bytes: file.size(),
            state: ArcRwSignal::new(UploadState::Waiting),
        };
        if let Some(reason) = self.refusal(app, &upload) {
            upload.state.set(UploadState::Failed { reason, can_retry: false });
        }
        FILES.with_borrow_mut(|all| drop(all.insert(key, file)));
        self.list.update(|list| list.push(upload));
    }

    /// Sends a file that failed again.
    pub fn retry(self, app: App, upload: &Upload) {
        upload.state.set(UploadState::Waiting);
        self.pump(app, false);
    }

    /// Stops a file, or takes its failure off the list.
    pub fn dismiss(self, app: App, key: u32) {
        if let Some(request) = REQUESTS.with_borrow_mut(|requests| requests.remove(&key)) {
            let _ = request.abort();
        }
        FILES.with_borrow_mut(|files| drop(files.remove(&key)));
        self.list.update(|list| list.retain(|upload| upload.key != key));
        self.pump(app, false);
    }

    /// What is certain to be refused is not sent.
    fn refusal(self, app: App, upload: &Upload) -> Option<String> {
        let limit = app.info.with_untracked(|info| info.as_ref().map(|info| info.max_upload_bytes as f64))?;
        (upload.bytes > limit).then(|| {
            format!("It is {}, and the limit is {}.", format::bytes(upload.bytes), format::bytes(limit))
        })
    }

    fn pump(self, app: App, open_when_done: bool) {
        let in_flight = REQUESTS.with_borrow(BTreeMap::len);
        let waiting: Vec<Upload> = self.list.with_untracked(|list| {
            let is_waiting = |upload: &&Upload| upload.state.get_untracked() == UploadState::Waiting;
            list.iter().filter(is_waiting).take(SLOTS.saturating_sub(in_flight)).cloned().collect()
        });
        for upload in waiting {
            self.send(app, upload, open_when_done);
        }
    }

    fn send(self, app: App, upload: Upload, open_when_done: bool) {
        let key = upload.key;
        let Some(file) = FILES.with_borrow(|files| files.get(&key).cloned()) else { return };
        upload.state.set(UploadState::Sending(0.0));
        let Ok(request) = XmlHttpRequest::new() else { return };
        REQUESTS.with_borrow_mut(|requests| drop(requests.insert(key, request.clone())));
        spawn_local(async move {
            let outcome = post(&request, &file, &upload).await;
            REQUESTS.with_borrow_mut(|requests| drop(requests.remove(&key)));
            match outcome {
                Ok(arrival) => {
                    self.dismiss(app, key);
                    arrived(app, arrival, open_when_done);
                }
                // The session ended: the file is sent again once there is another.
                Err(_) if request.status().is_ok_and(|status| status == 401) => {
                    session::wait().await;
                    upload.state.set(UploadState::Waiting);
                    self.pump(app, open_when_done);
                }
                Err(failed) => {
                    if request.status().unwrap_or(0) == 0 {
                        app.reach();
                    }
                    if let UploadState::Failed { reason, .. } = &failed {
                        app.announcement.set(format!("{} failed. {reason}", upload.name));
                    }
                    upload.state.set(failed);
                    self.pump(app, false);
                }
            }
        });
    }
}

struct Arrival {
    image: Image,
    is_duplicate: bool,
}

/// Shows the image and asks for its assessment.
fn arrived(app: App, arrival: Arrival, open: bool) {
    let Arrival { image, is_duplicate } = arrival;
    let id = image.id;
    let mode = app.mode.get_untracked();
    let model = app.info.with_untracked(|info| info.as_ref().map(|info| info.model.name.clone()));
    let was_assessed = image
        .latest
        .as_ref()
        .is_some_and(|latest| latest.mode == mode && Some(&latest.model) == model.as_ref());
    if is_duplicate {
        // One message for many: equal texts are shown once.
        let which = if open { image.name.as_str() } else { "A photo" };
        app.toasts.say(format!("{which} was here already."));
    }
    app.gallery.put_first(image);
    if !(is_duplicate && was_assessed) {
        app.answers.ask(app, id, mode, Sampling::default());
    }
    if open {
        route::go(app, Route::Image(id));
    }
}

async fn post(request: &XmlHttpRequest, file: &File, upload: &Upload) -> Result<Arrival, UploadState> {
    let broken = |_: JsValue| failed("The file could not be read. Is it a folder, or was it moved?", true);
    let form = FormData::new().map_err(broken)?;
    form.append_with_blob_and_filename("file", file, &upload.name).map_err(broken)?;
    request.open("POST", api::IMAGES).map_err(broken)?;

    let state = upload.state.clone();
    let on_progress = Closure::<dyn FnMut(ProgressEvent)>::new(move |event: ProgressEvent| {
        let is_out = event.loaded() >= event.total();
        let part = event.loaded() / event.total().max(1.0);
        state.set(if is_out { UploadState::Checking } else { UploadState::Sending(part) });
    });
    if let Ok(sending) = request.upload() {
        sending.set_onprogress(Some(on_progress.as_ref().unchecked_ref()));
    }
    let ended = Promise::new(&mut |resolve, _| request.set_onloadend(Some(&resolve)));
    request.send_with_opt_form_data(Some(&form)).map_err(broken)?;
    // `loadend` comes after success, failure and abort alike; the status tells them apart.
    let _ = JsFuture::from(ended).await;

    let body = request.response_text().ok().flatten().unwrap_or_default();
    match request.status().unwrap_or(0) {
        0 => Err(failed("The connection broke, or the file could not be read.", true)),
        200..300 => {
            let report: UploadReport = serde_json::from_str(&body).map_err(|error| {
                failed(&format!("The server’s answer could not be read ({error})."), true)
            })?;
            let file = report.files.into_iter().next();
            file.ok_or_else(|| failed("The server does not mention the file.", true)).and_then(read)
        }
        status => match serde_json::from_str::<Problem>(&body) {
            Ok(problem) => Err(refused(&problem)),
            Err(_) => Err(failed(&format!("The server answered with status {status}."), true)),
        },
    }
}

fn read(file: UploadedFile) -> Result<Arrival, UploadState> {
    match (file.image, file.problem) {
        (Some(image), _) => Ok(Arrival { image, is_duplicate: file.duplicate }),
        (None, Some(problem)) => Err(refused(&problem)),
        (None, None) => Err(failed("The server gave no reason.", true)),
    }
}

/// A 4xx is about the file itself: the same bytes will not do better.
fn refused(problem: &Problem) -> UploadState {
    failed(sentence(problem), problem.status >= 500 || problem.status == 429)
}

fn failed(reason: &str, can_retry: bool) -> UploadState {
    UploadState::Failed { reason: reason.to_owned(), can_retry }
}
