//! Photos can be dropped anywhere: the page shows so while they hover over it.

use leptos::prelude::*;
use leptos::task::spawn_local;
use wasm_bindgen::JsCast as _;
use web_sys::DragEvent;

use crate::dropped::{files, listed, photos, with_folders};
use crate::state::App;

/// Listens for drops on the whole window.
#[component]
pub fn DropTarget() -> impl IntoView {
    let app = App::get();
    // Entering a child comes before leaving its parent: only the count says whether the pointer left.
    let depth = RwSignal::new(0_i32);
    let on = move |name: &'static str, act: fn(App, RwSignal<i32>, &DragEvent)| {
        // These listeners live as long as the page: their handles are not kept.
        window_event_listener_untyped(name, move |event| {
            if let Some(event) = event.dyn_ref::<DragEvent>()
                && has_files(event)
            {
                event.prevent_default();
                act(app, depth, event);
            }
        });
    };
    on("dragenter", |_, depth, _| depth.update(|depth| *depth += 1));
    on("dragleave", |_, depth, _| depth.update(|depth| *depth = (*depth - 1).max(0)));
    on("dragover", |_, _, event| {
        if let Some(data) = event.data_transfer() {
            data.set_drop_effect("copy");
        }
    });
    on("drop", |app, depth, event| {
        depth.set(0);
        let Some(data) = event.data_transfer() else { return };
        if let Some(entries) = with_folders(&data) {
            return spawn_local(async move {
                let photos = photos(app.toasts, files(entries).await);
                if !photos.is_empty() {
                    app.take(photos);
                }
            });
        }
        if let Some(files) = data.files() {
            app.take(listed(&files));
        }
    });
    view! {
        <div class="drop-target" class:is-over=move || depth.get() != 0 aria-hidden="true">
            <p>"Drop to assess"</p>
        </div>
    }
}

/// Dragged text or links are not ours.
fn has_files(event: &DragEvent) -> bool {
    event.data_transfer().is_some_and(|data| data.types().includes(&"Files".into(), 0))
}
