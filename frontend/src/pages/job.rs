//! One job: how it goes, live.

use leptos::prelude::*;
use leptos::task::spawn_local;
use qponder_shared::JobId;
use qponder_shared::job::{Attempt, Job, JobState, LogLevel, LogLine, MetricPart};
use web_sys::{HtmlInputElement, HtmlSelectElement};

use crate::format::{self, plural, sentence};
use crate::pages::jobs::{Progress, facts};
use crate::parts::chart::{Chart, ChartStyle, ChartTools};
use crate::parts::job_notes::JobNotes;
use crate::parts::job_result::JobResult;
use crate::parts::sampled::SampledAnswers;
use crate::route::{Route, follow_link};
use crate::state::App;
use crate::training::{self, Followed};

/// Names that people look at first, in this order, with what they are called.
pub const FIRST: [(&str, &str); 16] = [
    ("loss", "Loss"),
    ("reward", "Reward"),
    ("srcc", "SRCC, quick"),
    ("reasoning_srcc", "SRCC, reasoning"),
    ("kl", "KL"),
    ("entropy", "Entropy"),
    ("completions/mean_length", "Length of answers"),
    ("completions/clipped_ratio", "Answers cut off"),
    ("frac_reward_zero_std", "Groups without variance"),
    ("grad_norm", "Gradient norm"),
    ("learning_rate", "Learning rate"),
    ("images_per_second", "Images a second"),
    ("memory_gb", "Memory in GB"),
    ("processors", "Processors busy"),
    ("gpu_busy", "GPU busy, as a share"),
    ("gpu_memory_gb", "GPU memory in GB"),
];

/// The page at `/training/{id}`.
#[component]
pub fn JobPage(id: JobId) -> impl IntoView {
    let app = App::get();
    document().set_title("Training · Q-Ponder");
    let followed = Followed::begin(app, id);
    let attempts = RwSignal::new(Vec::<Attempt>::new());
    // Attempts change with the job's state and number alone.
    let begun = Memo::new(move |_| followed.job.with(|job| job.as_ref().map(|job| (job.attempt, job.state))));
    Effect::new(move |_| {
        if begun.get().is_none() {
            return;
        }
        spawn_local(async move {
            match training::attempts(id).await {
                Ok(all) => drop(attempts.try_set(all)),
                Err(_) => app.reach(),
            }
        });
    });
    let job = Memo::new(move |_| followed.job.get());
    view! {
        <div class="page is-wide">
            {move || followed.job.get().map(|job| view! { <Head job followed/> })}
            <Hints followed/>
            <JobResult job/>
            <Show when=move || job.with(|job| job.as_ref().is_some_and(|job| job.kind.trains()))>
                <Charts followed/>
            </Show>
            <SampledAnswers followed/>
            <JobNotes followed/>
            <Log followed/>
            <section>
                <h2>"Attempts"</h2>
                <ul class="rows" aria-label="Attempts">
                    {move || attempts.get().into_iter().map(|one| view! { <li>{describe(&one)}</li> }).collect_view()}
                </ul>
            </section>
            <section>
                <h2>"Recipe"</h2>
                <pre class="code" tabindex="0">{move || followed.job.with(|job| job.as_ref().map(|job| job.recipe.clone()))}</pre>
            </section>
        </div>
    }
}

#[component]
fn Head(job: Job, followed: Followed) -> impl IntoView {
    let app = App::get();
    document().set_title(&format!("{} · Training · Q-Ponder", job.name));
    let is_busy = RwSignal::new(false);
    let id = job.id;
    let change = move |is_retry: bool| {
        is_busy.set(true);
        spawn_local(async move {
            let outcome = if is_retry { training::retry(id).await } else { training::cancel(id).await };
            match outcome {
                Ok(job) => {
                    let _ = followed.job.try_set(Some(job));
                    if is_retry {
                        // The stream ended with the job.
                        followed.open(app);
                    }
                }
                Err(failure) => app.report(&failure),
            }
            let _ = is_busy.try_set(false);
        });
    };
    // What it waits for, by name.
    let needed = RwSignal::new(Vec::<Job>::new());
    if job.state == JobState::Waiting {
        let needs = job.needs.clone();
        spawn_local(async move {
            let mut found = Vec::new();
            for id in needs {
                if let Ok(job) = training::job(id).await {
                    found.push(job);
                }
            }
            let _ = needed.try_set(found);
        });
    }
    view! {
        <div class="page-head">
            <div>
                <h1>{job.name.clone()}</h1>
                <p class="muted" role="status">{facts(&job)}</p>
            </div>
            <div class="row-actions">
                {(!job.state.is_final() && !job.is_cancelling).then(|| view! {
                    <button class="button" disabled=move || is_busy.get() on:click=move |_| change(false)>"Cancel"</button>
                })}
                {matches!(job.state, JobState::Failed | JobState::Cancelled).then(|| view! {
                    <button class="button is-primary" disabled=move || is_busy.get() on:click=move |_| change(true)>
                        "Try again"
                    </button>
                })}
                <a class="button" href=Route::Jobs.path() on:click=follow_link(app, Route::Jobs)>"All jobs"</a>
            </div>
        </div>
        {job.error.clone().map(|error| view! { <p class="form-error">{sentence(&error)}</p> })}
        {move || needed.get().into_iter().filter(|one| one.state != JobState::Done).map(|one| {
            let to = Route::Job(one.id);
            let then = match one.state {
                JobState::Failed => ", which failed: try it again there",
                JobState::Cancelled => ", which was cancelled: try it again there",
                _ => "",
            };
            view! {
                <p class="muted">
                    "It waits for "<a href=to.path() on:click=follow_link(app, to)>{one.name}</a>{then}"."
                </p>
            }
        }).collect_view()}
        {job.position.map(|before| view! {
            <p class="muted">{match before {
                0 => "It is the next one.".to_owned(),
                before => format!("{} before it.", plural(before as usize, "job")),
            }}</p>
        })}
        <Progress job/>
    }
}

