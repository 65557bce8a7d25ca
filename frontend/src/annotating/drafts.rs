//! Drafts: every change is kept on this machine at once, and on the server a moment later.

use std::time::Duration;

use gloo_timers::future::sleep;
use leptos::prelude::*;
use leptos::task::spawn_local;
use qponder_shared::study::{SaveDraft, Sheet, Task};

use super::Annotating;
use crate::api::Failure;
use crate::session;
use crate::settings::storage;
use crate::state::App;
use crate::studies;

/// How long after the last change a draft is sent.
const PAUSE: Duration = Duration::from_millis(400);
/// How long after a failure it is sent again.
const AGAIN: Duration = Duration::from_secs(3);

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
    /// Another tab works on the same item.
    Elsewhere,
}

impl Annotating {
    /// Changes the sheet, and keeps it.
    pub fn change(self, app: App, change: impl FnOnce(&mut Sheet)) {
        self.sheet.update(change);
        let Some(task) = self.task.get_untracked() else { return };
        let sheet = self.sheet.get_untracked();
        store(&task, &sheet);
        self.saved.set(Saved::Saving);
        self.changes.update_value(|changes| *changes += 1);
        let change = self.changes.get_value();
        spawn_local(async move {
            sleep(PAUSE).await;
            while self.changes.get_value() == change {
                if self.keep(app, &task, &sheet).await {
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
        let draft = SaveDraft { repeat: task.repeat, revision: self.revision.get_value(), body };
        let outcome = studies::save_draft(task.item, &draft).await;
        let is_current =
            self.task.get_untracked().is_some_and(|now| (now.item, now.repeat) == (task.item, task.repeat));
        let saved = match outcome {
            Ok(draft) => {
                if is_current {
                    self.revision.set_value(draft.revision);
                }
                if self.changes.get_value() == change {
                    forget(task);
                }
                Saved::Kept
            }
            Err(Failure::Unreachable) => {
                app.reach();
                self.saved.set(Saved::Here);
                return false;
            }
            Err(failure) if failure.status() == Some(409) => Saved::Elsewhere,
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
}

/// What a task begins with, and the revision that the server has: what is kept on this machine never
/// reached the server, so it is newer.
pub fn begin(task: &Task) -> (Sheet, i64) {
    let revision = task.draft.as_ref().map_or(0, |draft| draft.revision);
    let here = storage().and_then(|storage| storage.get_item(&key(task)).ok().flatten());
    let here = here.and_then(|text| serde_json::from_str(&text).ok());
    let there = || task.draft.as_ref().and_then(|draft| serde_json::from_value(draft.body.clone()).ok());
    (here.or_else(there).unwrap_or_default(), revision)
}

/// Throws away what is kept on this machine.
pub fn forget(task: &Task) {
    if let Some(storage) = storage() {
        let _ = storage.remove_item(&key(task));
    }
}

fn store(task: &Task, sheet: &Sheet) {
    if let (Some(storage), Ok(text)) = (storage(), serde_json::to_string(sheet)) {
        // Browsers may forbid storage; then the server alone has it.
        let _ = storage.set_item(&key(task), &text);
    }
}

fn key(task: &Task) -> String {
    format!("qponder.draft.{}.{}.{}", session::owner(), task.item, task.repeat)
}
