//! One model: where it comes from, how good it is, and what it is used for.

use std::collections::BTreeMap;

use leptos::prelude::*;
use leptos::task::spawn_local;
use qponder_shared::ModelId;
use qponder_shared::api::ModelRole;
use qponder_shared::job::Job;
use qponder_shared::registry::{EditModel, Measurement, Model, ModelUse};
use web_sys::{HtmlTextAreaElement, SubmitEvent};

use crate::api::Failure;
use crate::format::sentence;
use crate::pages::models::{describe, title};
use crate::pages::unknown::UnknownPage;
use crate::parts::field::FormError;
use crate::parts::guidelines::Guidelines;
use crate::parts::lineage::Lineage;
use crate::parts::outcome::MeasuredTable;
use crate::state::App;
use crate::{registry, studies, training};

/// The page at `/models/{id}`.
#[component]
pub fn ModelPage(id: ModelId) -> impl IntoView {
    let app = App::get();
    document().set_title("Model · Q-Ponder");
    let model = RwSignal::new(None::<Model>);
    let failure = RwSignal::new(None::<Failure>);
    let measured = RwSignal::new(Vec::<Measurement>::new());
    let lineage = RwSignal::new(Vec::<Job>::new());
    let names = RwSignal::new(BTreeMap::<String, String>::new());
    spawn_local(async move {
        let found = match registry::model(id).await {
            Ok(found) => found,
            Err(reason) => return drop(failure.try_set(Some(reason))),
        };
        document().set_title(&format!("{} · Models · Q-Ponder", found.name));
        let job = found.job;
        let mut called = BTreeMap::new();
        called.extend(job.map(|job| (format!("job:{job}"), found.name.clone())));
        let _ = model.try_set(Some(found));
        if let Ok(page) = studies::datasets().await {
            let named = page.items.into_iter();
            called.extend(named.map(|one| {
                (format!("dataset:{}", one.id), format!("{}, version {}", one.name, one.version))
            }));
        }
        let _ = names.try_set(called);
        match registry::measurements(id).await {
            Ok(found) => drop(measured.try_set(found)),
            Err(reason) => app.report(&reason),
        }
        if let Some(job) = job
            && let (Ok(mut before), Ok(own)) = (training::lineage(job).await, training::job(job).await)
        {
            before.push(own);
            let _ = lineage.try_set(before);
        }
    });
    let is_there = Memo::new(move |_| model.with(Option::is_some));
    move || {
        match (is_there.get(), failure.get()) {
        (true, _) => view! {
            <div class="page is-wide">
                {move || model.get().map(|one| view! { <Head one model/> })}
                <Card model/>
                <section>
                    <h2>"Measured"</h2>
                    <Show when=move || measured.with(Vec::is_empty)>
                        <p class="muted">"No evaluation has measured it yet; queue one under Training."</p>
                    </Show>
                    {move || (!measured.with(Vec::is_empty)).then(|| {
                        let rows = measured.get().into_iter().map(|one| one.measured).collect::<Vec<_>>();
                        view! { <MeasuredTable measured=rows names/> }
                    })}
                </section>
                <Lineage title="How it came about" jobs=lineage/>
            </div>
        }
        .into_any(),
        (false, Some(failure)) if failure.status() == Some(404) => view! { <UnknownPage what="model"/> }.into_any(),
        (false, Some(failure)) => {
            view! { <section class="message" role="alert"><h1>"The model could not be loaded"</h1><p>{failure.to_string()}</p></section> }
                .into_any()
        }
        (false, None) => view! { <div class="page" aria-busy="true"><div class="skeleton block"></div></div> }.into_any(),
    }
    }
}

