//! All studies, and a form for another one.

use leptos::prelude::*;
use leptos::task::spawn_local;
use qponder_shared::Scope;
use qponder_shared::study::{CreateStudy, Study, StudyStatus, StudyTask, check};
use web_sys::{HtmlInputElement, HtmlSelectElement, HtmlTextAreaElement, SubmitEvent};

use crate::clock;
use crate::format::{plural, sentence};
use crate::parts::field::{Field, FormError};
use crate::route::{self, Route, follow_link};
use crate::state::App;
use crate::studies;

/// The page at `/studies`.
#[component]
pub fn StudiesPage() -> impl IntoView {
    let app = App::get();
    document().set_title("Studies · Q-Ponder");
    let list = RwSignal::new(None::<Vec<Study>>);
    let next = RwSignal::new(None::<String>);
    let load = move || {
        spawn_local(async move {
            match studies::studies(next.get_untracked().as_deref()).await {
                Ok(page) => {
                    list.try_update(|list| list.get_or_insert_default().extend(page.items));
                    let _ = next.try_set(page.next);
                }
                Err(failure) => app.report(&failure),
            }
        });
    };
    load();
    let is_empty = move || list.with(|list| list.as_ref().is_some_and(Vec::is_empty));
    view! {
        <div class="page">
            <h1>"Studies"</h1>
            <Show when=is_empty>
                <p class="muted">{move || if app.session.may(Scope::Review) {
                    "There is none yet. A study asks several people to rate the same images under the same rules."
                } else {
                    "You are not in a study yet. Whoever runs one adds you to it."
                }}</p>
            </Show>
            <ul class="rows">
                <For each=move || list.get().unwrap_or_default() key=|study| study.id let:study><StudyRow study/></For>
            </ul>
            <Show when=move || next.with(Option::is_some)>
                <button class="button more" on:click=move |_| load()>"Show more"</button>
            </Show>
            <Show when=move || app.session.may(Scope::Review)><NewStudy/></Show>
        </div>
    }
}

#[component]
fn StudyRow(study: Study) -> impl IntoView {
    let app = App::get();
    let id = study.id;
    let counts = study.counts;
    let facts = format!(
        "{} · {} · {} of {} votes",
        study.task.title(),
        plural(counts.items as usize, "item"),
        counts.votes,
        counts.needed
    );
    let may_rate = study.status == StudyStatus::Open
        && (study.is_member || app.session.me().is_some_and(|me| me.user.is_none()));
    view! {
        <li>
            <div class="row-main">
                <p class="row-title">
                    <a href=Route::Study(id).path() on:click=follow_link(app, Route::Study(id))>{study.name.clone()}</a>
                    {(study.status == StudyStatus::Closed).then_some(" · closed")}
                </p>
                <p class="muted">{facts}</p>
            </div>
            {may_rate.then(|| view! {
                <a class="button is-primary" href=Route::Annotate(id).path() on:click=follow_link(app, Route::Annotate(id))>"Rate"</a>
            })}
        </li>
    }
}

#[component]
fn NewStudy() -> impl IntoView {
    let app = App::get();
    let name = RwSignal::new(String::new());
    let guidelines = RwSignal::new(String::new());
    let task = RwSignal::new(StudyTask::Acr);
    let overlap = RwSignal::new("15".to_owned());
    let (error, is_busy) = (RwSignal::new(None), RwSignal::new(false));
    // What was sent, and under which key: the same again is the same study.
    let sent = StoredValue::new(None::<(CreateStudy, String)>);
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        if is_busy.get_untracked() {
            return;
        }
        let Ok(overlap) = overlap.get_untracked().trim().parse() else {
            return error
                .set(Some("How many people rate each image? A whole number, such as 15.".to_owned()));
        };
        let texts = check::text("the name", &name.read_untracked(), 1, check::MAX_NAME).and_then(|_| {
            check::text("the guidelines", &guidelines.read_untracked(), 0, check::MAX_GUIDELINES)
        });
        if let Err(why) = texts {
            return error.set(Some(sentence(&why)));
        }
        is_busy.set(true);
        error.set(None);
        let body = CreateStudy {
            name: name.get_untracked(),
            task: task.get_untracked(),
            guidelines: guidelines.get_untracked(),
            overlap,
            seed: None,
            break_minutes: 20,
        };
        let known = sent.get_value().filter(|(earlier, _)| *earlier == body);
        let key = known.map_or_else(clock::unique, |(_, key)| key);
        sent.set_value(Some((body.clone(), key.clone())));
        spawn_local(async move {
            let outcome = studies::create_study(&body, &key).await;
            let _ = is_busy.try_set(false);
            match outcome {
                Ok(study) => route::go(app, Route::Study(study.id)),
                Err(failure) => drop(error.try_set(Some(sentence(&failure)))),
            }
        });
    };
    let choose = move |event: web_sys::Event| {
        if let Some(chosen) = StudyTask::of_name(&event_target::<HtmlSelectElement>(&event).value()) {
            task.set(chosen);
        }
    };
    view! {
        <section aria-labelledby="new-study">
            <h2 id="new-study">"New study"</h2>
            <form class="form" on:submit=submit>
                <Field label="Name" name="study-name" value=name/>
                <div class="field">
                    <label for="study-task">"What people do"</label>
                    <select id="study-task" on:change=choose>
                        {StudyTask::ALL.map(|one| view! { <option value=one.name()>{one.title()}</option> })}
                    </select>
                </div>
                <div class="field">
                    <label for="study-overlap">"People for each image"</label>
                    <input id="study-overlap" type="number" min="1" max="1000" prop:value=move || overlap.get()
                        on:input=move |event| overlap.set(event_target::<HtmlInputElement>(&event).value())/>
                    <p class="hint">"ITU-R BT.500 asks for at least 15 people whose votes remain after screening."</p>
                </div>
                <div class="field">
                    <label for="study-guidelines">"Guidelines"</label>
                    <textarea id="study-guidelines" rows="6" aria-describedby="study-guidelines-hint" prop:value=move || guidelines.get()
                        on:input=move |event| guidelines.set(event_target::<HtmlTextAreaElement>(&event).value())></textarea>
                    <p class="hint" id="study-guidelines-hint">"Markdown. People see them before they begin, and beside each image."</p>
                </div>
                <FormError message=error/>
                <button class="button is-primary" disabled=move || is_busy.get()>"Make the study"</button>
            </form>
        </section>
    }
}
