//! Drafts: every change is kept on this machine at once, and on the server a moment later.
//!
//! Each tab keeps its own, so that two tabs on one item do not overwrite each other here either.

use std::time::Duration;

use gloo_timers::future::sleep;
use leptos::prelude::*;
use leptos::task::spawn_local;
use qponder_shared::study::{Draft, SaveDraft, Sheet, Task, check};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Annotating;
use crate::api::Failure;
use crate::clock;
use crate::session;
use crate::settings::{self, storage};
use crate::state::App;
use crate::studies;

/// How long after the last change a draft is sent.
const PAUSE: Duration = Duration::from_millis(400);
/// How long after a failure it is sent again.
const AGAIN: Duration = Duration::from_secs(3);
/// How often one looks whether the draft before has arrived.
const TURN: Duration = Duration::from_millis(50);

/// A draft on this machine.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// The revision of the server's draft that it follows.
    revision: i64,
    sheet: Sheet,
}

/// Where a tab keeps its name while it loads anew.
const NAME: &str = "qponder.tab";

thread_local! {
    /// This tab. A name that it left for itself is taken away: a copy of the tab must not have it as well.
    static TAB: String = {
        let left = settings::tab_storage().and_then(|storage| {
            let name = storage.get_item(NAME).ok()?;
            let _ = storage.remove_item(NAME);
            name
        });
        left.unwrap_or_else(clock::unique)
    };
}

/// Leaves the tab's name for the page that may be loaded into it next.
pub fn leave_name() {
    if let Some(storage) = settings::tab_storage() {
        let _ = storage.set_item(NAME, &TAB.with(String::clone));
    }
}

/// Where unsent work is safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saved {
    /// There is none.
    Nothing,
    /// On this machine, and on its way.
    Saving,
    /// On the server.
    Kept,
    /// On this machine; the server does not answer.
    Here,
    /// On this machine; another tab saved the same item.
    Elsewhere,
    /// In this page alone.
    TooLong,
}

impl Annotating {
    /// Changes the sheet, and keeps it.
    pub fn change(self, app: App, change: impl FnOnce(&mut Sheet)) {
        self.sheet.update(change);
        let Some(task) = self.task.get_untracked() else { return };
        let sheet = self.sheet.get_untracked();
        store(&task, &sheet, self.revision.get_value());
        self.saved.set(Saved::Saving);
        self.changes.update_value(|changes| *changes += 1);
        let change = self.changes.get_value();
        spawn_local(async move {
            sleep(PAUSE).await;
            // One at a time: each names the revision that the one before it made.
            while self.is_keeping.get_value() {
                sleep(TURN).await;
            }
            while self.changes.get_value() == change {
                self.is_keeping.set_value(true);
                let is_settled = self.keep(app, &task, &sheet).await;
                self.is_keeping.set_value(false);
                if is_settled {
                    return;
                }
                sleep(AGAIN).await;
            }
        });
    }

    /// Sends a draft; whether that is settled.
    async fn keep(self, app: App, task: &Task, sheet: &Sheet) -> bool {
        let change = self.changes.get_value();
        let Ok(body) = serde_json::to_value(sheet) else { return true };
        if body.to_string().len() > check::MAX_DRAFT {
            self.saved.set(Saved::TooLong);
            return true;
        }
        let mut outcome = self.send_draft(task, &body).await;
        if is_conflict(&outcome) && self.is_own(task, &body).await {
            outcome = self.send_draft(task, &body).await;
        }
        let saved = match outcome {
            Ok(draft) => {
                if self.is_at(task) {
                    self.revision.set_value(draft.revision);
                    self.is_contested.set(false);
                    self.unanswered.set_value(Vec::new());
                }
                if self.changes.get_value() == change {
                    forget(task);
                } else if self.is_at(task) {
                    // What was changed meanwhile follows this one.
                    store(task, &self.sheet.get_untracked(), draft.revision);
                }
                Saved::Kept
            }
            Err(Failure::Unreachable) => {
                // It may have arrived all the same, and only the answer is missing.
                self.unanswered.update_value(|bodies| bodies.push(body));
                app.reach();
                self.saved.set(Saved::Here);
                return false;
            }
            Err(failure) if failure.status() == Some(409) => {
                self.is_contested.set(self.is_at(task));
                Saved::Elsewhere
            }
            Err(failure) => {
                app.report(&failure);
                Saved::Here
            }
        };
        if self.changes.get_value() == change {
            self.saved.set(saved);
        }
        true
    }

