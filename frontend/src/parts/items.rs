//! What a study rates: its items, and images of the gallery to add.

use std::collections::BTreeSet;

use leptos::prelude::*;
use leptos::task::spawn_local;
use qponder_shared::api::Image;
use qponder_shared::study::dataset::Dataset;
use qponder_shared::study::{AddItems, Item, ItemKind, Preference, Study, StudyTask};
use qponder_shared::{DatasetId, ImageId, Level, Score, StudyId};
use web_sys::{HtmlInputElement, HtmlSelectElement};

use crate::api::{self, Sort};
use crate::format::{plural, plural_of};
use crate::parts::item_editor::ItemEditor;
use crate::state::App;
use crate::studies;

/// The list of items, and the picker.
#[component]
pub fn Items(id: StudyId, study: RwSignal<Option<Study>>, changed: Callback<()>) -> impl IntoView {
    let app = App::get();
    let items = RwSignal::new(Vec::<Item>::new());
    let next = RwSignal::new(None::<String>);
    let load = move |from: Option<String>| {
        spawn_local(async move {
            match studies::items(id, from.as_deref()).await {
                Ok(page) => {
                    items.try_update(|items| {
                        if from.is_none() {
                            items.clear();
                        }
                        items.extend(page.items);
                    });
                    let _ = next.try_set(page.next);
                }
                Err(failure) => app.report(&failure),
            }
        });
    };
    load(None);
    let edited = RwSignal::new(None::<Item>);
    let changed_one = Callback::new(move |one: Option<Item>| {
        edited.set(None);
        if let Some(one) = one {
            items.update(|items| {
                if let Some(place) = items.iter_mut().find(|item| item.id == one.id) {
                    *place = one;
                }
            });
            changed.run(());
        }
    });
    let added = Callback::new(move |()| {
        load(None);
        changed.run(());
    });
    let task = study.with_untracked(|study| study.as_ref().map_or(StudyTask::Acr, |study| study.task));
    view! {
        <section aria-labelledby="items">
            <h2 id="items">"Images"</h2>
            <Show when=move || items.with(Vec::is_empty)><p class="muted">"There are none yet. Add some below."</p></Show>
            <ul class="strip">
                <For each=move || items.get() key=|item| (item.id, item.answered, item.kind.name(), item.repeated) let:item>
                    <li>
                      <button type="button" title="Change what it is for"
                        on:click={ let item = item.clone(); move |_| edited.set(Some(item.clone())) }>
                        {item.images.iter().map(|image| view! { <img src=api::thumbnail_url(*image) alt="" loading="lazy"/> }).collect_view()}
                        <span class="strip-name" title=item.name.clone()>{item.name.clone()}</span>
                        <span class="muted">{format!("{}{}{}",
                            plural_of(item.answered as usize, "person", "people"),
                            if item.kind == ItemKind::Rated { String::new() } else { format!(" · {}", item.kind.name()) },
                            if item.repeated { " · twice" } else { "" })}</span>
                      </button>
                    </li>
                </For>
            </ul>
            {move || edited.get().map(|item| view! { <ItemEditor item task done=changed_one/> })}
            <Show when=move || next.with(Option::is_some)>
                <button class="button more" on:click=move |_| load(next.get_untracked())>"Show more"</button>
            </Show>
            <details class="disclosure">
                <summary>"Add images"</summary>
                <Picker id task added/>
            </details>
        </section>
    }
}

