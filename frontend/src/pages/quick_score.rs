//! Scoring photos on this device: drop them, see each score as it comes, ask for reasons, keep the table.

use js_sys::encode_uri_component;
use leptos::prelude::*;
use qponder_shared::quick::Place;
use web_sys::{HtmlInputElement, HtmlSelectElement};

use crate::dropped::listed;
use crate::format::{self, plural};
use crate::parts::quick_row::QuickRow;
use crate::quick::{Column, EngineState, csv};
use crate::state::App;

const FILES: &str = "quick-files";
const FOLDER: &str = "quick-folder";
const PLACE: &str = "quick-place";

/// Where to compute, with what it is called.
const PLACES: [(Place, &str); 3] =
    [(Place::Faster, "The faster one"), (Place::Gpu, "Graphics card"), (Place::Cpu, "Processor")];

/// Opens the browser's file dialog.
pub fn choose_files() {
    press(FILES);
}

fn press(id: &str) {
    use wasm_bindgen::JsCast as _;
    let input = document().get_element_by_id(id);
    if let Some(input) = input.and_then(|input| input.dyn_into::<HtmlInputElement>().ok()) {
        input.click();
    }
}

/// The page at `/quick-score`.
#[component]
pub fn QuickScorePage() -> impl IntoView {
    let app = App::get();
    let quick = app.quick;
    document().set_title("Quick score · Q-Ponder");
    quick.open(app);
    let picked = move |event: web_sys::Event| {
        let input: HtmlInputElement = event_target(&event);
        if let Some(files) = input.files() {
            quick.add(app, listed(&files));
        }
        // So that the same file can be picked again.
        input.set_value("");
    };
    let has_photos = Memo::new(move |_| quick.count().0 > 0);
    view! {
        <div class="page is-wide quick">
            <h1>"Quick score"</h1>
            <p class="muted">
                "The model runs in this browser. Photos are read here and stay on this device: nothing is uploaded
                unless you send it."
            </p>
            <EngineLine/>
            <button class="drop-here" on:click=move |_| choose_files()>
                <span class="corners" aria-hidden="true"></span>
                <span class="drop-title">"Drop photographs"</span>
                <span class="muted">"or a folder, or choose files, or paste one. PNG, JPEG or WebP; as many as you like."</span>
            </button>
            <div class="row-actions">
                <button class="button" on:click=move |_| press(FOLDER)>"Choose a folder"</button>
                <label class="button camera">
                    "Take a photo"
                    <input class="sr" type="file" accept="image/*" capture="environment" on:change=picked/>
                </label>
            </div>
            <input id=FILES class="sr" type="file" multiple accept="image/png,image/jpeg,image/webp" tabindex="-1"
                aria-label="Photos to score" on:change=picked/>
            <input id=FOLDER class="sr" type="file" multiple prop:webkitdirectory=true tabindex="-1"
                aria-label="Folder of photos to score" on:change=picked/>
            <Show when=move || has_photos.get()><Photos/></Show>
        </div>
    }
}

