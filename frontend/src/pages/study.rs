//! One study: how far it is, its guidelines, and for those who run it its images and people.

use leptos::prelude::*;
use leptos::task::spawn_local;
use qponder_shared::study::{ChangeStudy, Study, StudyStatus, check};
use qponder_shared::{Scope, StudyId};
use web_sys::{HtmlTextAreaElement, SubmitEvent};

use crate::api::Failure;
use crate::format::{self, sentence};
use crate::pages::unknown::UnknownPage;
use crate::parts::datasets::Datasets;
use crate::parts::field::FormError;
use crate::parts::guidelines::Guidelines;
use crate::parts::items::Items;
use crate::parts::members::Members;
use crate::route::{Route, follow_link};
use crate::state::App;
use crate::studies;

/// The page at `/studies/{id}`.
#[component]
pub fn StudyPage(
    /// Which study.
    id: StudyId,
) -> impl IntoView {
    let study = RwSignal::new(None::<Study>);
    let failure = RwSignal::new(None::<Failure>);
    let load = Callback::new(move |()| {
        spawn_local(async move {
            match studies::study(id).await {
                Ok(found) => drop(study.try_set(Some(found))),
                Err(reason) => drop(failure.try_set(Some(reason))),
            }
        });
    });
    load.run(());
    let is_there = Memo::new(move |_| study.with(Option::is_some));
    move || match (is_there.get(), failure.get()) {
        (true, _) => view! { <Loaded id study load/> }.into_any(),
        (false, Some(failure)) if failure.status() == Some(404) => {
            view! { <UnknownPage what="study"/> }.into_any()
        }
        (false, Some(failure)) => view! {
            <section class="message" role="alert">
                <h1>"The study could not be loaded"</h1>
                <p>{failure.to_string()}</p>
                <button class="button" on:click=move |_| load.run(())>"Try again"</button>
            </section>
        }
        .into_any(),
        (false, None) => {
            view! { <div class="page" aria-busy="true"><div class="skeleton block"></div></div> }.into_any()
        }
    }
}

#[component]
fn Loaded(id: StudyId, study: RwSignal<Option<Study>>, load: Callback<()>) -> impl IntoView {
    let app = App::get();
    let with = move |part: fn(&Study) -> String| {
        move || study.with(|study| study.as_ref().map(part).unwrap_or_default())
    };
    let name = with(|study| study.name.clone());
    let facts = with(|study| {
        format!(
            "{} · {} for each image · {} · by {}, {}",
            study.task.title(),
            format::plural_of(study.overlap as usize, "person", "people"),
            study.status.name(),
            study.created_by,
            format::time(&study.created_at)
        )
    });
    let votes = with(|study| format!("{} of {} votes", study.counts.votes, study.counts.needed));
    let counts = move || study.with(|study| study.as_ref().map(|study| study.counts).unwrap_or_default());
    let may_rate = move || {
        study.with(|study| {
            study.as_ref().is_some_and(|study| {
                study.status == StudyStatus::Open
                    && (study.is_member || app.session.me().is_some_and(|me| me.user.is_none()))
            })
        })
    };
    Effect::new(move || {
        study.with(|study| {
            if let Some(study) = study {
                document().set_title(&format!("{} · Q-Ponder", study.name));
            }
        });
    });
    let guidelines = Memo::new(move |_| {
        study.with(|study| study.as_ref().map(|study| study.guidelines.clone()).unwrap_or_default())
    });
    view! {
        <div class="page is-wide">
            <p><a href="/studies" on:click=follow_link(app, Route::Studies)>"Studies"</a></p>
            <div class="study-head">
                <div>
                    <h1>{name}</h1>
                    <p class="muted">{facts}</p>
                </div>
                <Show when=may_rate>
                    <a class="button is-primary" href=Route::Annotate(id).path() on:click=follow_link(app, Route::Annotate(id))>"Rate"</a>
                </Show>
                <Show when=move || app.session.may(Scope::Review)>
                    <a class="button" href=Route::Statistics(id).path() on:click=follow_link(app, Route::Statistics(id))>"Statistics"</a>
                    <OpenClose id study/>
                </Show>
                <Show when=move || app.session.may(Scope::Admin)>
                    <a class="button" href=format!("/audit?object={id}")>"History"</a>
                </Show>
            </div>
            <div class="work-progress">
                <progress aria-label="Votes" max=move || counts().needed.max(1).to_string() prop:value=move || counts().votes as f64></progress>
                <span class="muted tabular">{votes}</span>
            </div>
            <section aria-labelledby="guidelines">
                <h2 id="guidelines">"Guidelines"</h2>
                {move || match guidelines.get() {
                    text if text.is_empty() => view! { <p class="muted">"There are none."</p> }.into_any(),
                    text => view! { <Guidelines text/> }.into_any(),
                }}
                <Show when=move || app.session.may(Scope::Review)><EditGuidelines id study/></Show>
            </section>
            <Show when=move || app.session.may(Scope::Review)>
                <Items id study changed=load/>
                <Members id changed=load/>
                <Datasets id study/>
            </Show>
        </div>
    }
}

