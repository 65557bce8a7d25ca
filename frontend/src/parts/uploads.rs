//! Files on their way, and files that the server refused.

use leptos::prelude::*;

use crate::format;
use crate::parts::icon::{Icon, Shape};
use crate::state::App;
use crate::upload::{Upload, UploadState};

/// Above the gallery while there are any.
#[component]
pub fn UploadList() -> impl IntoView {
    let app = App::get();
    let uploads = app.uploads;
    let heading = move || {
        let all = uploads.all();
        let failed =
            all.iter().filter(|upload| matches!(upload.state.get(), UploadState::Failed { .. })).count();
        match (all.len() - failed, failed) {
            (0, failed) => format!("{} could not be added", format::plural(failed, "file")),
            (left, 0) => format!("Uploading {}", format::plural(left, "file")),
            (left, failed) => format!("Uploading {}, {failed} failed", format::plural(left, "file")),
        }
    };
    view! {
        <Show when=move || !uploads.all().is_empty()>
            <section class="uploads" aria-label="Uploads">
                <h2>{heading}</h2>
                <ul>
                    <For each=move || uploads.all() key=|upload| upload.key let:upload>
                        <Row upload/>
                    </For>
                </ul>
            </section>
        </Show>
    }
}

#[component]
fn Row(upload: Upload) -> impl IntoView {
    let app = App::get();
    let key = upload.key;
    let state = upload.state.clone();
    let is_failed = {
        let state = upload.state.clone();
        move || matches!(state.get(), UploadState::Failed { .. })
    };
    let name = upload.name.clone();
    let size = format::bytes(upload.bytes);
    let content = move || match state.get() {
        UploadState::Waiting => view! { <span class="muted">"Waiting"</span> }.into_any(),
        UploadState::Sending(part) => view! {
            <progress max="1" value=part.to_string() aria-label="Sent"></progress>
            <span class="muted tabular">{format!("{:.0} %", part * 100.0)}</span>
        }
        .into_any(),
        UploadState::Checking => view! { <span class="muted">"Checking…"</span> }.into_any(),
        UploadState::Failed { reason, can_retry } => {
            let upload = upload.clone();
            view! {
                <span class="reason">{reason}</span>
                <Show when=move || can_retry>
                    <button class="button" on:click={
                        let upload = upload.clone();
                        move |_| app.uploads.retry(app, &upload)
                    }>"Retry"</button>
                </Show>
            }
            .into_any()
        }
    };
    view! {
        <li class:is-failed=is_failed>
            <span class="upload-name" title=name.clone()>{name.clone()}</span>
            <span class="muted tabular">{size}</span>
            <span class="upload-state">{content}</span>
            <button class="icon-button" aria-label=format!("Dismiss {name}") on:click=move |_| app.uploads.dismiss(app, key)>
                <Icon shape=Shape::Close/>
            </button>
        </li>
    }
}
