//! A mark in the browser's storage while the engine is being started and scores its first photo. A page that finds
//! one did not get that far the last time: the graphics card's driver may have ended the tab.

use crate::settings;

/// As `settings` stores it.
const MARK: &str = "qponder.quick-start";

/// Leaves the mark; whether there was one.
pub fn begin() -> bool {
    let Some(storage) = settings::storage() else { return false };
    let had_one = storage.get_item(MARK).ok().flatten().is_some();
    let _ = storage.set_item(MARK, "1");
    had_one
}

/// Removes the mark: the engine runs, or it stopped and the page knows.
pub fn end() {
    if let Some(storage) = settings::storage() {
        let _ = storage.remove_item(MARK);
    }
}
