//! A form for an import: a file, what it holds, what becomes of it.

use leptos::prelude::*;
use leptos::task::spawn_local;
use qponder_shared::StudyId;
use qponder_shared::dataset::Format;
use qponder_shared::study::Study;
use qponder_shared::transfer::{CreateImport, ImportContent, Transfer};
use wasm_bindgen::JsCast as _;
use web_sys::{File, HtmlInputElement, SubmitEvent};

use crate::format::sentence;
use crate::parts::export_form::{Check, chosen_of};
use crate::parts::field::{Field, FormError};
use crate::state::App;
use crate::{studies, transferring};

const FILE: &str = "import-file";

/// What a file can hold: name, words, and what to know.
const CONTENTS: [(&str, &str, &str); 5] = [
    (
        "labels",
        "Labels (CSV, DeQA-Score, Q-Insight, published datasets)",
        "They become a version of a dataset, and labels of the images.",
    ),
    ("manifest", "A manifest (JSON lines)", "It becomes a version of a dataset, and labels of the images."),
    (
        "conversations",
        "Conversations (ms-swift, LLaMA-Factory)",
        "Their answers become answers of a model, to be compared and corrected.",
    ),
    (
        "votes",
        "Votes (CSV)",
        "A line each, with the columns person, image and score; of pairs person, image, other_image and preference.",
    ),
    ("images", "Images only (zip or tar)", "They go to the gallery."),
];