    async fn send_draft(self, task: &Task, body: &Value) -> Result<Draft, Failure> {
        let revision = self.revision.get_value();
        let draft = SaveDraft { repeat: task.repeat, revision, body: body.clone() };
        studies::save_draft(task.item, &draft).await
    }

    /// Whether the draft that the server has came from this very page; then its revision is known now.
    async fn is_own(self, task: &Task, body: &Value) -> bool {
        let Ok(there) = studies::draft(task.item, task.repeat).await else { return false };
        let is_own = there.body == *body || self.unanswered.with_value(|sent| sent.contains(&there.body));
        if is_own && self.is_at(task) {
            self.revision.set_value(there.revision);
        }
        is_own
    }

    fn is_at(self, task: &Task) -> bool {
        let same = |now: &Task| (now.item, now.repeat) == (task.item, task.repeat);
        self.task.with_untracked(|now| now.as_ref().is_some_and(same))
    }
}

fn is_conflict(outcome: &Result<Draft, Failure>) -> bool {
    outcome.as_ref().is_err_and(|failure| failure.status() == Some(409))
}

/// What a task begins with.
pub struct Beginning {
    pub sheet: Sheet,
    /// The revision of the server's draft that the sheet follows.
    pub revision: i64,
    /// Whether the server has another draft, that of another tab or machine.
    pub is_contested: bool,
}

/// Begins a task with its draft. What is kept on this machine never reached the server, so it comes first.
pub fn begin(task: &Task) -> Beginning {
    let there = task.draft.as_ref();
    let revision = there.map_or(0, |draft| draft.revision);
    let sheet_there = there.and_then(|draft| read(&draft.body));
    match take_over(task) {
        Some(Kept { revision: before, sheet }) => {
            let is_contested = sheet_there.is_some_and(|there| before != revision && there != sheet);
            Beginning { sheet, revision: if is_contested { before } else { revision }, is_contested }
        }
        None => Beginning { sheet: sheet_there.unwrap_or_default(), revision, is_contested: false },
    }
}

/// A sheet as a draft holds it.
pub fn read(body: &Value) -> Option<Sheet> {
    serde_json::from_value(body.clone()).ok()
}

/// Throws away what this tab keeps on this machine.
pub fn forget(task: &Task) {
    if let Some(storage) = storage() {
        let _ = storage.remove_item(&key(task));
    }
}

/// Makes what a tab left on this machine this tab's own: what it left itself, or what another one did that
/// was closed.
fn take_over(task: &Task) -> Option<Kept> {
    let storage = storage()?;
    let own = key(task);
    let name = if storage.get_item(&own).ok()?.is_some() {
        own
    } else {
        let mut names = (0..storage.length().ok()?).filter_map(|at| storage.key(at).ok().flatten());
        names.find(|name| name.starts_with(&prefix(task)))?
    };
    let kept: Kept = serde_json::from_str(&storage.get_item(&name).ok()??).ok()?;
    let _ = storage.remove_item(&name);
    store(task, &kept.sheet, kept.revision);
    Some(kept)
}

fn store(task: &Task, sheet: &Sheet, revision: i64) {
    let kept = Kept { revision, sheet: sheet.clone() };
    if let (Some(storage), Ok(text)) = (storage(), serde_json::to_string(&kept)) {
        // Browsers may forbid storage; then the server alone has it.
        let _ = storage.set_item(&key(task), &text);
    }
}

fn prefix(task: &Task) -> String {
    format!("qponder.draft.{}.{}.{}", session::owner(), task.item, task.repeat)
}

fn key(task: &Task) -> String {
    format!("{}.{}", prefix(task), TAB.with(String::clone))
}
