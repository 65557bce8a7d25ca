//! Queueing a training: what it starts from, what it learns from, and its recipe.

use leptos::prelude::*;
use leptos::task::spawn_local;
use qponder_shared::JobId;
use qponder_shared::api::ModelRole;
use qponder_shared::job::{CreateJob, Job, JobKind, JobRecipe, JobState};
use web_sys::{HtmlSelectElement, HtmlTextAreaElement, SubmitEvent};

use crate::format::sentence;
use crate::parts::field::{Field, FormError};
use crate::state::App;
use crate::{studies, training};

/// What a recipe of a kind begins as.
fn template(kind: JobKind, base: &str, dataset: &str) -> String {
    let head = format!("base = \"{base}\"\n\n[data]\nmanifests = [\"dataset:{dataset}\"]\n");
    match kind {
        JobKind::Sft => format!(
            "{head}\n[train]\nsteps = 200\nbatch = 16\nmicro_batch = 4\nlearning_rate = 1e-4\nwarmup = 10\n\
             checkpoint_every = 25\n\n[validation]\nevery = 50\nimages = 100\nreasoning_images = 50\n"
        ),
        JobKind::Grpo => format!(
            "{head}\n[rollout]\ngroup = 8\nmax_new_tokens = 192\n\n[reward]\nscore = 3.0\nscore_scale = 2.0\n\
             consistency = 0.3\ndistortion = 0.3\n\n[train]\nloss = \"dr_grpo\"\n\
             parts = [\"vision\", \"merger\", \"language\"]\nsteps = 50\nimages = 8\nlearning_rate = 1e-4\n\
             warmup = 3\ncheckpoint_every = 10\n\n[validation]\nevery = 25\nimages = 100\nreasoning_images = 100\n"
        ),
    }
}

