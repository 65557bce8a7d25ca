//! Other tabs of the same person: what they vote is not asked for here again, and where two work on one
//! item each keeps its own until somebody chooses.

use std::sync::Arc;
use std::time::Duration;

use leptos::prelude::*;
use leptos::task::spawn_local;
use wasm_bindgen::JsCast as _;
use web_sys::StorageEvent;

use super::drafts::Saved;
use super::{Annotating, Step, drafts, tray};
use crate::state::App;
use crate::studies;
use crate::toasts::Offer;

/// How long a choice between two drafts can be taken back.
const REGRET: Duration = Duration::from_secs(20);

impl Annotating {
    /// Hears of votes of other tabs, for as long as the page lives.
    pub fn listen(self) {
        window_event_listener_untyped("storage", move |event| {
            let Some(event) = event.dyn_ref::<StorageEvent>() else { return };
            let Some(study) = self.study.with_untracked(|study| study.as_ref().map(|study| study.id)) else {
                return;
            };
            if event.key().is_some_and(|key| key == tray::key(study)) {
                self.heard(&event.new_value().unwrap_or_default());
            }
        });
    }

    fn heard(self, tray: &str) {
        for vote in tray::read(tray) {
            let same = |item, repeat| (item, repeat) == (vote.item, vote.repeat);
            if self.voted.with_value(|voted| voted.contains(&(vote.item, vote.repeat))) {
                continue;
            }
            self.voted.update_value(|voted| {
                voted.insert((vote.item, vote.repeat));
            });
            self.waiting.update_value(|waiting| waiting.retain(|task| !same(task.item, task.repeat)));
            let is_here = self
                .task
                .with_untracked(|task| task.as_ref().is_some_and(|task| same(task.item, task.repeat)));
            if is_here && self.step.get_untracked() == Step::Rate {
                self.is_rated_elsewhere.set(true);
            }
        }
    }

    /// Goes on without a vote of this tab.
    pub fn leave(self, app: App) {
        if let Some(task) = self.task.get_untracked() {
            drafts::forget(&task);
        }
        self.go_on(app);
    }

    /// Keeps what is here, in place of what the other tab saved.
    pub fn keep_own(self, app: App) {
        let Some(task) = self.task.get_untracked() else { return };
        spawn_local(async move {
            match studies::draft(task.item, task.repeat).await {
                Ok(draft) => self.revision.set_value(draft.revision),
                // It was sent: there is none to replace.
                Err(failure) if failure.status() == Some(404) => {}
                Err(failure) => return app.report(&failure),
            }
            self.change(app, |_| ());
        });
    }

    /// Shows what the other tab saved; for a while the own can be brought back.
    pub fn take_other(self, app: App) {
        let Some(task) = self.task.get_untracked() else { return };
        spawn_local(async move {
            let draft = match studies::draft(task.item, task.repeat).await {
                Ok(draft) => draft,
                Err(failure) => return app.report(&failure),
            };
            let Some(other) = drafts::read(&draft.body) else { return self.keep_own(app) };
            let own = self.sheet.get_untracked();
            drafts::forget(&task);
            self.revision.set_value(draft.revision);
            self.changes.update_value(|changes| *changes += 1);
            self.sheet.set(other);
            self.is_contested.set(false);
            self.saved.set(Saved::Kept);
            let act = Arc::new(move || {
                let is_here =
                    self.task.with_untracked(|now| now.as_ref().is_some_and(|now| now.item == task.item));
                if is_here {
                    self.change(app, |sheet| *sheet = own.clone());
                }
            });
            app.toasts.offer(
                "This is what the other tab saved.",
                false,
                Offer { label: "Mine again", act },
                REGRET,
            );
        });
    }
}
