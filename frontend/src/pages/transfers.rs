//! Imports and exports: what runs, what came of what ran, and forms for more.

use std::time::Duration;

use leptos::leptos_dom::helpers::IntervalHandle;
use leptos::prelude::*;
use leptos::task::spawn_local;
use qponder_shared::transfer::{Direction, Problem, Report, Transfer, TransferState};

use crate::format::{self, plural};
use crate::parts::export_form::ExportForm;
use crate::parts::import_form::ImportForm;
use crate::state::App;
use crate::transferring::{self, file_url};

/// How often what runs is asked for.
const EVERY: Duration = Duration::from_millis(700);
/// Problems that are shown at first.
const SHOWN: usize = 5;

/// The page at `/transfers`.
#[component]
pub fn TransfersPage() -> impl IntoView {
    let app = App::get();
    document().set_title("Import and export · Q-Ponder");
    let list = RwSignal::new(None::<Vec<RwSignal<Transfer>>>);
    let next = RwSignal::new(None::<String>);
    let load = move || {
        spawn_local(async move {
            match transferring::transfers(next.get_untracked().as_deref()).await {
                Ok(page) => {
                    let some = page.items.into_iter().map(RwSignal::new);
                    list.try_update(|list| list.get_or_insert_default().extend(some));
                    let _ = next.try_set(page.next);
                }
                Err(failure) => app.report(&failure),
            }
        });
    };
    load();
    watch(app, list);
    let begun = move |transfer: Transfer| {
        app.announcement.set(format!("Begun: {}.", transfer.title));
        list.update(|list| list.get_or_insert_default().insert(0, RwSignal::new(transfer)));
    };
    let is_empty = move || list.with(|list| list.as_ref().is_some_and(Vec::is_empty));
    view! {
        <div class="page">
            <h1>"Import and export"</h1>
            <p class="muted">
                "It goes on in the background, also when you leave this page. What was exported stays on record, with
                what was asked for and the hash of the file."
            </p>
            <Show when=is_empty><p class="muted">"Nothing was imported or exported yet."</p></Show>
            <ul class="rows" aria-label="Imports and exports">
                <For each=move || list.get().unwrap_or_default() key=|one| one.with_untracked(|one| one.id) let:one>
                    <TransferRow transfer=one/>
                </For>
            </ul>
            <Show when=move || next.with(Option::is_some)>
                <button class="button more" on:click=move |_| load()>"Show more"</button>
            </Show>
            <ExportForm begun/>
            <ImportForm begun/>
        </div>
    }
}

/// Asks for what runs until nothing does.
fn watch(app: App, list: RwSignal<Option<Vec<RwSignal<Transfer>>>>) {
    let is_asking = StoredValue::new(false);
    let ask = move || {
        let open: Vec<RwSignal<Transfer>> = list.with_untracked(|list| {
            let is_open = |one: &&RwSignal<Transfer>| one.with_untracked(|one| !one.state.is_final());
            list.iter().flatten().filter(is_open).copied().collect()
        });
        if open.is_empty() || is_asking.get_value() {
            return;
        }
        is_asking.set_value(true);
        spawn_local(async move {
            for one in open {
                let id = one.with_untracked(|one| one.id);
                match transferring::transfer(id).await {
                    Ok(now) => {
                        if now.state.is_final() {
                            app.announcement.set(format!("{}: {}.", now.title, now.state.name()));
                        }
                        let _ = one.try_set(now);
                    }
                    // It is asked for again; the page's own notice says that the server is away.
                    Err(_) => app.reach(),
                }
            }
            let _ = is_asking.try_set_value(false);
        });
    };
    let handle: Result<IntervalHandle, _> = set_interval_with_handle(ask, EVERY);
    if let Ok(handle) = handle {
        on_cleanup(move || handle.clear());
    }
}