#[component]
fn Head(one: Model, model: RwSignal<Option<Model>>) -> impl IntoView {
    let app = App::get();
    let (is_busy, error) = (RwSignal::new(false), RwSignal::new(None::<String>));
    let id = one.id;
    let name = one.name.clone();
    let reload = move || async move {
        if let Ok(found) = registry::model(id).await {
            let _ = model.try_set(Some(found));
        }
    };
    let promote = {
        let name = name.clone();
        Callback::new(move |(model_use, is_on): (ModelUse, bool)| {
            is_busy.set(true);
            error.set(None);
            let name = name.clone();
            spawn_local(async move {
                match registry::promote(model_use, is_on.then_some(id)).await {
                    Ok(_) => {
                        let what = if is_on { "is promoted to" } else { "is no longer" };
                        app.toasts.say(format!("{name} {what} {}.", title(model_use).to_lowercase()));
                        app.learn();
                        reload().await;
                    }
                    Err(failure) => drop(error.try_set(Some(sentence(&failure)))),
                }
                let _ = is_busy.try_set(false);
            });
        })
    };
    let put_away = move |is_archived: bool| {
        spawn_local(async move {
            match registry::edit(id, &EditModel { card: None, is_archived: Some(is_archived) }).await {
                Ok(found) => drop(model.try_set(Some(found))),
                Err(failure) => drop(error.try_set(Some(sentence(&failure)))),
            }
        });
    };
    let is_own_teacher = {
        let name = name.clone();
        move || {
            let models = app.info.get().map(|info| info.models).unwrap_or_default();
            models.iter().any(|one| one.name == name && one.role == ModelRole::Teacher)
        }
    };
    let buttons = ModelUse::ALL.into_iter().map(|model_use| {
        let is_on = one.uses.contains(&model_use);
        let label = match (model_use, is_on) {
            (ModelUse::Default, false) => "Make it the default",
            (ModelUse::Default, true) => "No longer the default",
            (ModelUse::Preview, false) => "Use it in the browser",
            (ModelUse::Preview, true) => "No longer in the browser",
            (ModelUse::Teacher, false) => "Make it the teacher",
            (ModelUse::Teacher, true) => "No longer the teacher",
        };
        let is_main = model_use == ModelUse::Default && !is_on;
        view! {
            <button class="button" class:is-primary=is_main disabled=move || is_busy.get()
                on:click=move |_| promote.run((model_use, !is_on))>{label}</button>
        }
    });
    let can_be_promoted = !one.is_endpoint && !one.is_archived && (one.job.is_some() || one.is_served);
    view! {
        <div class="page-head">
            <div>
                <h1>{name}</h1>
                <p class="muted" role="status">{describe(&one)}</p>
                <p class="muted">{format!("SHA-256 {}", one.sha256)}</p>
            </div>
            <div class="row-actions">
                {can_be_promoted.then(|| buttons.collect_view())}
                {one.job.is_some().then(|| view! { <a class="button" href=registry::file_url(id) download="">"Export"</a> })}
                {(one.job.is_some() && one.uses.is_empty()).then(|| {
                    let is_archived = one.is_archived;
                    let label = if is_archived { "Take it out again" } else { "Put it away" };
                    view! { <button class="button" on:click=move |_| put_away(!is_archived)>{label}</button> }
                })}
            </div>
        </div>
        <Show when=move || is_busy.get()><p class="muted" role="status">"The model is being loaded; the one before answers meanwhile."</p></Show>
        <Show when=is_own_teacher><p class="muted">"It is a teacher on this server: other models are compared with it."</p></Show>
        <FormError message=error/>
    }
}

/// What people should know of it.
#[component]
fn Card(model: RwSignal<Option<Model>>) -> impl IntoView {
    let app = App::get();
    let typed = RwSignal::new(None::<String>);
    let error = RwSignal::new(None);
    let card = Memo::new(move |_| {
        model.with(|model| model.as_ref().map(|model| model.card.clone()).unwrap_or_default())
    });
    let save = move |event: SubmitEvent| {
        event.prevent_default();
        let (Some(id), Some(text)) =
            (model.with_untracked(|model| model.as_ref().map(|model| model.id)), typed.get_untracked())
        else {
            return;
        };
        error.set(None);
        spawn_local(async move {
            match registry::edit(id, &EditModel { card: Some(text), is_archived: None }).await {
                Ok(found) => {
                    let _ = model.try_set(Some(found));
                    let _ = typed.try_set(None);
                    app.announcement.set("The card is saved.".to_owned());
                }
                Err(failure) => drop(error.try_set(Some(sentence(&failure)))),
            }
        });
    };
    view! {
        <section>
            <div class="chart-tools">
                <h2>"Card"</h2>
                <Show when=move || typed.with(Option::is_none)>
                    <button class="button" on:click=move |_| typed.set(Some(card.get_untracked()))>"Edit"</button>
                </Show>
            </div>
            {move || match typed.with(Option::is_some) {
                false if card.with(String::is_empty) => view! { <p class="muted">"Nobody has written down yet what people should know of it."</p> }.into_any(),
                false => view! { <Guidelines text=card.get()/> }.into_any(),
                true => view! {
                    <form class="form" on:submit=save>
                        <div class="field is-whole">
                            <label for="model-card">"Markdown"</label>
                            <textarea id="model-card" rows="10" prop:value=typed.get_untracked().unwrap_or_default()
                                on:input=move |event| typed.set(Some(event_target::<HtmlTextAreaElement>(&event).value()))></textarea>
                        </div>
                        <FormError message=error/>
                        <div class="row-actions">
                            <button class="button is-primary">"Save"</button>
                            <button class="button" type="button" on:click=move |_| typed.set(None)>"Leave it as it was"</button>
                        </div>
                    </form>
                }.into_any(),
            }}
        </section>
    }
}
