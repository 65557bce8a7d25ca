//! Q-Ponder's page: drop photographs, watch the model reason, see the score.
//!
//! Client-side rendered. What can be decided without a browser (reading answers, joining streamed
//! pieces, viewer geometry) lives in `qponder-shared`, where it is tested.

mod accounts;
mod annotating;
mod answers;
mod api;
mod app;
mod clock;
mod comparing;
mod dropped;
mod format;
mod gallery;
mod keys;
mod pages;
mod parts;
mod quick;
mod registry;
mod removal;
mod route;
mod session;
mod settings;
mod state;
mod stream;
mod studies;
mod toasts;
mod training;
mod transferring;
mod upload;

use leptos::prelude::*;
use wasm_bindgen::JsCast as _;

fn main() {
    console_error_panic_hook::set_once();
    // Without the element there is no page to show anything in, not even an error.
    let Some(root) = document().get_element_by_id("app") else { return };
    root.set_text_content(None);
    if let Ok(root) = root.dyn_into() {
        mount_to(root, app::App).forget();
    }
}