#[component]
fn Picker(id: StudyId, task: StudyTask, added: Callback<()>) -> impl IntoView {
    let app = App::get();
    let images = RwSignal::new(Vec::<Image>::new());
    let next = RwSignal::new(None::<String>);
    let picked = RwSignal::new(BTreeSet::<ImageId>::new());
    let kind = RwSignal::new(ItemKind::Rated);
    let expected = RwSignal::new(None::<Level>);
    let preferred = RwSignal::new(None::<Preference>);
    let repeated = RwSignal::new(false);
    let is_busy = RwSignal::new(false);
    let (datasets, dataset) = (RwSignal::new(Vec::<Dataset>::new()), RwSignal::new(None::<DatasetId>));
    spawn_local(async move {
        match studies::datasets().await {
            Ok(page) => drop(datasets.try_set(page.items)),
            Err(failure) => app.report(&failure),
        }
    });
    let load = move || {
        spawn_local(async move {
            match api::images(Sort::Newest, next.get_untracked().as_deref()).await {
                Ok(page) => {
                    images.try_update(|images| images.extend(page.items));
                    let _ = next.try_set(page.next);
                }
                Err(failure) => app.report(&failure),
            }
        });
    };
    load();
    let add = move |_| {
        let is_expected = kind.get_untracked() != ItemKind::Rated;
        let body = AddItems {
            dataset: dataset.get_untracked(),
            images: images.with_untracked(|images| {
                let picked = picked.get_untracked();
                images.iter().map(|image| image.id).filter(|id| picked.contains(id)).collect()
            }),
            pairs: Vec::new(),
            kind: kind.get_untracked(),
            expected: expected
                .get_untracked()
                .filter(|_| is_expected)
                .and_then(|level| Score::clamped(level.value())),
            expected_preference: preferred.get_untracked().filter(|_| is_expected),
            tolerance: 1.0,
            repeated: repeated.get_untracked(),
        };
        if is_busy.get_untracked() {
            return;
        }
        if body.images.is_empty() && body.dataset.is_none() {
            return app.toasts.say("Pick at least one image.");
        }
        is_busy.set(true);
        spawn_local(async move {
            let outcome = studies::add_items(id, &body).await;
            let _ = is_busy.try_set(false);
            match outcome {
                Ok(done) => {
                    let present = match done.present {
                        0 => String::new(),
                        present => format!(" {present} were there already."),
                    };
                    app.toasts.say(format!("{} added.{present}", plural(done.added as usize, "item")));
                    let _ = picked.try_set(BTreeSet::new());
                    added.run(());
                }
                Err(failure) => app.report(&failure),
            }
        });
    };
    let all =
        move |_| picked.set(images.with_untracked(|images| images.iter().map(|image| image.id).collect()));
    let choose_kind = move |event: web_sys::Event| {
        if let Some(chosen) = ItemKind::of_name(&event_target::<HtmlSelectElement>(&event).value()) {
            kind.set(chosen);
        }
    };
    let choose_expected = move |event: web_sys::Event| {
        let chosen = event_target::<HtmlSelectElement>(&event).value();
        if task == StudyTask::Pairs {
            preferred.set(Preference::of_name(&chosen));
        } else {
            expected.set(chosen.parse().ok());
        }
    };
    view! {
        <div class="form is-row">
            <div class="field">
                <label for="item-kind">"What they are for"</label>
                <select id="item-kind" on:change=choose_kind>
                    <option value="rated">"To be rated"</option>
                    <option value="training">"Training, shown first"</option>
                    <option value="gold">"Gold, to see who is careful"</option>
                </select>
            </div>
            <div class="field" hidden=move || kind.get() == ItemKind::Rated>
                <label for="item-expected">"Expected answer"</label>
                <select id="item-expected" on:change=choose_expected>
                    <option value="">"none"</option>
                    {if task == StudyTask::Pairs {
                        [Preference::First, Preference::Same, Preference::Second]
                            .map(|one| view! { <option value=one.name()>{one.name()}</option> })
                            .into_any()
                    } else {
                        Level::ALL.map(|level| view! { <option value=level.word()>{level.word()}</option> }).into_any()
                    }}
                </select>
            </div>
            <div class="field" hidden=move || datasets.with(Vec::is_empty)>
                <label for="item-dataset">"All images of a dataset"</label>
                <select id="item-dataset"
                    on:change=move |event| dataset.set(event_target::<HtmlSelectElement>(&event).value().parse().ok())>
                    <option value="">"none"</option>
                    {move || datasets.get().into_iter().map(|one| view! {
                        <option value=one.id.to_string()>{format!("{}, version {}", one.name, one.version)}</option>
                    }).collect_view()}
                </select>
            </div>
            <label class="check">
                <input type="checkbox" prop:checked=move || repeated.get()
                    on:change=move |event| repeated.set(event_target::<HtmlInputElement>(&event).checked())/>
                " Show them twice, without saying so"
            </label>
        </div>
        <ul class="strip is-picker">
            <For each=move || images.get() key=|image| image.id let:image>
                <li>
                    <button type="button" aria-pressed=move || picked.with(|picked| picked.contains(&image.id)).to_string()
                        aria-label=image.name.clone()
                        on:click=move |_| picked.update(|picked| if !picked.remove(&image.id) { picked.insert(image.id); })>
                        <img src=api::thumbnail_url(image.id) alt="" loading="lazy"/>
                        <span class="strip-name" title=image.name.clone()>{image.name.clone()}</span>
                    </button>
                </li>
            </For>
        </ul>
        <div class="sheet-actions">
            <button class="button is-primary" disabled=move || is_busy.get() on:click=add>
                {move || match picked.with(BTreeSet::len) {
                    0 => "Add to the study".to_owned(),
                    count => format!("Add {} to the study", plural(count, "image")),
                }}
            </button>
            <button class="button" on:click=all>"Pick all shown"</button>
            <Show when=move || next.with(Option::is_some)>
                <button class="button" on:click=move |_| load()>"Show more"</button>
            </Show>
        </div>
        {(task == StudyTask::Pairs).then(|| view! { <p class="muted">"Every pair of the picked images becomes an item."</p> })}
    }
}
