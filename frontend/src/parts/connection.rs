//! The notice that the server does not answer.

use leptos::prelude::*;

use crate::route::Route;
use crate::state::{App, Link};

/// Shown only while the server is away.
#[component]
pub fn Connection() -> impl IntoView {
    let app = App::get();
    // Quick score does without.
    let is_down = Memo::new(move |_| {
        matches!(app.link.get(), Link::Down { .. }) && app.route.get() != Route::QuickScore
    });
    let countdown = move || match app.link.get() {
        Link::Down { retry_in } => format!("Trying again in {retry_in} s."),
        Link::Connecting | Link::Up => String::new(),
    };
    view! {
        <Show when=move || is_down.get()>
            <div class="notice">
                <p role="alert"><strong>"Q-Ponder’s server can’t be reached."</strong>" Is it running?"</p>
                <p class="muted tabular">{countdown}</p>
                <button class="button" on:click=move |_| app.reach_now()>"Try now"</button>
            </div>
        </Show>
    }
}
