//! An address that names nothing.

use leptos::prelude::*;

use crate::route::{Route, follow_link};
use crate::state::App;

/// Says that there is no such thing, and leads back.
#[component]
pub fn UnknownPage(
    /// What was looked for.
    what: &'static str,
) -> impl IntoView {
    let app = App::get();
    view! {
        <section class="message">
            <h1>{format!("There is no such {what}")}</h1>
            <p>"It may have been deleted, or the address is incomplete."</p>
            <a class="button" href="/" on:click=follow_link(app, Route::Gallery)>"To the gallery"</a>
        </section>
    }
}