/// A form for a new training; `done` gets the job.
#[component]
pub fn JobForm(
    /// Jobs whose models a training can start from.
    jobs: Signal<Vec<Job>>,
    done: Callback<Job>,
) -> impl IntoView {
    let app = App::get();
    let (kind, name) = (RwSignal::new(JobKind::Sft), RwSignal::new(String::new()));
    let (base, dataset) = (RwSignal::new(String::new()), RwSignal::new(String::new()));
    // What is typed into the recipe; nothing while it follows the choices above.
    let typed = RwSignal::new(None::<String>);
    // The job whose recipe was taken up.
    let earlier = RwSignal::new(String::new());
    let begin_again = move || {
        let _ = typed.try_set(None);
        let _ = earlier.try_set(String::new());
    };
    let (error, is_busy) = (RwSignal::new(None), RwSignal::new(false));
    let datasets = RwSignal::new(None::<Vec<(String, String)>>);
    spawn_local(async move {
        match studies::datasets().await {
            Ok(page) => {
                let named = page.items.iter().map(|one| {
                    (
                        one.id.to_string(),
                        format!("{}, version {}, {} images", one.name, one.version, one.images),
                    )
                });
                let named: Vec<_> = named.collect();
                if let Some((id, _)) = named.first() {
                    let _ = dataset.try_set(id.clone());
                }
                let _ = datasets.try_set(Some(named));
            }
            Err(failure) => app.report(&failure),
        }
    });
    let models = move || app.info.get().map(|info| info.models).unwrap_or_default();
    Effect::new(move |_| {
        let first = models().first().map(|model| format!("model:{}", model.name));
        if base.with_untracked(String::is_empty)
            && let Some(first) = first
        {
            base.set(first);
        }
    });
    let recipe =
        Memo::new(move |_| typed.get().unwrap_or_else(|| template(kind.get(), &base.get(), &dataset.get())));
    let problem = Memo::new(move |_| JobRecipe::parse(kind.get(), &recipe.get()).err());
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        is_busy.set(true);
        error.set(None);
        let body = CreateJob {
            kind: kind.get_untracked(),
            name: name.get_untracked(),
            recipe: recipe.get_untracked(),
            needs: Vec::<JobId>::new(),
            priority: 0,
        };
        spawn_local(async move {
            let outcome = training::create(&body).await;
            let _ = is_busy.try_set(false);
            match outcome {
                Ok(job) => {
                    let _ = name.try_set(String::new());
                    begin_again();
                    done.run(job);
                }
                Err(failure) => drop(error.try_set(Some(sentence(&failure)))),
            }
        });
    };
    let choose = move |to: RwSignal<String>| {
        move |event: web_sys::Event| to.set(event_target::<HtmlSelectElement>(&event).value())
    };
    let choose_kind = move |event: web_sys::Event| {
        if let Some(chosen) = JobKind::of_name(&event_target::<HtmlSelectElement>(&event).value()) {
            kind.set(chosen);
        }
    };
    let take_up = move |event: web_sys::Event| {
        let id = event_target::<HtmlSelectElement>(&event).value();
        let job = jobs.with_untracked(|jobs| jobs.iter().find(|job| job.id.to_string() == id).cloned());
        if let Some(job) = &job {
            kind.set(job.kind);
            if name.with_untracked(String::is_empty) {
                name.set(job.name.clone());
            }
        }
        typed.set(job.map(|job| job.recipe));
        earlier.set(id);
    };
    let recipes = move || {
        let jobs = jobs.get().into_iter().map(|job| (job.id.to_string(), format!("that of “{}”", job.name)));
        jobs.map(|(value, label)| choice(value, label, earlier)).collect_view()
    };
    let bases = move || {
        let models = models().into_iter().filter(|model| model.role == ModelRole::Model);
        let models = models.map(|model| (format!("model:{}", model.name), model.name));
        let jobs =
            jobs.get().into_iter().filter(|job| !matches!(job.state, JobState::Failed | JobState::Cancelled));
        let jobs = jobs.map(|job| (format!("job:{}", job.id), format!("what “{}” trains", job.name)));
        models.chain(jobs).map(|(value, label)| choice(value, label, base)).collect_view()
    };
    view! {
        <section>
            <h2>"Train a model"</h2>
            <Show when=move || datasets.with(|all| all.as_ref().is_some_and(Vec::is_empty))>
                <p class="note">
                    "A training learns from a dataset, and there is none yet: make one of a study, or import one on the
                    page Data."
                </p>
            </Show>
            <form class="form" on:submit=submit>
                <div class="form is-row">
                    <Field label="Name" name="job-name" value=name/>
                    <div class="field">
                        <label for="job-kind">"Kind"</label>
                        <select id="job-kind" prop:value=move || kind.get().name() on:change=choose_kind>
                            <option value="sft">"Cold start"</option>
                            <option value="grpo">"GRPO"</option>
                        </select>
                    </div>
                    <div class="field">
                        <label for="job-base">"Starts from"</label>
                        <select id="job-base" on:change=choose(base)>{bases}</select>
                    </div>
                    <div class="field">
                        <label for="job-dataset">"Learns from"</label>
                        <select id="job-dataset" on:change=choose(dataset) prop:value=move || dataset.get()>
                            {move || datasets.get().unwrap_or_default().into_iter()
                                .map(|(id, label)| view! { <option value=id>{label}</option> }).collect_view()}
                        </select>
                    </div>
                </div>
                <div class="field">
                    <label for="job-earlier">"Begin with the recipe"</label>
                    <select id="job-earlier" on:change=take_up>
                        {choice(String::new(), "of the choices above".to_owned(), earlier)}
                        {recipes}
                    </select>
                </div>
                <div class="field is-whole">
                    <label for="job-recipe">"Recipe"</label>
                    <textarea id="job-recipe" class="code" rows="18" spellcheck="false" autocapitalize="off"
                        aria-describedby="job-recipe-hint" prop:value=move || recipe.get()
                        on:input=move |event| typed.set(Some(event_target::<HtmlTextAreaElement>(&event).value()))>
                    </textarea>
                    <p class="hint" id="job-recipe-hint" role="status">
                        {move || problem.get().unwrap_or_else(|| {
                            "It can be used. `qponder recipe show-defaults` lists every key.".to_owned()
                        })}
                    </p>
                    <Show when=move || typed.with(Option::is_some)>
                        <button class="button" type="button" on:click=move |_| begin_again()>
                            "Begin again from the choices above"
                        </button>
                    </Show>
                </div>
                <FormError message=error/>
                <button class="button is-primary" disabled=move || is_busy.get() || problem.with(Option::is_some)>
                    "Queue it"
                </button>
            </form>
        </section>
    }
}

/// An option of a list that may grow at its beginning while it is open: each option knows whether it is chosen.
fn choice(value: String, label: String, chosen: RwSignal<String>) -> impl IntoView {
    let own = value.clone();
    view! { <option value=value prop:selected=move || chosen.with(|chosen| *chosen == own)>{label}</option> }
}
