//! The jobs that something came of, from the first to the last.

use leptos::prelude::*;
use qponder_shared::job::Job;

use crate::pages::jobs::facts;
use crate::route::{Route, follow_link};
use crate::state::App;

/// A section with a link to each of the jobs; nothing where there are none.
#[component]
pub fn Lineage(title: &'static str, jobs: RwSignal<Vec<Job>>) -> impl IntoView {
    let app = App::get();
    let row = move |job: Job| {
        let to = Route::Job(job.id);
        view! {
            <li>
                <div class="row-main">
                    <p class="row-title"><a href=to.path() on:click=follow_link(app, to)>{job.name.clone()}</a></p>
                    <p class="muted">{facts(&job)}</p>
                </div>
            </li>
        }
    };
    view! {
        <Show when=move || !jobs.with(Vec::is_empty)>
            <section>
                <h2>{title}</h2>
                <ol class="rows" aria-label=title>
                    {move || jobs.get().into_iter().map(row).collect_view()}
                </ol>
            </section>
        </Show>
    }
}
