//! Deleting an image, with a while to think again.
//!
//! The image disappears at once and the server is told when the offer to undo has passed, or when
//! the page goes away before.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use leptos::prelude::*;
use leptos::task::spawn_local;
use qponder_shared::{ImageId, Scope};

use crate::api;
use crate::gallery::Card;
use crate::route::{self, Route};
use crate::state::App;
use crate::toasts::Offer;

/// How long a deletion can be undone.
const SECOND_THOUGHTS: Duration = Duration::from_secs(7);

struct Removed {
    id: ImageId,
    place: Option<(usize, Card)>,
}

thread_local! {
    static REMOVED: RefCell<Vec<Removed>> = const { RefCell::new(Vec::new()) };
}

impl App {
    /// Whether an image waits for its deletion.
    #[must_use]
    pub fn is_removed(self, id: ImageId) -> bool {
        REMOVED.with_borrow(|removed| removed.iter().any(|removed| removed.id == id))
    }

    /// Deletes an image, later.
    pub fn remove(self, id: ImageId, name: &str) {
        if !self.allows(Scope::Assess) || self.is_removed(id) {
            return;
        }
        if self.route.get_untracked() == Route::Image(id) {
            let neighbour = self.gallery.neighbour(id, 1).or_else(|| self.gallery.neighbour(id, -1));
            match neighbour {
                Some(neighbour) => route::replace(self, Route::Image(neighbour)),
                None => route::go(self, Route::Gallery),
            }
        }
        let place = self.gallery.take(id);
        REMOVED.with_borrow_mut(|removed| removed.push(Removed { id, place }));
        let undo = Offer { label: "Undo", act: Arc::new(move || self.undo_removal(id)) };
        self.toasts.offer(format!("Deleted {name}."), false, undo, SECOND_THOUGHTS);
        set_timeout(move || self.commit_removal(id), SECOND_THOUGHTS);
    }

    /// Tells the server of every deletion that waits: the page is going away.
    pub fn commit_removals_on_leave(self) {
        for removed in REMOVED.take() {
            api::delete_image_on_leave(removed.id);
        }
    }

    fn undo_removal(self, id: ImageId) {
        if let Some(removed) = take(id) {
            self.put_back(removed);
        }
    }

    fn commit_removal(self, id: ImageId) {
        let Some(removed) = take(id) else { return };
        spawn_local(async move {
            match api::delete_image(id).await {
                Err(failure) if failure.status() != Some(404) => {
                    self.put_back(removed);
                    self.toasts.complain(format!("The image could not be deleted. {failure}"));
                }
                _ => {}
            }
        });
    }

    fn put_back(self, removed: Removed) {
        if let Some((at, card)) = removed.place {
            self.gallery.put_back(at, card);
        }
    }
}

fn take(id: ImageId) -> Option<Removed> {
    REMOVED.with_borrow_mut(|removed| {
        let at = removed.iter().position(|removed| removed.id == id)?;
        Some(removed.remove(at))
    })
}
