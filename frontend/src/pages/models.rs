//! Models that have a name, and what they are used for.

use leptos::prelude::*;
use leptos::task::spawn_local;
use qponder_shared::registry::{Model, ModelUse, Promotion};

use crate::format;
use crate::registry;
use crate::route::{Route, follow_link};
use crate::state::App;

/// The page at `/models`.
#[component]
pub fn ModelsPage() -> impl IntoView {
    let app = App::get();
    document().set_title("Models · Q-Ponder");
    let list = RwSignal::new(None::<Vec<Model>>);
    let next = RwSignal::new(None::<String>);
    let uses = RwSignal::new(Vec::<Promotion>::new());
    let is_busy = RwSignal::new(false);
    let is_archived_shown = RwSignal::new(false);
    let load = move || {
        spawn_local(async move {
            match (registry::models(None).await, registry::uses().await) {
                (Ok(page), Ok(found)) => {
                    let _ = list.try_set(Some(page.items));
                    let _ = next.try_set(page.next);
                    let _ = uses.try_set(found);
                }
                (Err(failure), _) | (_, Err(failure)) => app.report(&failure),
            }
        });
    };
    load();
    let more = move |_| {
        spawn_local(async move {
            match registry::models(next.get_untracked().as_deref()).await {
                Ok(page) => {
                    let _ = list.try_update(|list| list.get_or_insert_default().extend(page.items));
                    let _ = next.try_set(page.next);
                }
                Err(failure) => app.report(&failure),
            }
        });
    };
    let roll_back = move |model_use: ModelUse| {
        is_busy.set(true);
        spawn_local(async move {
            match registry::roll_back(model_use).await {
                Ok(found) => {
                    let now = newest(&found, model_use).and_then(|one| one.name.clone());
                    app.toasts.say(format!(
                        "{}: {}.",
                        title(model_use),
                        now.unwrap_or_else(|| operator(model_use).to_owned())
                    ));
                    app.learn();
                    load();
                }
                Err(failure) => app.report(&failure),
            }
            let _ = is_busy.try_set(false);
        });
    };
    let shown = move || {
        let all = is_archived_shown.get();
        list.get()
            .unwrap_or_default()
            .into_iter()
            .filter(|model| all || !model.is_archived)
            .collect::<Vec<_>>()
    };
    let archived = move || list.with(|list| list.iter().flatten().filter(|model| model.is_archived).count());
    view! {
        <div class="page">
            <div class="page-head"><h1>"Models"</h1></div>
            <section>
                <h2>"In use"</h2>
                <ul class="rows" aria-label="In use">
                    {move || ModelUse::ALL.into_iter().map(|model_use| {
                        let promotions = uses.get();
                        let now = newest(&promotions, model_use).cloned();
                        let was_ever = now.is_some();
                        let name = now.as_ref().and_then(|one| one.name.clone());
                        let since = now.map(|one| format!("since {} · by {}", format::time(&one.created_at), one.created_by));
                        view! {
                            <li>
                                <div class="row-main">
                                    <p class="row-title">{format!("{}: {}", title(model_use), name.unwrap_or_else(|| operator(model_use).to_owned()))}</p>
                                    <p class="muted">{format!("{}{}", what(model_use), since.map(|since| format!(" · {since}")).unwrap_or_default())}</p>
                                </div>
                                {was_ever.then(|| view! {
                                    <button class="button" disabled=move || is_busy.get() on:click=move |_| roll_back(model_use)
                                        aria-label=format!("Roll back {}", title(model_use).to_lowercase())>"Roll back"</button>
                                })}
                            </li>
                        }
                    }).collect_view()}
                </ul>
            </section>
            <section>
                <div class="chart-tools">
                    <h2>"All models"</h2>
                    <Show when=move || archived() != 0>
                        <label class="check"><input type="checkbox" prop:checked=move || is_archived_shown.get()
                            on:change=move |event| is_archived_shown.set(event_target_checked(&event))/>
                            {move || format!(" Show {} put away", archived())}</label>
                    </Show>
                </div>
                <ul class="rows" aria-label="All models">
                    <For each=shown key=|model| format!("{model:?}") let:model>
                        <Row model/>
                    </For>
                </ul>
                <Show when=move || next.with(Option::is_some)>
                    <button class="button more" on:click=more>"Show more"</button>
                </Show>
                <p class="muted">"A training that is done becomes a model on its own page, under Training."</p>
            </section>
        </div>
    }
}

#[component]
fn Row(model: Model) -> impl IntoView {
    let app = App::get();
    let to = Route::Model(model.id);
    view! {
        <li>
            <div class="row-main">
                <p class="row-title"><a href=to.path() on:click=follow_link(app, to)>{model.name.clone()}</a></p>
                <p class="muted">{describe(&model)}</p>
            </div>
        </li>
    }
}

/// A line under the name.
pub fn describe(model: &Model) -> String {
    let mut facts: Vec<String> = model.uses.iter().map(|one| title(*one).to_lowercase()).collect();
    facts.push(
        match (model.is_served, model.is_endpoint, model.job) {
            (_, true, _) => "behind an endpoint",
            (true, ..) => "can be asked now",
            (false, _, Some(_)) => "is loaded when it is promoted",
            (false, _, None) => "not there: the server was started without it",
        }
        .to_owned(),
    );
    facts.extend(model.parameters.map(|parameters| format!("{} parameters", format::count(parameters))));
    facts.push(format!("{} · by {}", format::time(&model.created_at), model.created_by));
    if model.is_archived {
        facts.push("put away".to_owned());
    }
    facts.join(" · ")
}

/// Who has a use now; `None` where nobody was ever promoted to it.
fn newest(promotions: &[Promotion], model_use: ModelUse) -> Option<&Promotion> {
    promotions.iter().find(|one| one.model_use == model_use)
}

/// What a use is called.
pub fn title(model_use: ModelUse) -> &'static str {
    match model_use {
        ModelUse::Default => "Default",
        ModelUse::Preview => "Preview",
        ModelUse::Teacher => "Teacher",
    }
}

fn what(model_use: ModelUse) -> &'static str {
    match model_use {
        ModelUse::Default => "answers where no model is named",
        ModelUse::Preview => "for quick scores inside the browser",
        ModelUse::Teacher => "what others are compared with",
    }
}

/// Who has a use while nobody is promoted to it.
fn operator(model_use: ModelUse) -> &'static str {
    match model_use {
        ModelUse::Default => "as the server was started",
        ModelUse::Preview => "none",
        ModelUse::Teacher => "as the server was started",
    }
}
