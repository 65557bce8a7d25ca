//! Votes on their way: kept in the browser until the server has them, so that a vote survives a dead
//! server, an ended session and a closed tab. Each has a key, so that it arrives once.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use gloo_timers::future::sleep;
use leptos::prelude::*;
use qponder_shared::StudyId;
use qponder_shared::study::{CreateVote, Feedback};

use super::Annotating;
use crate::api::Failure;
use crate::format::sentence;
use crate::session;
use crate::settings::storage;
use crate::state::App;
use crate::studies;

/// Pause between two attempts.
const PAUSE: Duration = Duration::from_secs(2);

thread_local! {
    /// The trays where the browser forbids storage or has no room: then they last until the page closes.
    static WITHOUT_STORAGE: RefCell<BTreeMap<String, String>> = const { RefCell::new(BTreeMap::new()) };
}

impl Annotating {
    /// Sends all votes of a study, oldest first, however long it takes. Returns the feedback of the last.
    pub(super) async fn send_tray(self, app: App, study: StudyId) -> Option<Feedback> {
        // One at a time: another call waits until that one is through.
        while self.is_sending.get_value() {
            sleep(Duration::from_millis(50)).await;
        }
        self.is_sending.set_value(true);
        let mut feedback = None;
        while let Some(vote) = waiting(study).into_iter().next() {
            match studies::vote(study, &vote).await {
                Ok(receipt) => feedback = receipt.feedback,
                Err(Failure::Unreachable) => {
                    app.reach();
                    sleep(PAUSE).await;
                    continue;
                }
                Err(failure) if failure.status().is_none_or(|status| status >= 500) => {
                    app.report(&failure);
                    sleep(PAUSE).await;
                    continue;
                }
                Err(failure) => {
                    feedback = None;
                    app.toasts.complain(format!("A vote was not taken. {}", sentence(&failure)));
                }
            }
            take(study, &vote.key);
            self.arrived.update_value(|arrived| *arrived += 1);
            self.unsent.set(waiting(study).len());
        }
        self.unsent.set(0);
        self.is_sending.set_value(false);
        feedback
    }
}

/// The votes of a study that have not arrived, oldest first.
pub fn waiting(study: StudyId) -> Vec<CreateVote> {
    let kept = storage().and_then(|storage| storage.get_item(&key(study)).ok()?);
    let mut votes = read(&kept.unwrap_or_default());
    let others = WITHOUT_STORAGE.with_borrow(|all| all.get(&key(study)).cloned());
    for vote in read(&others.unwrap_or_default()) {
        if votes.iter().all(|known| known.key != vote.key) {
            votes.push(vote);
        }
    }
    votes
}

/// The votes of a tray as it is stored.
pub fn read(text: &str) -> Vec<CreateVote> {
    serde_json::from_str(text).unwrap_or_default()
}

/// Puts a vote into the tray.
pub fn put(study: StudyId, vote: &CreateVote) {
    let mut votes = waiting(study);
    votes.push(vote.clone());
    store(study, &votes);
}

fn take(study: StudyId, sent: &str) {
    let mut votes = waiting(study);
    votes.retain(|vote| vote.key != sent);
    store(study, &votes);
}

fn store(study: StudyId, votes: &[CreateVote]) {
    let Ok(text) = serde_json::to_string(votes) else { return };
    let is_kept = storage().is_some_and(|storage| {
        let done = if votes.is_empty() {
            storage.remove_item(&key(study))
        } else {
            storage.set_item(&key(study), &text)
        };
        done.is_ok()
    });
    WITHOUT_STORAGE.with_borrow_mut(|all| {
        if is_kept {
            all.remove(&key(study));
        } else {
            all.insert(key(study), text);
        }
    });
}

/// Where a study's tray is.
pub fn key(study: StudyId) -> String {
    format!("qponder.votes.{}.{study}", session::owner())
}