/// What a number is called.
pub fn title(part: MetricPart, name: &str) -> String {
    let known = FIRST.iter().find(|(known, _)| *known == name).map(|(_, title)| (*title).to_owned());
    let title = known.unwrap_or_else(|| name.replace(['_', '/'], " "));
    match part {
        MetricPart::Train => title,
        MetricPart::Validation => format!("{title} (validation)"),
    }
}

/// What the numbers say.
#[component]
fn Hints(followed: Followed) -> impl IntoView {
    let hints = Memo::new(move |_| followed.series.with(training::Series::hints));
    view! {
        <Show when=move || !hints.with(Vec::is_empty)>
            <section class="note" aria-label="Findings" role="status">
                <ul>{move || hints.get().into_iter().map(|hint| view! { <li>{hint}</li> }).collect_view()}</ul>
            </section>
        </Show>
    }
}

#[component]
fn Charts(followed: Followed) -> impl IntoView {
    let style = ChartStyle::plain();
    let is_all = RwSignal::new(false);
    let names = Memo::new(move |_| {
        let rank = |name: &str| FIRST.iter().position(|(known, _)| *known == name).unwrap_or(FIRST.len());
        let mut names = followed.series.with(training::Series::names);
        names.sort_by_key(|(part, name)| (rank(name), *part, name.clone()));
        names
    });
    let is_first = |name: &str| FIRST.iter().any(|(known, _)| *known == name);
    let shown = move || {
        let all = is_all.get();
        names.get().into_iter().filter(|(_, name)| all || is_first(name)).collect::<Vec<_>>()
    };
    let hidden = move || names.with(|names| names.iter().filter(|(_, name)| !is_first(name)).count());
    view! {
        <section>
            <div class="chart-tools">
                <h2>"Numbers"</h2>
                <ChartTools style/>
                <Show when=move || hidden() != 0>
                    <button class="button" aria-pressed=move || is_all.get().to_string() on:click=move |_| is_all.update(|all| *all = !*all)>
                        {move || if is_all.get() { "Show the main ones".to_owned() } else { format!("Show {} more", hidden()) }}
                    </button>
                </Show>
                <Show when=move || !names.with(Vec::is_empty)>
                    <a class="button" href=training::numbers_url(followed.id) download=format!("{}.json", followed.id)>
                        "Save as JSON"
                    </a>
                </Show>
                <span class="muted">{move || followed.is_live.get().then_some("live")}</span>
            </div>
            <Show when=move || names.with(Vec::is_empty)>
                <p class="muted">"There are no numbers yet; they come with the first step."</p>
            </Show>
            <div class="charts">
                <For each=shown key=Clone::clone let:name>
                    {
                        let title = title(name.0, &name.1);
                        let lines = Memo::new(move |_| followed.series.with(|series| vec![series.line(&name)]));
                        view! { <Chart title lines style/> }
                    }
                </For>
            </div>
        </section>
    }
}

#[component]
fn Log(followed: Followed) -> impl IntoView {
    let least = RwSignal::new(LogLevel::Info);
    let words = RwSignal::new(String::new());
    let shown = move || {
        let (least, words) = (least.get(), words.get().to_lowercase());
        let is_shown = |line: &&LogLine| line.level >= least && line.text.to_lowercase().contains(&words);
        followed.log.with(|log| log.iter().filter(is_shown).cloned().collect::<Vec<_>>())
    };
    let choose = move |event: web_sys::Event| {
        if let Some(level) = LogLevel::of_name(&event_target::<HtmlSelectElement>(&event).value()) {
            least.set(level);
        }
    };
    view! {
        <section>
            <div class="chart-tools">
                <h2>"Log"</h2>
                <label class="sr" for="log-words">"Lines with"</label>
                <input id="log-words" type="search" placeholder="Search" prop:value=move || words.get()
                    on:input=move |event| words.set(event_target::<HtmlInputElement>(&event).value())/>
                <label class="sr" for="log-level">"Level"</label>
                <select id="log-level" on:change=choose>
                    <option value="info">"All lines"</option>
                    <option value="warning">"Warnings and errors"</option>
                    <option value="error">"Errors"</option>
                </select>
                <span class="muted">{move || plural(followed.log.with(Vec::len), "line")}</span>
            </div>
            <ol class="job-log" tabindex="0" aria-label="Log">
                <For each=shown key=|line| line.place let:line>
                    <li class=format!("is-{}", line.level.name())>
                        <time class="muted">{format::time(&line.at)}</time>" "{line.text}
                    </li>
                </For>
            </ol>
        </section>
    }
}

/// A line of the list of attempts.
fn describe(one: &Attempt) -> String {
    let mut words = vec![format!("{}: {} on {}", one.attempt, one.worker, one.device)];
    words.push(format!("steps {} to {}", one.first_step, one.last_step));
    words.push(format::time(&one.started_at));
    words.push(one.outcome.map_or("running", |outcome| outcome.name()).to_owned());
    words.extend(one.error.clone());
    words.join(" · ")
}