/// The form; `begun` gets what it began.
#[component]
pub fn ImportForm(begun: impl Fn(Transfer) + Copy + 'static) -> impl IntoView {
    let app = App::get();
    let content = RwSignal::new("labels".to_owned());
    let (name, model) = (RwSignal::new(String::new()), RwSignal::new(String::new()));
    let layout = RwSignal::new("csv".to_owned());
    let (direction, range) = (RwSignal::new(String::new()), RwSignal::new(String::new()));
    let (ignore_std, skip_problems) = (RwSignal::new(false), RwSignal::new(false));
    let label_file = RwSignal::new(String::new());
    let study = RwSignal::new(None::<StudyId>);
    let all_studies = RwSignal::new(Vec::<Study>::new());
    let (error, is_busy, sent) = (RwSignal::new(None), RwSignal::new(false), RwSignal::new(0.0));
    spawn_local(async move {
        // The form beside it reports when this fails.
        if let Ok(page) = studies::studies(None).await {
            let _ = study.try_set(page.items.first().map(|first| first.id));
            let _ = all_studies.try_set(page.items);
        }
    });
    let wish = move || -> Result<CreateImport, String> {
        let content = match content.get_untracked().as_str() {
            "images" => ImportContent::Images {},
            "manifest" => ImportContent::Manifest { name: name.get_untracked() },
            "conversations" => ImportContent::Conversations { model: model.get_untracked() },
            "votes" => ImportContent::Votes {
                study: study.get_untracked().ok_or("Choose a study; make one first.")?,
            },
            _ => ImportContent::Labels {
                name: name.get_untracked(),
                layout: layout.get_untracked(),
                direction: Some(direction.get_untracked()).filter(|direction| !direction.is_empty()),
                range: read_range(&range.get_untracked())?,
                ignore_std: ignore_std.get_untracked(),
            },
        };
        let file = Some(label_file.get_untracked().trim().to_owned()).filter(|file| !file.is_empty());
        let wish = CreateImport { content, file, skip_problems: skip_problems.get_untracked() };
        wish.check()?;
        Ok(wish)
    };
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        error.set(None);
        let Some(file) = chosen_file() else {
            return error.set(Some("Choose a file.".to_owned()));
        };
        let body = match wish() {
            Ok(body) => body,
            Err(problem) => return error.set(Some(sentence(&problem))),
        };
        is_busy.set(true);
        sent.set(0.0);
        spawn_local(async move {
            let outcome = transferring::import(&body, &file, sent).await;
            let _ = is_busy.try_set(false);
            match outcome {
                Ok(transfer) => begun(transfer),
                Err(failure) => {
                    app.reach();
                    let _ = error.try_set(Some(sentence(&failure)));
                }
            }
        });
    };
    let is = move |contents: &'static [&'static str]| move || contents.contains(&content.get().as_str());
    let hint = move || {
        let found = CONTENTS.iter().find(|(name, ..)| *name == content.get());
        found.map(|(_, _, hint)| *hint)
    };
    view! {
        <section aria-labelledby="import">
            <h2 id="import">"Import"</h2>
            <form class="form" on:submit=submit>
                <div class="field">
                    <label for="import-content">"What the file holds"</label>
                    <select id="import-content" aria-describedby="import-hint"
                        on:change=move |event| content.set(chosen_of(&event))>
                        {CONTENTS.map(|(name, title, _)| view! { <option value=name>{title}</option> })}
                    </select>
                    <p class="hint" id="import-hint">{hint}</p>
                </div>
                <div class="field">
                    <label for=FILE>"File"</label>
                    <input id=FILE type="file" accept=".csv,.tsv,.txt,.json,.jsonl,.zip,.tar" aria-describedby="import-file-hint"/>
                    <p class="hint" id="import-file-hint">
                        "A zip or tar with the images, or the label file alone if the images are here already: then it
                        names them by file name or by SHA-256."
                    </p>
                </div>
                <Show when=is(&["labels", "manifest"])>
                    <Field label="Name of the dataset" name="import-name" value=name hint="A name that is there gets its next version."/>
                </Show>
                <Show when=is(&["labels"])>
                    <div class="field">
                        <label for="import-layout">"Layout"</label>
                        <select id="import-layout" prop:value=move || layout.get()
                            on:change=move |event| layout.set(chosen_of(&event))>
                            {Format::ALL.map(|one| view! { <option value=one.name()>{format!("{}: {}", one.name(), one.layout())}</option> })}
                        </select>
                    </div>
                    <details>
                        <summary>"Scale of the labels"</summary>
                        <div class="form">
                            <div class="field">
                                <label for="import-direction">"Direction"</label>
                                <select id="import-direction" on:change=move |event| direction.set(chosen_of(&event))>
                                    <option value="">"as the layout says"</option>
                                    <option value="higher">"higher is better (MOS)"</option>
                                    <option value="lower">"lower is better (DMOS)"</option>
                                </select>
                            </div>
                            <Field label="Range" name="import-range" value=range required=false
                                hint="Such as 0,100; empty: as the layout says."/>
                            <Check label="Leave the standard deviations out" value=ignore_std/>
                        </div>
                    </details>
                </Show>
                <Show when=is(&["conversations"])>
                    <Field label="Name of the model" name="import-model" value=model hint="As it will stand in Compare."/>
                </Show>
                <Show when=is(&["votes"])>
                    <div class="field">
                        <label for="import-study">"Study"</label>
                        <select id="import-study" prop:value=move || study.get().map(|id| id.to_string()).unwrap_or_default()
                            on:change=move |event| study.set(chosen_of(&event).parse().ok())>
                            {move || all_studies.get().into_iter().map(|one| view! {
                                <option value=one.id.to_string()>{one.name}</option>
                            }).collect_view()}
                        </select>
                    </div>
                </Show>
                <Show when=is(&["labels", "manifest", "conversations", "votes"])>
                    <details>
                        <summary>"If something is in the way"</summary>
                        <div class="form">
                            <Field label="Label file in the archive" name="import-label-file" value=label_file required=false
                                hint="Where several files could be it."/>
                            <Check label="Import the good lines although others have problems" value=skip_problems/>
                        </div>
                    </details>
                </Show>
                <button class="button is-primary" disabled=move || is_busy.get()>"Import"</button>
                <Show when=move || is_busy.get()>
                    <p class="transfer-progress">
                        <progress max="1" value=move || sent.get().to_string() aria-label="Sent"></progress>
                        <span class="muted">"Sending"</span>
                    </p>
                </Show>
                <FormError message=error/>
            </form>
        </section>
    }
}

/// Two numbers with a comma between, or nothing.
fn read_range(text: &str) -> Result<Option<[f64; 2]>, String> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    let numbers: Option<Vec<f64>> = text.split(',').map(|part| part.trim().parse().ok()).collect();
    match numbers.as_deref() {
        Some([low, high]) => Ok(Some([*low, *high])),
        _ => Err(format!("{text:?} is no range; write the lowest and the highest label, such as 0,100")),
    }
}

fn chosen_file() -> Option<File> {
    let input = document().get_element_by_id(FILE)?.dyn_into::<HtmlInputElement>().ok()?;
    input.files()?.get(0)
}
