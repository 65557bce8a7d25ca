//! What is left of a job that is done: its numbers in tables, its files, the model that it trained, and what came
//! before it.

use std::collections::BTreeMap;

use leptos::prelude::*;
use leptos::task::spawn_local;
use qponder_shared::job::{Artifact, Job, JobState};
use qponder_shared::registry::RegisterModel;
use web_sys::SubmitEvent;

use crate::format::{self, sentence};
use crate::parts::field::{Field, FormError};
use crate::parts::lineage::Lineage;
use crate::parts::outcome::OutcomeTables;
use crate::route::{self, Route};
use crate::state::App;
use crate::{registry, studies, training};

/// Everything that came of a job.
#[component]
pub fn JobResult(job: Memo<Option<Job>>) -> impl IntoView {
    let app = App::get();
    let (files, before) = (RwSignal::new(Vec::<Artifact>::new()), RwSignal::new(Vec::<Job>::new()));
    let datasets = RwSignal::new(BTreeMap::<String, String>::new());
    let known = Memo::new(move |_| job.with(|job| job.as_ref().map(|job| (job.id, job.state))));
    Effect::new(move |_| {
        let Some((id, state)) = known.get() else { return };
        spawn_local(async move {
            match training::lineage(id).await {
                Ok(found) => drop(before.try_set(found)),
                Err(failure) => app.report(&failure),
            }
            if !state.is_final() {
                return;
            }
            match training::artifacts(id).await {
                Ok(found) => drop(files.try_set(found)),
                Err(failure) => app.report(&failure),
            }
            if let Ok(page) = studies::datasets().await {
                let named = page.items.into_iter().map(|one| {
                    (format!("dataset:{}", one.id), format!("{}, version {}", one.name, one.version))
                });
                let _ = datasets.try_set(named.collect());
            }
        });
    });
    let names = Signal::derive(move || {
        let mut names = datasets.get();
        before.with(|before| {
            names.extend(before.iter().map(|job| (format!("job:{}", job.id), job.name.clone())));
        });
        names
    });
    let outcome = Memo::new(move |_| job.with(|job| job.as_ref().and_then(|job| job.outcome.clone())));
    let trained = Memo::new(move |_| {
        job.with(|job| {
            let job = job.as_ref().filter(|job| job.state == JobState::Done && job.kind.trains())?;
            Some((job.id, job.name.clone()))
        })
    });
    view! {
        {move || outcome.get().map(|outcome| view! { <OutcomeTables outcome names/> })}
        {move || trained.get().map(|(id, name)| view! { <Register id name/> })}
        <Show when=move || !files.with(Vec::is_empty)>
            <section>
                <h2>"Files"</h2>
                <ul class="rows" aria-label="Files">
                    {move || files.get().into_iter().map(|file| view! { <File file/> }).collect_view()}
                </ul>
            </section>
        </Show>
        <Lineage title="What came before" jobs=before/>
    }
}

#[component]
fn File(file: Artifact) -> impl IntoView {
    let size = format::bytes(file.bytes as f64);
    let hash = file.sha256.get(..12).unwrap_or_default().to_owned();
    view! {
        <li>
            <div class="row-main">
                <p class="row-title">
                    <a href=format!("/api/v1/artifacts/{}", file.id) download=file.name.clone()>{file.name.clone()}</a>
                </p>
                <p class="muted">{format!("{size} · SHA-256 {hash}")}</p>
            </div>
        </li>
    }
}

/// Gives what was trained a name.
#[component]
fn Register(id: qponder_shared::JobId, name: String) -> impl IntoView {
    let app = App::get();
    let allowed = |c: char| if c.is_ascii_alphanumeric() || "-._".contains(c) { c } else { '-' };
    let suggested: String = name.to_lowercase().chars().map(allowed).collect();
    let name = RwSignal::new(suggested.trim_matches(|c| "-.".contains(c)).to_owned());
    let (error, is_busy) = (RwSignal::new(None), RwSignal::new(false));
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        is_busy.set(true);
        error.set(None);
        let body = RegisterModel { job: id, name: name.get_untracked(), card: String::new() };
        spawn_local(async move {
            let outcome = registry::register(&body).await;
            let _ = is_busy.try_set(false);
            match outcome {
                Ok(model) => {
                    app.announcement.set(format!("{} is a model now.", model.name));
                    route::go(app, Route::Model(model.id));
                }
                Err(failure) => drop(error.try_set(Some(sentence(&failure)))),
            }
        });
    };
    view! {
        <section>
            <h2>"The model"</h2>
            <p class="muted">
                "With a name it can be promoted, measured, exported, and be what other trainings start from."
            </p>
            <form class="form is-row" on:submit=submit>
                <Field label="Name of the model" name="model-name" value=name/>
                <button class="button is-primary" disabled=move || is_busy.get()>
                    {move || if is_busy.get() { "Looking at it…" } else { "Keep as a model" }}
                </button>
            </form>
            <FormError message=error/>
        </section>
    }
}
