//! The way between the pages about accounts.

use leptos::prelude::*;
use qponder_shared::Scope;

use crate::route::{Route, follow_link};
use crate::state::App;

/// Account, and for administrators users, the audit log, storage and health.
#[component]
pub fn Tabs() -> impl IntoView {
    let app = App::get();
    let tab = move |to: Route, label: &'static str| {
        let current = move || (app.route.get() == to).then_some("page");
        view! { <a href=to.path() aria-current=current on:click=follow_link(app, to)>{label}</a> }
    };
    view! {
        <nav class="tabs" aria-label="Accounts">
            {tab(Route::Account, "Account")}
            <Show when=move || app.session.may(Scope::Admin)>
                {tab(Route::Users, "Users")}
                {tab(Route::Audit, "Audit log")}
                {tab(Route::Storage, "Storage")}
                {tab(Route::Health, "Health")}
            </Show>
        </nav>
    }
}
