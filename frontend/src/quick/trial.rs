//! A mark in the tab's storage while the graphics card is tried. A page that finds one did not get past that the
//! last time: the card's driver may have ended the tab.

use std::cell::Cell;

use crate::settings;

/// As `settings` stores it.
const MARK: &str = "qponder.quick-trial";

thread_local! {
    /// Whether this page left the mark, and not the one before it in this tab.
    static IS_OURS: Cell<bool> = const { Cell::new(false) };
}

/// Whether a trial in this tab has not ended; it is told once.
pub fn was_cut_off() -> bool {
    let Some(storage) = settings::tab_storage() else { return false };
    let is_there = storage.get_item(MARK).ok().flatten().is_some();
    let _ = storage.remove_item(MARK);
    IS_OURS.set(false);
    is_there
}

/// Leaves the mark.
pub fn begin() {
    if let Some(storage) = settings::tab_storage() {
        let _ = storage.set_item(MARK, "1");
        IS_OURS.set(true);
    }
}

/// Removes the mark: the card did what it was asked, or the page is left in peace.
pub fn end() {
    if IS_OURS.replace(false)
        && let Some(storage) = settings::tab_storage()
    {
        let _ = storage.remove_item(MARK);
    }
}
