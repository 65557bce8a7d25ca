//! From a dataset to a measured model with one button.

use leptos::prelude::*;
use leptos::task::spawn_local;
use qponder_shared::DatasetId;
use qponder_shared::api::{ModelPlace, ModelRole};
use qponder_shared::job::{CreatePipeline, Job, PipelineSize};
use web_sys::{HtmlSelectElement, SubmitEvent};

use crate::format::sentence;
use crate::parts::field::{Field, FormError};
use crate::state::App;
use crate::training;

/// A form for a pipeline; `done` gets its jobs.
#[component]
pub fn PipelineForm(
    /// Datasets by id, with what they are called.
    datasets: Signal<Vec<(String, String)>>,
    /// What models a training can start from, with what they are called.
    bases: Signal<Vec<(String, String)>>,
    /// The dataset that is chosen at first.
    dataset: Option<DatasetId>,
    done: Callback<Vec<Job>>,
) -> impl IntoView {
    let app = App::get();
    let name = RwSignal::new(String::new());
    let chosen = RwSignal::new(dataset.map(|id| id.to_string()).unwrap_or_default());
    let (base, teacher) = (RwSignal::new(String::new()), RwSignal::new(String::new()));
    let size = RwSignal::new(PipelineSize::Usual);
    let (error, is_busy) = (RwSignal::new(None), RwSignal::new(false));
    // A dataset that was chosen names the pipeline, until somebody types another name.
    Effect::new(move |_| {
        let called = datasets.with(|all| {
            let found = all.iter().find(|(id, _)| *id == chosen.get()).or(all.first());
            found.map(|(id, label)| {
                (id.clone(), label.split(", version").next().unwrap_or_default().to_owned())
            })
        });
        if let Some((id, called)) = called {
            if chosen.with_untracked(String::is_empty) {
                chosen.set(id);
            }
            if name.with_untracked(String::is_empty) {
                name.set(called);
            }
        }
    });
    Effect::new(move |_| {
        let first = bases.with(|all| all.first().map(|(value, _)| value.clone()));
        if base.with_untracked(String::is_empty) {
            base.set(first.unwrap_or_default());
        }
    });
    let teachers = move || {
        let models = app.info.get().map(|info| info.models).unwrap_or_default();
        let is_teacher = |role, place| role == ModelRole::Teacher && place == ModelPlace::Endpoint;
        let teachers = models.into_iter().filter(|model| is_teacher(model.role, model.place));
        teachers.map(|model| model.name).collect::<Vec<_>>()
    };
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let Ok(dataset) = chosen.get_untracked().parse() else { return };
        is_busy.set(true);
        error.set(None);
        let body = CreatePipeline {
            name: name.get_untracked(),
            dataset,
            base: base.get_untracked(),
            teacher: Some(teacher.get_untracked()).filter(|name| !name.is_empty()),
            size: size.get_untracked(),
        };
        spawn_local(async move {
            let outcome = training::create_pipeline(&body).await;
            let _ = is_busy.try_set(false);
            match outcome {
                Ok(jobs) => done.run(jobs),
                Err(failure) => drop(error.try_set(Some(sentence(&failure)))),
            }
        });
    };
    let choose = move |to: RwSignal<String>| {
        move |event: web_sys::Event| to.set(event_target::<HtmlSelectElement>(&event).value())
    };
    let choose_size = move |event: web_sys::Event| {
        let name = event_target::<HtmlSelectElement>(&event).value();
        size.set(PipelineSize::of_name(&name).unwrap_or_default());
    };
    let options = move |all: Signal<Vec<(String, String)>>, chosen: RwSignal<String>| {
        move || {
            let all = all.get().into_iter();
            all.map(|(value, label)| {
                let own = value.clone();
                view! { <option value=value prop:selected=move || chosen.with(|chosen| *chosen == own)>{label}</option> }
            })
            .collect_view()
        }
    };
    view! {
        <section>
            <h2>"From a dataset to a model"</h2>
            <p class="muted">
                "Queues the cold start, GRPO on what it trains, an evaluation of both beside what they began from, and
                answers to compare; before them the answers of a teacher, if you choose one."
            </p>
            <form class="form" on:submit=submit>
                <div class="form is-row">
                    <Field label="Name" name="pipeline-name" value=name/>
                    <div class="field">
                        <label for="pipeline-dataset">"Dataset"</label>
                        <select id="pipeline-dataset" on:change=choose(chosen)>{options(datasets, chosen)}</select>
                    </div>
                    <div class="field">
                        <label for="pipeline-base">"Starts from"</label>
                        <select id="pipeline-base" on:change=choose(base)>{options(bases, base)}</select>
                    </div>
                    <div class="field">
                        <label for="pipeline-teacher">"Answers of"</label>
                        <select id="pipeline-teacher" on:change=choose(teacher)>
                            <option value="">"the dataset, or rules"</option>
                            {move || teachers().into_iter().map(|name| {
                                let label = name.clone();
                                view! { <option value=name>{label}</option> }
                            }).collect_view()}
                        </select>
                    </div>
                    <div class="field">
                        <label for="pipeline-size">"Size"</label>
                        <select id="pipeline-size" on:change=choose_size>
                            <option value="usual">"usual"</option>
                            <option value="trial">"a trial, in minutes"</option>
                        </select>
                    </div>
                </div>
                <FormError message=error/>
                <button class="button is-primary" disabled=move || is_busy.get() || chosen.with(String::is_empty)>
                    "Queue the pipeline"
                </button>
            </form>
        </section>
    }
}
