//! The audit log: who changed what, newest first, with filters that stand in the address.

use leptos::prelude::*;
use leptos::task::spawn_local;
use qponder_shared::account::AuditEntry;
use wasm_bindgen::JsValue;
use web_sys::{HtmlInputElement, HtmlSelectElement, SubmitEvent, UrlSearchParams};

use crate::accounts;
use crate::format;
use crate::parts::tabs::Tabs;
use crate::state::App;

/// Nouns of actions, and what people call them.
const NOUNS: [(&str, &str); 16] = [
    ("", "everything"),
    ("annotation", "annotations"),
    ("assessment", "assessments"),
    ("dataset", "datasets"),
    ("export", "exports"),
    ("image", "images"),
    ("import", "imports"),
    ("invite", "invites"),
    ("item", "revealed answers"),
    ("label", "labels"),
    ("session", "sessions"),
    ("storage", "storage"),
    ("study", "studies"),
    ("token", "tokens"),
    ("user", "users"),
    ("vote", "votes"),
];

/// The filters, by their names in the address.
#[derive(Clone, Copy)]
struct Filters {
    noun: RwSignal<String>,
    actor: RwSignal<String>,
    since: RwSignal<String>,
    until: RwSignal<String>,
    object: RwSignal<String>,
}

impl Filters {
    fn of_address() -> Self {
        let query = location().search().unwrap_or_default();
        let query = UrlSearchParams::new_with_str(&query).ok();
        let read =
            |name: &str| RwSignal::new(query.as_ref().and_then(|query| query.get(name)).unwrap_or_default());
        Self {
            noun: read("noun"),
            actor: read("actor"),
            since: read("since"),
            until: read("until"),
            object: read("object"),
        }
    }

    fn all(self) -> [(&'static str, RwSignal<String>); 5] {
        [
            ("noun", self.noun),
            ("actor", self.actor),
            ("since", self.since),
            ("until", self.until),
            ("object", self.object),
        ]
    }

    /// As the address and the server have them; empty without any.
    fn query(self) -> String {
        let set = self.all().into_iter().filter_map(|(name, value)| {
            let value = value.get_untracked();
            let value = value.trim();
            (!value.is_empty()).then(|| format!("{name}={}", js_sys::encode_uri_component(value)))
        });
        set.collect::<Vec<_>>().join("&")
    }

    fn clear(self) {
        self.all().into_iter().for_each(|(_, value)| value.set(String::new()));
    }
}

/// The page at `/audit`.
#[component]
pub fn AuditPage() -> impl IntoView {
    let app = App::get();
    document().set_title("Audit log · Q-Ponder");
    let filters = Filters::of_address();
    let lines = RwSignal::new(None::<Vec<AuditEntry>>);
    let next = RwSignal::new(None::<String>);
    let is_busy = RwSignal::new(false);
    let load = move |from: Option<String>| {
        is_busy.set(true);
        let query = filters.query();
        spawn_local(async move {
            match accounts::audit(&query, from.as_deref()).await {
                // An answer to other filters than those of now is of no use.
                Ok(page) if query == filters.query() => {
                    lines.try_update(|lines| {
                        let lines = lines.get_or_insert_default();
                        if from.is_none() {
                            lines.clear();
                        }
                        lines.extend(page.items);
                    });
                    let _ = next.try_set(page.next);
                }
                Ok(_) => {}
                Err(failure) => app.report(&failure),
            }
            let _ = is_busy.try_set(false);
        });
    };
    load(None);
    let apply = move || {
        let query = filters.query();
        let address = if query.is_empty() { "/audit".to_owned() } else { format!("/audit?{query}") };
        if let Ok(history) = window().history() {
            let _ = history.replace_state_with_url(&JsValue::NULL, "", Some(&address));
        }
        load(None);
    };
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        apply();
    };
    let clear = move |_| {
        filters.clear();
        apply();
    };
    let is_empty = move || lines.with(|lines| lines.as_ref().is_some_and(Vec::is_empty));
    let input = |label: &'static str, name: &'static str, kind: &'static str, value: RwSignal<String>| {
        view! {
            <div class="field">
                <label for=name>{label}</label>
                <input id=name type=kind autocomplete="off" prop:value=move || value.get()
                    on:input=move |event| value.set(event_target::<HtmlInputElement>(&event).value())/>
            </div>
        }
    };
    view! {
        <div class="page is-wide">
            <Tabs/>
            <h1>"Audit log"</h1>
            <p class="muted">"Everything that changed data. Lines are never changed or deleted."</p>
            <form class="form is-row" on:submit=submit aria-label="Filters">
                <div class="field">
                    <label for="audit-noun">"What"</label>
                    <select id="audit-noun" prop:value=move || filters.noun.get()
                        on:change=move |event| {
                            filters.noun.set(event_target::<HtmlSelectElement>(&event).value());
                            apply();
                        }>
                        {NOUNS.map(|(name, title)| view! { <option value=name>{title}</option> })}
                    </select>
                </div>
                {input("Who (address)", "audit-actor", "text", filters.actor)}
                {input("From day (UTC)", "audit-since", "date", filters.since)}
                {input("To day (UTC)", "audit-until", "date", filters.until)}
                {input("Object", "audit-object", "text", filters.object)}
                <button class="button is-primary">"Show"</button>
                <button class="button" type="button" on:click=clear>"Clear"</button>
            </form>
            <Show when=is_empty><p>"No line has all of that."</p></Show>
            <table class="log">
                <thead><tr><th>"When"</th><th>"Who"</th><th>"What"</th><th>"Details"</th></tr></thead>
                <tbody>
                    <For each=move || lines.get().unwrap_or_default() key=|line| line.id let:line>
                        <Line line/>
                    </For>
                </tbody>
            </table>
            <Show when=move || next.with(Option::is_some)>
                <button class="button more" disabled=move || is_busy.get() on:click=move |_| load(next.get_untracked())>
                    {move || if is_busy.get() { "Loading…" } else { "Show more" }}
                </button>
            </Show>
        </div>
    }
}

#[component]
fn Line(line: AuditEntry) -> impl IntoView {
    let object = line.object.clone().map(|id| {
        let history = format!("/audit?object={id}");
        let page = page_of(&line.action, &id);
        view! {
            <span class="log-ids">
                "Object "{id}" · "<a href=history>"all of its lines"</a>
                {page.map(|page| view! { " · "<a href=page>"open"</a> })}
            </span>
        }
    });
    let request = line.request_id.as_ref().map(|id| format!("Request {id}"));
    view! {
        <tr>
            <td class="tabular">{format::time(&line.at)}</td>
            <td>{line.actor.clone()}<span class="muted">{line.via.clone()}</span></td>
            <td><code>{line.action.clone()}</code></td>
            <td>{line.detail.clone()}{object}<span class="log-ids">{request}</span></td>
        </tr>
    }
}

/// The page of an object, where it has one.
fn page_of(action: &str, id: &str) -> Option<String> {
    match action {
        "image.delete" => None,
        _ if action.starts_with("image.") => Some(format!("/images/{id}")),
        _ if action.starts_with("study.") || action == "vote.import" => Some(format!("/studies/{id}")),
        _ => None,
    }
}
