//! Queueing one job: what it starts from, what it reads, and its recipe.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use gloo_timers::future::sleep;
use leptos::prelude::*;
use leptos::task::spawn_local;
use qponder_shared::api::{Mode, ModelPlace, ModelRole, ServedModel};
use qponder_shared::job::{
    CheckRecipe, CreateJob, EditRecipe, Job, JobKind, JobState, PipelineSize, RecipeCheck, Template,
};
use qponder_shared::manifest::Split;
use qponder_shared::{JobId, prompt};
use web_sys::{HtmlInputElement, HtmlSelectElement, HtmlTextAreaElement, SubmitEvent};

use crate::format::{self, sentence};
use crate::parts::field::{Field, FormError};
use crate::parts::recipe_fields::{Change, RecipeFields};
use crate::state::App;
use crate::training;

/// How long nothing must be typed before the recipe is checked.
const PAUSE: Duration = Duration::from_millis(300);

/// A form for a new job; `done` gets it.
#[component]
pub fn JobForm(
    /// Jobs whose work others can go on with, and whose recipes can be taken up.
    jobs: Signal<Vec<Job>>,
    /// Datasets by id, with what they are called; nothing until they came.
    datasets: Signal<Option<Vec<(String, String)>>>,
    /// What models a training can start from, with what they are called.
    bases: Signal<Vec<(String, String)>>,
    done: Callback<Job>,
) -> impl IntoView {
    let app = App::get();
    let (kind, name) = (RwSignal::new(JobKind::Sft), RwSignal::new(String::new()));
    let (base, dataset) = (RwSignal::new(String::new()), RwSignal::new(String::new()));
    let (label, priority) = (RwSignal::new(String::new()), RwSignal::new(0_i16));
    // What is typed into the recipe; nothing while it follows the choices above.
    let typed = RwSignal::new(None::<String>);
    // The job whose recipe was taken up.
    let earlier = RwSignal::new(String::new());
    let begin_again = move || {
        let _ = typed.try_set(None);
        let _ = earlier.try_set(String::new());
    };
    let (error, is_busy) = (RwSignal::new(None), RwSignal::new(false));
    let teacher = RwSignal::new(String::new());
    let sources = Signal::derive(move || {
        let mut sources: Vec<(String, String)> = Vec::new();
        if kind.get() == JobKind::Sft {
            let distilled =
                jobs.get().into_iter().filter(|job| job.kind == JobKind::Distil && is_of_use(job));
            sources.extend(
                distilled.map(|job| (format!("job:{}", job.id), format!("answers of “{}”", job.name))),
            );
        }
        let datasets = datasets.get().unwrap_or_default();
        sources.extend(datasets.into_iter().map(|(id, label)| (format!("dataset:{id}"), label)));
        sources
    });
    let teachers = Signal::derive(move || {
        let models = app.info.get().map(|info| info.models).unwrap_or_default();
        let is_teacher =
            |model: &ServedModel| model.role == ModelRole::Teacher && model.place == ModelPlace::Endpoint;
        models.into_iter().filter(is_teacher).collect::<Vec<_>>()
    });
    // The first of each list is chosen until somebody chooses another one.
    let first = |all: Signal<Vec<(String, String)>>, chosen: RwSignal<String>| {
        Effect::new(move |_| {
            let found = all.with(|all| {
                let is_there = all.iter().any(|(value, _)| chosen.with(|chosen| chosen == value));
                if is_there { None } else { all.first().map(|(value, _)| value.clone()) }
            });
            if let Some(found) = found {
                chosen.set(found);
            }
        });
    };
    first(bases, base);
    // Datasets come first, so that the answers of a teacher are chosen on purpose.
    Effect::new(move |_| {
        let found = sources.with(|all| {
            let is_there = all.iter().any(|(value, _)| dataset.with(|chosen| chosen == value));
            let found = all.iter().find(|(value, _)| value.starts_with("dataset:")).or(all.first());
            if is_there { None } else { found.map(|(value, _)| value.clone()) }
        });
        if let Some(found) = found {
            dataset.set(found);
        }
    });
    Effect::new(move |_| {
        let found = teachers.with(|all| all.first().map(|teacher| teacher.name.clone()));
        if teacher.with_untracked(String::is_empty) {
            teacher.set(found.unwrap_or_default());
        }
    });
    let recipe = Memo::new(move |_| {
        typed.get().unwrap_or_else(|| {
            let asked = teacher.get();
            let own = prompt::current(Mode::Reason).version;
            let is_own = |one: &ServedModel| one.name == asked && one.prompt_version == own;
            let template = Template {
                models: vec![base.get()],
                manifests: vec![dataset.get()],
                is_own_teacher: teachers.with(|all| all.iter().any(is_own)),
                teacher: asked,
                split: Split::Val,
                size: PipelineSize::Usual,
            };
            template.recipe(kind.get())
        })
    });
    // What the server says of the recipe as it stands; nothing while it has not said it.
    let checked = RwSignal::new(None::<RecipeCheck>);
    Effect::new(move |_| {
        let asked = CheckRecipe { kind: kind.get(), recipe: recipe.get() };
        checked.set(None);
        spawn_local(async move {
            sleep(PAUSE).await;
            let is_newest = move || {
                recipe.try_get_untracked().as_ref() == Some(&asked.recipe)
                    && kind.try_get_untracked() == Some(asked.kind)
            };
            if !is_newest() {
                return;
            }
            match training::check(kind.get_untracked(), recipe.get_untracked()).await {
                Ok(said) if is_newest() => drop(checked.try_set(Some(said))),
                Ok(_) => {}
                Err(_) => app.reach(),
            }
        });
    });
    // The keys that it sets, as far as the server could read it last.
    let values = RwSignal::new(BTreeMap::<String, String>::new());
    Effect::new(move |_| {
        if let Some(said) = checked.get()
            && !said.values.is_empty()
        {
            values.set(said.values);
        }
    });
    // Changes are made one after the other, each to what came of the one before.
    let (changes, is_changing) = (StoredValue::new(VecDeque::<Change>::new()), StoredValue::new(false));
    let change = Callback::new(move |change: Change| {
        changes.update_value(|changes| changes.push_back(change));
        if is_changing.get_value() {
            return;
        }
        is_changing.set_value(true);
        spawn_local(async move {
            while let Some((key, value)) = changes.try_update_value(VecDeque::pop_front).flatten() {
                let Some(text) = recipe.try_get_untracked() else { return };
                match training::set(&EditRecipe { recipe: text, key, value }).await {
                    Ok(edited) => drop(typed.try_set(Some(edited.recipe))),
                    Err(failure) => drop(error.try_set(Some(sentence(&failure)))),
                }
            }
            let _ = is_changing.try_set_value(false);
        });
    });
    let problem =
        Memo::new(move |_| checked.with(|said| said.as_ref().and_then(|said| said.problem.clone())));
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        is_busy.set(true);
        error.set(None);
        let body = CreateJob {
            kind: kind.get_untracked(),
            name: name.get_untracked(),
            recipe: recipe.get_untracked(),
            needs: Vec::<JobId>::new(),
            priority: priority.get_untracked(),
            label: Some(label.get_untracked()).filter(|label| !label.is_empty()),
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
    // A recipe that was changed by hand keeps everything but what is chosen here.
    let choose = move |to: RwSignal<String>, key: fn(JobKind) -> &'static str| {
        move |event: web_sys::Event| {
            to.set(event_target::<HtmlSelectElement>(&event).value());
            if typed.with_untracked(Option::is_some) {
                let (key, value) = (key(kind.get_untracked()), to.get_untracked());
                let is_list = key.ends_with('s');
                change.run((
                    key.to_owned(),
                    Some(if is_list { format!("[{value:?}]") } else { format!("{value:?}") }),
                ));
            }
        }
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
    let listed = move |all: Signal<Vec<(String, String)>>, chosen: RwSignal<String>| {
        move || all.get().into_iter().map(|(value, label)| choice(value, label, chosen)).collect_view()
    };
    let is_distil = move || kind.get() == JobKind::Distil;
    let begins = move || match kind.get() {
        JobKind::Distil | JobKind::Sft | JobKind::Grpo => "Starts from",
        JobKind::Evaluate => "Measures",
        JobKind::AssessBatch => "Asks",
        JobKind::Export => "Writes",
    };
    let reads = move || match kind.get() {
        JobKind::Distil => "Asks about",
        JobKind::Sft | JobKind::Grpo => "Learns from",
        JobKind::AssessBatch => "About",
        JobKind::Evaluate | JobKind::Export => "On",
    };
    view! {
        <section>
            <h2>"One job"</h2>
            <Show when=move || datasets.with(|all| all.as_ref().is_some_and(Vec::is_empty))>
                <p class="note">
                    "Every job reads a dataset, and there is none yet: make one of a study, or import one on the
                    page Data."
                </p>
            </Show>
            <Show when=move || is_distil() && teachers.with(Vec::is_empty)>
                <p class="note">
                    "There is no teacher to ask: the server and its workers get one with --teacher-endpoint."
                </p>
            </Show>
            <form class="form" on:submit=submit>
                <div class="form is-row">
                    <Field label="Name" name="job-name" value=name/>
                    <div class="field">
                        <label for="job-kind">"Kind"</label>
                        <select id="job-kind" prop:value=move || kind.get().name() on:change=choose_kind>
                            {JobKind::ALL.iter().map(|kind| view! { <option value=kind.name()>{title(*kind)}</option> }).collect_view()}
                        </select>
                    </div>
                    <Show when=is_distil fallback=move || view! {
                        <div class="field">
                            <label for="job-base">{begins}</label>
                            <select id="job-base" on:change=choose(base, JobKind::model_key)>{listed(bases, base)}</select>
                        </div>
                    }>
                        <div class="field">
                            <label for="job-teacher">"Teacher"</label>
                            <select id="job-teacher" on:change=choose(teacher, JobKind::model_key)>
                                {move || teachers.get().into_iter().map(|one| choice(one.name.clone(), one.name, teacher)).collect_view()}
                            </select>
                        </div>
                    </Show>
                    <Show when=move || kind.get().reads_images()>
                        <div class="field">
                            <label for="job-dataset">{reads}</label>
                            <select id="job-dataset" on:change=choose(dataset, |_| "data.manifests")>{listed(sources, dataset)}</select>
                        </div>
                    </Show>
                </div>
                <details>
                    <summary>"Priority and label"</summary>
                    <div class="form is-row">
                        <div class="field">
                            <label for="job-priority">"Priority"</label>
                            <input id="job-priority" type="number" min="-100" max="100" prop:value=move || priority.get().to_string()
                                on:input=move |event| priority.set(event_target::<HtmlInputElement>(&event).value().parse().unwrap_or_default())/>
                        </div>
                        <Field label="Worker’s label" name="job-label" value=label required=false
                            hint="Only a worker with this label takes it."/>
                    </div>
                </details>
                <div class="field">
                    <label for="job-earlier">"Begin with the recipe"</label>
                    <select id="job-earlier" on:change=take_up>
                        {choice(String::new(), "of the choices above".to_owned(), earlier)}
                        {recipes}
                    </select>
                </div>
                <RecipeFields kind=kind values=values.into() change=change/>
                <div class="field is-whole">
                    <label for="job-recipe">"Recipe"</label>
                    <textarea id="job-recipe" class="code" rows="18" spellcheck="false" autocapitalize="off"
                        aria-describedby="job-recipe-hint" prop:value=move || recipe.get()
                        on:input=move |event| typed.set(Some(event_target::<HtmlTextAreaElement>(&event).value()))>
                    </textarea>
                    <p class="hint" id="job-recipe-hint" role="status">
                        {move || checked.with(|said| said.as_ref().map_or_else(|| "…".to_owned(), needs))}
                    </p>
                    <details>
                        <summary>"The same on the command line"</summary>
                        <pre class="code" tabindex="0">{move || command(kind.get())}</pre>
                    </details>
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

/// What is wrong with a recipe, or what it will need.
fn needs(said: &RecipeCheck) -> String {
    if let Some(problem) = &said.problem {
        return problem.clone();
    }
    let mut words = vec!["It can be used.".to_owned()];
    words.extend(
        said.memory.map(|bytes| format!("It takes about {} of memory at most.", format::bytes(bytes as f64))),
    );
    words.extend(said.seconds.map(|seconds| {
        let jobs = format::plural(said.paced_by as usize, "job");
        format!(
            "It takes about {}, at the pace of the last {jobs} of its kind.",
            format::duration((1e3 * seconds) as u64)
        )
    }));
    words.join(" ")
}

/// How the recipe is run without a server.
fn command(kind: JobKind) -> String {
    let subcommand = kind.command().join(" ");
    let change = match kind {
        JobKind::Distil => {
            "with out = \"DIRECTORY\", files of manifests, and [endpoint] in the place of teacher"
        }
        _ => "with out = \"DIRECTORY\", and directories and files in the place of names",
    };
    format!("# recipe.toml as above, {change}\nqponder {subcommand} --recipe recipe.toml")
}

/// What a kind is called.
pub fn title(kind: JobKind) -> &'static str {
    match kind {
        JobKind::Distil => "Distillation",
        JobKind::Sft => "Cold start",
        JobKind::Grpo => "GRPO",
        JobKind::Evaluate => "Evaluation",
        JobKind::AssessBatch => "Answers",
        JobKind::Export => "Export",
    }
}

/// Whether others can go on with what a job makes.
pub fn is_of_use(job: &Job) -> bool {
    !matches!(job.state, JobState::Failed | JobState::Cancelled)
}

/// An option of a list that may grow at its beginning while it is open: each option knows whether it is chosen.
fn choice(value: String, label: String, chosen: RwSignal<String>) -> impl IntoView {
    let own = value.clone();
    view! { <option value=value prop:selected=move || chosen.with(|chosen| *chosen == own)>{label}</option> }
}
