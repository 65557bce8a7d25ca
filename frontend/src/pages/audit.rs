//! The audit log: who changed what, newest first.

use leptos::prelude::*;
use leptos::task::spawn_local;
use qponder_shared::account::AuditEntry;

use crate::accounts;
use crate::format;
use crate::parts::tabs::Tabs;
use crate::state::App;

/// The page at `/audit`.
#[component]
pub fn AuditPage() -> impl IntoView {
    let app = App::get();
    document().set_title("Audit log · Q-Ponder");
    let lines = RwSignal::new(Vec::<AuditEntry>::new());
    let next = RwSignal::new(None::<String>);
    let is_busy = RwSignal::new(false);
    let load = move || {
        is_busy.set(true);
        spawn_local(async move {
            match accounts::audit(next.get_untracked().as_deref()).await {
                Ok(page) => {
                    lines.try_update(|lines| lines.extend(page.items));
                    let _ = next.try_set(page.next);
                }
                Err(failure) => app.report(&failure),
            }
            let _ = is_busy.try_set(false);
        });
    };
    load();
    view! {
        <div class="page is-wide">
            <Tabs/>
            <h1>"Audit log"</h1>
            <p class="muted">"Everything that changed data. Lines are never changed or deleted."</p>
            <table class="log">
                <thead><tr><th>"When"</th><th>"Who"</th><th>"What"</th><th>"Details"</th></tr></thead>
                <tbody>
                    <For each=move || lines.get() key=|line| line.id let:line>
                        <Line line/>
                    </For>
                </tbody>
            </table>
            <Show when=move || next.with(Option::is_some)>
                <button class="button more" disabled=move || is_busy.get() on:click=move |_| load()>
                    {move || if is_busy.get() { "Loading…" } else { "Show more" }}
                </button>
            </Show>
        </div>
    }
}

#[component]
fn Line(line: AuditEntry) -> impl IntoView {
    let id = |label: &str, id: &Option<String>| id.as_ref().map(|id| format!("{label} {id}"));
    let ids = [id("Object", &line.object), id("Request", &line.request_id)];
    let ids = ids.into_iter().flatten().collect::<Vec<_>>().join("\n");
    view! {
        <tr>
            <td class="tabular">{format::time(&line.at)}</td>
            <td>{line.actor.clone()}<span class="muted">{line.via.clone()}</span></td>
            <td><code>{line.action.clone()}</code></td>
            <td>{line.detail.clone()}<span class="log-ids">{ids}</span></td>
        </tr>
    }
}
