//! How every part of the server is, and what to do where it is not well.

use std::time::Duration;

use leptos::prelude::*;
use leptos::task::spawn_local;
use qponder_shared::operation::{Check, Condition, Health};

use crate::accounts;
use crate::format;
use crate::parts::tabs::Tabs;
use crate::state::App;

/// How often the page looks again.
const EVERY: Duration = Duration::from_secs(10);

/// The page at `/health`.
#[component]
pub fn HealthPage() -> impl IntoView {
    let app = App::get();
    document().set_title("Health · Q-Ponder");
    let health = RwSignal::new(None::<Health>);
    let load = move || {
        spawn_local(async move {
            match accounts::health().await {
                Ok(found) => drop(health.try_set(Some(found))),
                Err(failure) => app.report(&failure),
            }
        });
    };
    load();
    if let Ok(handle) = set_interval_with_handle(load, EVERY) {
        on_cleanup(move || handle.clear());
    }
    let summary = move || {
        health.get().map(|health| {
            let words = match health.condition() {
                Condition::Ok => "All is well.",
                Condition::Attention => "It works; something wants your attention.",
                Condition::Broken => "Something does not work.",
            };
            format!(
                "{words} Version {}, running since {} ({}).",
                health.version,
                format::time(&health.started_at),
                format::duration(health.uptime * 1000)
            )
        })
    };
    view! {
        <div class="page">
            <Tabs/>
            <h1>"Health"</h1>
            <p class="muted" role="status">{summary}</p>
            <ul class="rows" aria-label="Parts of the server">
                {move || health.get().map(|health| health.checks.into_iter().map(|check| view! { <CheckRow check/> }).collect_view())}
            </ul>
            <p class="muted">"This page looks again every ten seconds. "<code>"/metrics"</code>" has the numbers for Prometheus."</p>
        </div>
    }
}

#[component]
fn CheckRow(check: Check) -> impl IntoView {
    let class = match check.condition {
        Condition::Ok => "condition is-ok",
        Condition::Attention => "condition is-attention",
        Condition::Broken => "condition is-broken",
    };
    view! {
        <li>
            <span class=class>{check.condition.title()}</span>
            <div class="row-main">
                <p class="row-title">{check.name}</p>
                <p class="muted">{format::sentence(&check.detail)}</p>
                {check.advice.map(|advice| view! { <p>{format::sentence(&advice)}</p> })}
            </div>
        </li>
    }
}
