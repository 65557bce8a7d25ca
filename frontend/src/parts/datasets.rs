//! What a study settled, as data to train on.

use leptos::prelude::*;
use leptos::task::spawn_local;
use qponder_shared::study::dataset::{CreateDataset, Dataset};
use qponder_shared::study::{Study, StudyTask};
use qponder_shared::subjective::Screening;
use qponder_shared::{Scope, StudyId};
use web_sys::HtmlSelectElement;

use crate::format::{self, plural, sentence};
use crate::parts::field::FormError;
use crate::route::{Route, follow_link};
use crate::state::App;
use crate::studies;

/// The datasets of a study, and a button for another version.
#[component]
pub fn Datasets(id: StudyId, study: RwSignal<Option<Study>>) -> impl IntoView {
    let app = App::get();
    let list = RwSignal::new(Vec::<Dataset>::new());
    let screening = RwSignal::new(Screening::None);
    let (error, is_busy) = (RwSignal::new(None), RwSignal::new(false));
    spawn_local(async move {
        match studies::datasets().await {
            Ok(page) => {
                let own = page.items.into_iter().filter(|one| one.study == Some(id)).collect();
                let _ = list.try_set(own);
            }
            Err(failure) => app.report(&failure),
        }
    });
    let make = move |_| {
        let Some(study) = study.get_untracked() else { return };
        is_busy.set(true);
        error.set(None);
        let body = CreateDataset {
            name: study.name,
            screening: screening.get_untracked(),
            only_answered: study.task == StudyTask::Reasoning,
            validation_share: 0.0,
        };
        spawn_local(async move {
            let outcome = studies::create_dataset(id, &body).await;
            let _ = is_busy.try_set(false);
            match outcome {
                Ok(made) => drop(list.try_update(|list| list.insert(0, made))),
                Err(failure) => drop(error.try_set(Some(sentence(&failure)))),
            }
        });
    };
    let choose = move |event: web_sys::Event| {
        screening.set(match event_target::<HtmlSelectElement>(&event).value().as_str() {
            "bt500" => Screening::Bt500,
            "pearson" => Screening::Pearson,
            "bias_corrected" => Screening::BiasCorrected,
            _ => Screening::None,
        });
    };
    view! {
        <section aria-labelledby="datasets">
            <h2 id="datasets">"Datasets"</h2>
            <p class="muted">
                "The label is the MOS, the answers are the accepted corrections. A version never changes; unpack it and
                give its manifest to "<code>"qponder sft"</code>" or "<code>"qponder grpo"</code>"."
            </p>
            <ul class="rows">
                <For each=move || list.get() key=|one| one.id let:one>
                    <li>
                        <div class="row-main">
                            <p class="row-title">{format!("{}, version {}", one.name, one.version)}</p>
                            <p class="muted">{format!(
                                "{}, {} · {} · by {} · SHA-256 {}",
                                plural(one.images as usize, "line"), plural(one.answers as usize, "answer"),
                                format::time(&one.created_at), one.created_by, one.sha256.get(..12).unwrap_or_default()
                            )}</p>
                        </div>
                        <a class="button" href=format!("/api/v1/datasets/{}/archive", one.id) download="">"Download"</a>
                        {app.session.may_untracked(Scope::Train).then(|| {
                            let to = Route::TrainOn(one.id);
                            view! { <a class="button" href=to.path() on:click=follow_link(app, to)>"Train on it"</a> }
                        })}
                    </li>
                </For>
            </ul>
            <div class="form is-row">
                <div class="field">
                    <label for="dataset-screening">"Whose votes"</label>
                    <select id="dataset-screening" on:change=choose>
                        <option value="none">"Everybody’s"</option>
                        <option value="bt500">"Without outliers (BT.500)"</option>
                        <option value="pearson">"Without those that do not correlate (P.913)"</option>
                        <option value="bias_corrected">"Bias corrected (P.910)"</option>
                    </select>
                </div>
                <button class="button" disabled=move || is_busy.get() on:click=make>"Make a dataset"</button>
            </div>
            <FormError message=error/>
        </section>
    }
}