/// What runs, or how far it is loaded.
#[component]
fn EngineLine() -> impl IntoView {
    let app = App::get();
    let quick = app.quick;
    let place = RwSignal::new(Place::default());
    let line = move || {
        match quick.engine.get() {
        EngineState::Off => ().into_any(),
        EngineState::Loading { loaded, total } => view! {
            <p class="transfer-progress" role="status">
                <progress max=total.max(1).to_string() value=loaded.to_string() aria-label="Loading the model"></progress>
                <span class="tabular">{if total == 0 {
                    "Loading the engine…".to_owned()
                } else {
                    format!("{} of {} of the model", format::bytes(loaded as f64), format::bytes(total as f64))
                }}</span>
            </p>
        }
        .into_any(),
        EngineState::Broken(reason) => view! {
            <div class="warning" role="alert">
                <p><strong>"Nothing can be scored here."</strong>" "{reason}</p>
                <button class="button" on:click=move |_| quick.try_again(app)>"Try again"</button>
            </div>
        }
        .into_any(),
        EngineState::Ready(ready) => {
            let kept = match &ready.not_kept {
                None => format!("This browser keeps the model ({}).", format::bytes(ready.bytes as f64)),
                Some(reason) => format!("The model is not kept for next time: {reason}."),
            };
            let is_kept = ready.not_kept.is_none();
            view! {
                <dl class="engine-line">
                    <div><dt>"Model"</dt><dd>{format!("{}, {}", ready.model, ready.quant)}</dd></div>
                    <div>
                        <dt><label for=PLACE>"Runs on"</label></dt>
                        <dd>
                            <strong>{ready.runs.on}</strong>{format!(" ({}) ", ready.runs.reason)}
                            <select id=PLACE on:change=move |event| {
                                let at = event_target::<HtmlSelectElement>(&event).selected_index();
                                if let Some((chosen, _)) = usize::try_from(at).ok().and_then(|at| PLACES.get(at)) {
                                    place.set(*chosen);
                                    quick.use_place(*chosen);
                                }
                            }>
                                {PLACES.map(|(one, name)| view! {
                                    <option selected=place.get_untracked() == one>{name}</option>
                                })}
                            </select>
                        </dd>
                    </div>
                    <div>
                        <dt>"Kept"</dt>
                        <dd>
                            {kept}
                            <Show when=move || quick.is_offline_ready.get() && is_kept>
                                " This page works without a network."
                            </Show>
                            <Show when=move || is_kept>
                                " "<button class="button is-plain" on:click=move |_| quick.forget()>"Remove"</button>
                            </Show>
                        </dd>
                    </div>
                </dl>
            }
            .into_any()
        }
    }
    };
    view! {
        {line}
        {move || quick.notice.get().map(|notice| view! { <p class="warning" role="alert">{notice}</p> })}
    }
}

/// The table and what can be done with all of it.
#[component]
fn Photos() -> impl IntoView {
    let app = App::get();
    let quick = app.quick;
    let progress = move || {
        let (all, open) = quick.count();
        if open == 0 {
            plural(all, "photo")
        } else {
            format!("{} of {} scored", all - open, plural(all, "photo"))
        }
    };
    let save = move |event: web_sys::MouseEvent| {
        use wasm_bindgen::JsCast as _;
        let link =
            event.current_target().and_then(|target| target.dyn_into::<web_sys::HtmlAnchorElement>().ok());
        if let Some(link) = link {
            let table = untrack(|| csv(&quick.photos()));
            link.set_href(&format!(
                "data:text/csv;charset=utf-8,{}",
                String::from(encode_uri_component(&table))
            ));
        }
    };
    view! {
        <section aria-labelledby="quick-photos">
            <div class="page-head">
                <h2 id="quick-photos" class="tabular" aria-live="off">{progress}</h2>
                <div class="row-actions">
                    <a class="button" href="#" download="scores.csv" on:click=save>"CSV"</a>
                    <button class="button" on:click=move |_| quick.clear()>"Clear"</button>
                </div>
            </div>
            <div class="quick-table" role="table" aria-labelledby="quick-photos">
                <div role="rowgroup">
                    <div class="quick-columns" role="row">
                        {Column::ALL.map(|(column, name)| view! { <Heading column name/> })}
                        <div role="columnheader"><span class="sr">"Actions"</span></div>
                    </div>
                </div>
                <For each=move || quick.photos() key=|photo| photo.key let:photo>
                    <QuickRow photo/>
                </For>
            </div>
        </section>
    }
}

/// The heading of a column, which sorts by it.
#[component]
fn Heading(column: Column, name: &'static str) -> impl IntoView {
    let quick = App::get().quick;
    let sorted = move || quick.order.get().aria(column);
    view! {
        <div role="columnheader" aria-sort=sorted>
            <button class="quick-sort" on:click=move |_| quick.order.update(|order| *order = order.pressed(column))>
                {name}
            </button>
        </div>
    }
}
