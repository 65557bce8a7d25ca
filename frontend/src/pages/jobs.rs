//! Training: the queue, who works on it, and what was done.

use std::collections::BTreeSet;
use std::time::Duration;

use leptos::prelude::*;
use leptos::task::spawn_local;
use qponder_shared::api::ModelPlace;
use qponder_shared::job::{Job, JobKind, JobState, Worker};
use qponder_shared::{DatasetId, JobId};
use web_sys::HtmlSelectElement;

use crate::format::{self, plural};
use crate::parts::job_form::{JobForm, is_of_use, title};
use crate::parts::pipeline_form::PipelineForm;
use crate::route::{self, Route, follow_link};
use crate::state::App;
use crate::training::{self, Filter};
use crate::{registry, studies};

/// How often the page looks again.
const EVERY: Duration = Duration::from_secs(2);

/// The page at `/training`.
#[component]
pub fn JobsPage(
    /// The dataset that a new pipeline begins with.
    dataset: Option<DatasetId>,
) -> impl IntoView {
    let app = App::get();
    document().set_title("Training · Q-Ponder");
    let list = RwSignal::new(None::<Vec<Job>>);
    let next = RwSignal::new(None::<String>);
    let filter = RwSignal::new(Filter::All);
    let picked = RwSignal::new(BTreeSet::<JobId>::new());
    let workers = RwSignal::new(None::<Vec<Worker>>);
    // The first page again and again; pages after it stay as they were read.
    let refresh = move || {
        let which = filter.get_untracked();
        spawn_local(async move {
            let (first, there) = (training::jobs(&which, None).await, training::workers().await);
            if filter.try_get_untracked() != Some(which) {
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
        let which = filter.get_untracked();
        spawn_local(async move {
            match training::jobs(&which, next.get_untracked().as_deref()).await {
                Ok(page) => {
                    let _ = list.try_update(|list| list.get_or_insert_default().extend(page.items));
                    let _ = next.try_set(page.next);
                }
                Err(failure) => app.report(&failure),
            }
        });
    };
    let show = move |which: Filter| {
        filter.set(which);
        list.set(None);
        next.set(None);
        refresh();
    };
    let choose = move |event: web_sys::Event| {
        let value = event_target::<HtmlSelectElement>(&event).value();
        show(match value.split_once(':') {
            Some(("state", name)) => JobState::of_name(name).map_or(Filter::All, Filter::State),
            Some(("kind", name)) => JobKind::of_name(name).map_or(Filter::All, Filter::Kind),
            _ => Filter::All,
        });
    };
    let show_tag = Callback::new(move |tag: String| show(Filter::Tag(tag)));
    let tag = move || match filter.get() {
        Filter::Tag(tag) => Some(tag),
        _ => None,
    };
    let compared = move || {
        let mut jobs = [None; 4];
        picked.with(|picked| jobs.iter_mut().zip(picked).for_each(|(slot, id)| *slot = Some(*id)));
        Route::CompareJobs(jobs)
    };
    let datasets = RwSignal::new(None::<Vec<(String, String)>>);
    spawn_local(async move {
        match studies::datasets().await {
            Ok(page) => {
                let named = page.items.iter().map(|one| {
                    let label = format!("{}, version {}, {} images", one.name, one.version, one.images);
                    (one.id.to_string(), label)
                });
                let _ = datasets.try_set(Some(named.collect()));
            }
            Err(failure) => app.report(&failure),
        }
    });
    let named = RwSignal::new(Vec::<String>::new());
    spawn_local(async move {
        if let Ok(page) = registry::models(None).await {
            let usable = page.items.into_iter().filter(|model| !model.is_endpoint && !model.is_archived);
            let usable = usable.filter(|model| model.job.is_some() || model.is_served);
            let _ = named.try_set(usable.map(|model| model.name).collect());
        }
    });
    // The models that are served come first, the default one before all.
    let bases = Signal::derive(move || {
        let served = app.info.get().map(|info| info.models).unwrap_or_default();
        let served =
            served.into_iter().filter(|model| model.place == ModelPlace::Local).map(|model| model.name);
        let mut names: Vec<String> = served.collect();
        for name in named.get() {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let models = names.into_iter().map(|name| (format!("model:{name}"), name));
        let jobs =
            list.get().unwrap_or_default().into_iter().filter(|job| job.kind.trains() && is_of_use(job));
        let jobs = jobs.map(|job| (format!("job:{}", job.id), format!("what “{}” trains", job.name)));
        models.chain(jobs).collect::<Vec<_>>()
    });
    let queued = Callback::new(move |jobs: Vec<Job>| {
        app.announcement.set(format!("Queued: {}.", plural(jobs.len(), "job")));
        app.toasts.say(format!("{} queued.", plural(jobs.len(), "job")));
        show(Filter::All);
        if let Some(title) = document().get_element_by_id("jobs-title") {
            title.scroll_into_view();
        }
    });
    let done = Callback::new(move |job: Job| {
        app.announcement.set(format!("Queued: {}.", job.name));
        route::go(app, Route::Job(job.id));
    });
    let is_empty = move || list.with(|list| list.as_ref().is_some_and(Vec::is_empty));
    view! {
        <div class="page">
            <div class="page-head">
                <h1 id="jobs-title">"Training"</h1>
                <div class="field">
                    <label class="sr" for="job-state">"Which"</label>
                    <select id="job-state" on:change=choose>
                        <option value="">"All"</option>
                        {JobState::ALL.iter().map(|state| view! {
                            <option value=format!("state:{}", state.name())>{state.name()}</option>
                        }).collect_view()}
                        {JobKind::ALL.iter().map(|kind| view! {
                            <option value=format!("kind:{}", kind.name())>{title(*kind)}</option>
                        }).collect_view()}
                    </select>
                </div>
            </div>
            <p class="muted">{move || workers.get().map(|workers| describe(&workers))}</p>
            {move || tag().map(|tag| view! {
                <p>
                    {format!("Only those tagged {tag}. ")}
                    <button class="button" on:click=move |_| show(Filter::All)>"Show all"</button>
                </p>
            })}
            <Show when=is_empty><p class="muted">"There is nothing here yet."</p></Show>
            <ul class="rows" aria-label="Trainings">
                <For each=move || list.get().unwrap_or_default() key=|job| format!("{job:?}") let:job>
                    <JobRow job picked show_tag/>
                </For>
            </ul>
            <Show when=move || picked.with(BTreeSet::len) == 1>
                <p class="muted">"Pick another one, up to four, to see them over each other."</p>
            </Show>
            <Show when=move || (2..=4).contains(&picked.with(BTreeSet::len))>
                <p>
                    <a class="button" href=move || compared().path() on:click=move |event| follow_link(app, compared())(event)>
                        {move || format!("Compare {} jobs", picked.with(BTreeSet::len))}
                    </a>
                </p>
            </Show>
            <Show when=move || next.with(Option::is_some)>
                <button class="button more" on:click=more>"Show more"</button>
            </Show>
            <PipelineForm datasets=Signal::derive(move || datasets.get().unwrap_or_default()) bases dataset done=queued/>
            <JobForm jobs=Signal::derive(move || list.get().unwrap_or_default()) datasets=datasets.into() bases done/>
        </div>
    }
}

/// Who is there.
fn describe(workers: &[Worker]) -> String {
    if workers.is_empty() {
        return "No worker is there, so nothing is done: start the server without --no-worker, or `qponder worker`."
            .to_owned();
    }
    let each = |worker: &Worker| {
        let what = if worker.job.is_some() { "at work" } else { "free" };
        let mut facts = vec![what.to_owned()];
        if !worker.kinds.is_empty() {
            let kinds: Vec<&str> = worker.kinds.iter().map(|kind| kind.name()).collect();
            facts.push(format!("only {}", kinds.join(", ")));
        }
        if !worker.labels.is_empty() {
            facts.push(format!("label {}", worker.labels.join(", ")));
        }
        format!("{} on {} ({})", worker.name, worker.device, facts.join("; "))
    };
    let all: Vec<String> = workers.iter().map(each).collect();
    format!("{}: {}.", plural(workers.len(), "worker"), all.join(", "))
}

#[component]
fn JobRow(job: Job, picked: RwSignal<BTreeSet<JobId>>, show_tag: Callback<String>) -> impl IntoView {
    let app = App::get();
    let to = Route::Job(job.id);
    let id = job.id;
    let is_picked = move || picked.with(|picked| picked.contains(&id));
    let pick = move |_| {
        picked.update(|picked| {
            if !picked.remove(&id) {
                picked.insert(id);
            }
        });
    };
    let tags = job.tags.clone().into_iter().map(move |tag| {
        let label = tag.clone();
        view! { <button class="tag" on:click=move |_| show_tag.run(tag.clone())>{label}</button> }
    });
    let tags = tags.collect_view();
    view! {
        <li>
            {job.kind.trains().then(|| view! {
                <input type="checkbox" aria-label=format!("Compare {}", job.name) prop:checked=is_picked on:change=pick
                    disabled=move || !is_picked() && picked.with(|picked| picked.len() == 4)/>
            })}
            <div class="row-main">
                <p class="row-title"><a href=to.path() on:click=follow_link(app, to)>{job.name.clone()}</a></p>
                <p class="muted">{facts(&job)}" "{tags}</p>
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
    let mut facts = vec![state, title(job.kind).to_owned()];
    facts.extend(job.worker.as_ref().map(|worker| format!("on {worker}")));
    facts.extend([format::time(&job.created_at), format!("by {}", job.created_by)]);
    facts.join(" · ")
}

/// How far a job is, while it is not done.
#[component]
pub fn Progress(job: Job) -> impl IntoView {
    let is_shown = job.steps > 0 && job.state != JobState::Done;
    let share = job.step as f64 / job.steps.max(1) as f64;
    let unit = if job.kind.trains() { "steps" } else { "answers" };
    let label = format!("{} of {} {unit}", format::whole(job.step), format::whole(job.steps));
    is_shown.then(|| {
        view! {
            <p class="transfer-progress">
                <progress max="1" value=share.to_string() aria-label="Steps"></progress>
                <span class="muted tabular">{label}</span>
            </p>
        }
    })
}