#[component]
fn TransferRow(transfer: RwSignal<Transfer>) -> impl IntoView {
    let app = App::get();
    let id = transfer.with_untracked(|one| one.id);
    let is_removing = RwSignal::new(false);
    let cancel = move |_| {
        is_removing.set(true);
        spawn_local(async move {
            match transferring::cancel(id).await {
                Ok(now) => drop(transfer.try_set(now)),
                Err(failure) => app.report(&failure),
            }
            let _ = is_removing.try_set(false);
        });
    };
    let title = move || {
        transfer.with(|one| {
            let way = match one.direction {
                Direction::Import => "Import",
                Direction::Export => "Export",
            };
            format!("{way}: {}", one.title)
        })
    };
    let is_open = move || transfer.with(|one| !one.state.is_final());
    view! {
        <li class="transfer">
            <div class="row-main">
                <p class="row-title">{title}</p>
                <p class="muted">{move || transfer.with(facts)}</p>
                <Show when=is_open>{move || transfer.with(progress)}</Show>
                {move || transfer.with(|one| one.error.clone()).map(|error| {
                    view! { <p class="form-error">{format::sentence(&error)}</p> }
                })}
                {move || transfer.with(|one| one.report.clone()).map(|report| view! { <ReportView report/> })}
            </div>
            <div class="row-actions">
                <Show when=move || transfer.with(|one| one.available)>
                    <a class="button is-primary" href=file_url(id) download=move || transfer.with(|one| one.file_name.clone())>
                        "Download"
                    </a>
                    <button class="button" disabled=move || is_removing.get() on:click=cancel
                        title="The record stays">"Remove file"</button>
                </Show>
                <Show when=is_open>
                    <button class="button" disabled=move || is_removing.get() on:click=cancel>"Cancel"</button>
                </Show>
            </div>
        </li>
    }
}

/// A line under the title.
fn facts(one: &Transfer) -> String {
    let mut facts = vec![one.state.name().to_owned(), one.file_name.clone()];
    facts.extend(one.bytes.map(|bytes| format::bytes(bytes as f64)));
    facts.extend([format::time(&one.created_at), format!("by {}", one.created_by)]);
    let sha256 = one.sha256.as_deref().and_then(|sha256| sha256.get(..12));
    facts.extend(sha256.map(|sha256| format!("SHA-256 {sha256}")));
    facts.join(" · ")
}

fn progress(one: &Transfer) -> impl IntoView + use<> {
    let label = match (one.state, one.total) {
        (TransferState::Queued, _) => "Waiting".to_owned(),
        (_, 0) => "Reading".to_owned(),
        (_, total) => format!("{} of {}", format::whole(one.done), format::whole(total)),
    };
    // Without a value the bar says that it is not known how long it takes.
    let share = one.share().map(|share| share.to_string());
    view! {
        <p class="transfer-progress">
            <progress max="1" value=share aria-label="Done"></progress>
            <span class="muted tabular">{label}</span>
        </p>
    }
}

/// What an import brought.
#[component]
fn ReportView(report: Report) -> impl IntoView {
    let mut facts = vec![plural(report.lines as usize, "line")];
    if report.images > 0 {
        facts.push(plural(report.images as usize, "new image"));
    }
    if report.repeated > 0 {
        facts.push(format!("{} here already", report.repeated));
    }
    if report.refused > 0 {
        facts.push(format!("{} with problems", report.refused));
    }
    let is_all = RwSignal::new(false);
    let (problems, count) = (StoredValue::new(report.problems), report.refused as usize);
    let shown = move || {
        let most = if is_all.get() { usize::MAX } else { SHOWN };
        problems.with_value(|problems| problems.iter().take(most).cloned().collect::<Vec<Problem>>())
    };
    let is_more = problems.with_value(Vec::len) > SHOWN;
    let listed = problems.with_value(Vec::len);
    view! {
        <p class="muted">{facts.join(" · ")}</p>
        {report.scale.map(|scale| view! { <p class="muted">{format!("Scale: {scale}.")}</p> })}
        <Show when=move || count != 0>
            <ul class="problems">
                {move || shown().into_iter().map(|one| view! {
                    <li><span class="muted">{one.place}</span>": "{one.problem}</li>
                }).collect_view()}
            </ul>
            <Show when=move || is_more && !is_all.get()>
                <button class="button" on:click=move |_| is_all.set(true)>
                    {if listed < count { format!("Show the first {listed} of {count}") } else { format!("Show all {count}") }}
                </button>
            </Show>
        </Show>
    }
}