#[component]
fn OpenClose(id: StudyId, study: RwSignal<Option<Study>>) -> impl IntoView {
    let app = App::get();
    let is_open =
        move || study.with(|study| study.as_ref().is_some_and(|study| study.status == StudyStatus::Open));
    let toggle = move |_| {
        let status = if is_open() { StudyStatus::Closed } else { StudyStatus::Open };
        let revision = study.with_untracked(|study| study.as_ref().map_or(0, |study| study.revision));
        spawn_local(async move {
            let change = ChangeStudy { revision, status: Some(status), ..ChangeStudy::default() };
            match studies::change_study(id, &change).await {
                Ok(changed) => drop(study.try_set(Some(changed))),
                Err(failure) => app.report(&failure),
            }
        });
    };
    view! { <button class="button" on:click=toggle>{move || if is_open() { "Close the study" } else { "Open it again" }}</button> }
}

#[component]
fn EditGuidelines(id: StudyId, study: RwSignal<Option<Study>>) -> impl IntoView {
    let text =
        RwSignal::new(study.with_untracked(|study| {
            study.as_ref().map(|study| study.guidelines.clone()).unwrap_or_default()
        }));
    let (error, is_busy) = (RwSignal::new(None), RwSignal::new(false));
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        if is_busy.get_untracked() {
            return;
        }
        let length = check::text("the guidelines", &text.read_untracked(), 0, check::MAX_GUIDELINES);
        if let Err(why) = length {
            return error.set(Some(sentence(&why)));
        }
        is_busy.set(true);
        error.set(None);
        let revision = study.with_untracked(|study| study.as_ref().map_or(0, |study| study.revision));
        let change =
            ChangeStudy { revision, guidelines: Some(text.get_untracked()), ..ChangeStudy::default() };
        spawn_local(async move {
            let outcome = studies::change_study(id, &change).await;
            let _ = is_busy.try_set(false);
            match outcome {
                Ok(changed) => drop(study.try_set(Some(changed))),
                Err(failure) if failure.status() == Some(409) => {
                    // What was typed stays; what the other person wrote is shown above it.
                    if let Ok(now) = studies::study(id).await {
                        let _ = study.try_set(Some(now));
                    }
                    let words = "Somebody changed the study meanwhile: their guidelines are shown above, yours are still here. \
                                 Save again to replace theirs.";
                    let _ = error.try_set(Some(words.to_owned()));
                }
                Err(failure) => drop(error.try_set(Some(sentence(&failure)))),
            }
        });
    };
    view! {
        <details class="disclosure">
            <summary>"Edit the guidelines"</summary>
            <form class="form" on:submit=submit>
                <div class="field">
                    <label for="guidelines-text">"Markdown"</label>
                    <textarea id="guidelines-text" rows="10" prop:value=move || text.get()
                        on:input=move |event| text.set(event_target::<HtmlTextAreaElement>(&event).value())></textarea>
                </div>
                <FormError message=error/>
                <button class="button is-primary" disabled=move || is_busy.get()>"Save"</button>
            </form>
        </details>
    }
}
