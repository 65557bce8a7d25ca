//! Training: the queue, who works on it, and what was trained.

use std::time::Duration;

use leptos::prelude::*;
use leptos::task::spawn_local;
use qponder_shared::job::{Job, JobState, Worker};
use web_sys::HtmlSelectElement;

use crate::format;
use crate::parts::job_form::JobForm;
use crate::route::{self, Route, follow_link};
use crate::state::App;
use crate::training;

/// How often the page looks again.
const EVERY: Duration = Duration::from_secs(2);

/// The page at `/training`.
#[component]
pub fn JobsPage() -> impl IntoView {
    let app = App::get();
    document().set_title("Training · Q-Ponder");
    let list = RwSignal::new(None::<Vec<Job>>);
    let next = RwSignal::new(None::<String>);
    let filter = RwSignal::new(None::<JobState>);
    let workers = RwSignal::new(None::<Vec<Worker>>);
    // The first page again and again; pages after it stay as they were read.
    let refresh = move || {
        let state = filter.get_untracked();
        spawn_local(async move {
            let (first, there) = (training::jobs(state, None).await, training::workers().await);
            if filter.try_get_untracked() != Some(state) {
                return;
            }
            match (first, there) {
                (Ok(first), Ok(there)) => {
                    let is_begun = list.with_untracked(Option::is_some);
                    let _ = list.try_update(|list| {
                        let old = list.take().unwrap_or_default();
                        let is_older = |job: &Job| first.items.last().is_some_and(|last| job.id < last.id);
                        let older: Vec<Job> = old.into_iter().filter(is_older).collect();
                        *list = Some(first.items.into_iter().chain(older).collect());
                    });
                    if !is_begun {
                        let _ = next.try_set(first.next);
                    }
                    let _ = workers.try_set(Some(there));
                }
                (Err(failure), _) | (_, Err(failure)) => match failure.status() {
                    Some(_) => app.report(&failure),
                    None => app.reach(),
                },
            }
        });
    };
    refresh();
    if let Ok(handle) = set_interval_with_handle(refresh, EVERY) {
        on_cleanup(move || handle.clear());
    }
    let more = move |_| {
        let state = filter.get_untracked();
        spawn_local(async move {
            match training::jobs(state, next.get_untracked().as_deref()).await {
                Ok(page) => {
                    let _ = list.try_update(|list| list.get_or_insert_default().extend(page.items));
                    let _ = next.try_set(page.next);
                }
                Err(failure) => app.report(&failure),
            }
        });
    };
    let choose = move |event: web_sys::Event| {
        filter.set(JobState::of_name(&event_target::<HtmlSelectElement>(&event).value()));
        list.set(None);
        next.set(None);
        refresh();
    };
    let done = Callback::new(move |job: Job| {
        app.announcement.set(format!("Queued: {}.", job.name));
        route::go(app, Route::Job(job.id));
    });
    let is_empty = move || list.with(|list| list.as_ref().is_some_and(Vec::is_empty));
    view! {
        <div class="page">
            <div class="page-head">
                <h1>"Training"</h1>
                <div class="field">
                    <label class="sr" for="job-state">"Which"</label>
                    <select id="job-state" on:change=choose>
                        <option value="">"All"</option>
                        {JobState::ALL.iter().map(|state| view! { <option value=state.name()>{state.name()}</option> }).collect_view()}
                    </select>
                </div>
            </div>
            <p class="muted">{move || workers.get().map(|workers| describe(&workers))}</p>
            <Show when=is_empty><p class="muted">"There is nothing here yet."</p></Show>
            <ul class="rows" aria-label="Trainings">
                <For each=move || list.get().unwrap_or_default() key=|job| format!("{job:?}") let:job>
                    <JobRow job/>
                </For>
            </ul>
            <Show when=move || next.with(Option::is_some)>
                <button class="button more" on:click=more>"Show more"</button>
            </Show>
            <JobForm jobs=Signal::derive(move || list.get().unwrap_or_default()) done/>
        </div>
    }
}

/// Who is there.
fn describe(workers: &[Worker]) -> String {
    if workers.is_empty() {
        return "No worker is there, so nothing is trained: start the server without --no-worker, or `qponder worker`."
            .to_owned();
    }
    let each = |worker: &Worker| {
        let what = if worker.job.is_some() { "training" } else { "free" };
        format!("{} on {} ({what})", worker.name, worker.device)
    };
    let all: Vec<String> = workers.iter().map(each).collect();
    format!("{}: {}.", format::plural(workers.len(), "worker"), all.join(", "))
}

#[component]
fn JobRow(job: Job) -> impl IntoView {
    let app = App::get();
    let to = Route::Job(job.id);
    view! {
        <li>
            <div class="row-main">
                <p class="row-title"><a href=to.path() on:click=follow_link(app, to)>{job.name.clone()}</a></p>
                <p class="muted">{facts(&job)}</p>
                <Progress job=job/>
            </div>
        </li>
    }
}

/// A line under the name.
pub fn facts(job: &Job) -> String {
    let state = match (job.state, job.is_cancelling, &job.run_after) {
        (JobState::Running, true, _) => "is being cancelled".to_owned(),
        (JobState::Queued, _, Some(at)) => format!("failed; tried again at {}", format::time(at)),
        (state, ..) => state.name().to_owned(),
    };
    let mut facts = vec![state, job.kind.name().to_uppercase()];
    facts.extend(job.worker.as_ref().map(|worker| format!("on {worker}")));
    facts.extend([format::time(&job.created_at), format!("by {}", job.created_by)]);
    facts.join(" · ")
}

/// How far a job is, while it is not done.
#[component]
pub fn Progress(job: Job) -> impl IntoView {
    let is_shown = job.steps > 0 && job.state != JobState::Done;
    let share = job.step as f64 / job.steps.max(1) as f64;
    let label = format!("{} of {} steps", format::whole(job.step), format::whole(job.steps));
    is_shown.then(|| {
        view! {
            <p class="transfer-progress">
                <progress max="1" value=share.to_string() aria-label="Steps"></progress>
                <span class="muted tabular">{label}</span>
            </p>
        }
    })
}
