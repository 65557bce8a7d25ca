//! Where the bytes are: free space, tables, files, and files that nothing names.

use std::time::Duration;

use leptos::prelude::*;
use leptos::task::spawn_local;
use qponder_shared::operation::{FileCount, Storage};

use crate::accounts;
use crate::format::{self, plural};
use crate::parts::tabs::Tabs;
use crate::state::App;

/// How often a count under way is asked for.
const EVERY: Duration = Duration::from_secs(1);
/// Tables that are shown.
const TABLES: usize = 12;

/// The page at `/storage`.
#[component]
pub fn StoragePage() -> impl IntoView {
    let app = App::get();
    document().set_title("Storage · Q-Ponder");
    let storage = RwSignal::new(None::<Storage>);
    let load = move || {
        spawn_local(async move {
            match accounts::storage().await {
                Ok(found) => drop(storage.try_set(Some(found))),
                Err(failure) => app.report(&failure),
            }
        });
    };
    load();
    let is_counting = move || {
        let files = storage.with(|storage| storage.as_ref().and_then(|storage| storage.files.clone()));
        files.is_some_and(|files| files.finished_at.is_none())
    };
    let handle = set_interval_with_handle(
        move || {
            if untrack(is_counting) {
                load();
            }
        },
        EVERY,
    );
    if let Ok(handle) = handle {
        on_cleanup(move || handle.clear());
    }
    let count = move |_| {
        spawn_local(async move {
            match accounts::count_files().await {
                Ok(()) => load(),
                Err(failure) => app.report(&failure),
            }
        });
    };
    let remove = move |_| {
        spawn_local(async move {
            match accounts::remove_orphans().await {
                Ok(removed) => {
                    let (files, bytes) = (removed.files as usize, format::bytes(removed.bytes as f64));
                    app.toasts.say(format!("{} removed, {bytes}.", plural(files, "file")));
                    load();
                }
                Err(failure) => app.report(&failure),
            }
        });
    };
    view! {
        <div class="page">
            <Tabs/>
            <h1>"Storage"</h1>
            {move || storage.get().map(|storage| view! { <Disk storage=storage.clone()/><Tables storage/> })}
            <section aria-labelledby="files">
                <h2 id="files">"Files"</h2>
                <p class="muted">
                    "Photographs as they came, small versions and renderings of them, and exports. Counting reads the
                    name of every file, so it happens when you ask for it."
                </p>
                {move || storage.with(|storage| storage.as_ref().and_then(|storage| storage.files.clone()))
                    .map(|files| view! { <Files files/> })}
                <div class="row-actions">
                    <button class="button" disabled=is_counting on:click=count>
                        {move || if is_counting() { "Counting…" } else { "Count the files" }}
                    </button>
                    <Show when=move || !is_counting() && storage.with(has_orphans)>
                        <button class="button" on:click=remove>"Remove files that nothing names"</button>
                    </Show>
                </div>
            </section>
        </div>
    }
}

fn has_orphans(storage: &Option<Storage>) -> bool {
    let files = storage.as_ref().and_then(|storage| storage.files.as_ref());
    files.is_some_and(|files| files.orphans.files > 0)
}

#[component]
fn Disk(storage: Storage) -> impl IntoView {
    let disk = storage.disk;
    let used = 1.0 - disk.free as f64 / (disk.total as f64).max(1.0);
    view! {
        <section aria-labelledby="disk">
            <h2 id="disk">"Disk"</h2>
            <p class="transfer-progress">
                <progress max="1" value=used.to_string() aria-label="Used"></progress>
                <span class="tabular">{format!("{} of {} are free",
                    format::bytes(disk.free as f64), format::bytes(disk.total as f64))}</span>
            </p>
        </section>
    }
}

#[component]
fn Tables(storage: Storage) -> impl IntoView {
    let rows = storage.tables.into_iter().take(TABLES).map(|table| {
        view! {
            <tr>
                <td><code>{table.name}</code></td>
                <td class="tabular">{format::bytes(table.bytes as f64)}</td>
                <td class="tabular">{table.rows.map_or_else(|| "–".to_owned(), format::whole)}</td>
            </tr>
        }
    });
    view! {
        <section aria-labelledby="tables">
            <h2 id="tables">"Database"</h2>
            <p class="muted">{format!("{} in all. Rows are estimates.", format::bytes(storage.database_bytes as f64))}</p>
            <table class="log">
                <thead><tr><th>"Table"</th><th>"Size with indexes"</th><th>"Rows, about"</th></tr></thead>
                <tbody>{rows.collect_view()}</tbody>
            </table>
        </section>
    }
}

#[component]
fn Files(files: FileCount) -> impl IntoView {
    let when = match &files.finished_at {
        Some(at) => format!("Counted {}.", format::time(at)),
        None => "Counting now.".to_owned(),
    };
    let rows = files.kinds.into_iter().map(|kind| {
        view! {
            <tr>
                <td>{format::capitalised(&kind.kind)}</td>
                <td class="tabular">{format::whole(kind.files)}</td>
                <td class="tabular">{format::bytes(kind.bytes as f64)}</td>
            </tr>
        }
    });
    let orphans = files.orphans;
    view! {
        <p class="muted">{when}</p>
        {files.error.map(|error| view! { <p class="form-error">{format::sentence(&error)}</p> })}
        <table class="log">
            <thead><tr><th>"What"</th><th>"Files"</th><th>"Size"</th></tr></thead>
            <tbody>
                {rows.collect_view()}
                <tr>
                    <td>"Files that nothing names"</td>
                    <td class="tabular">{format::whole(orphans.files)}</td>
                    <td class="tabular">{format::bytes(orphans.bytes as f64)}</td>
                </tr>
            </tbody>
        </table>
    }
}
