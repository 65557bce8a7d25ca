//! What one item of a study is for, and changing it.

use leptos::prelude::*;
use leptos::task::spawn_local;
use qponder_shared::study::{ChangeItem, Item, ItemKind, Preference, StudyTask};
use qponder_shared::{Level, Score};
use web_sys::{HtmlInputElement, HtmlSelectElement, SubmitEvent};

use crate::format::sentence;
use crate::parts::field::FormError;
use crate::studies;

/// A form for one item; `done` gets it as it is then, or nothing when it stays as it was.
#[component]
pub fn ItemEditor(item: Item, task: StudyTask, done: Callback<Option<Item>>) -> impl IntoView {
    let id = item.id;
    let kind = RwSignal::new(item.kind);
    let expected = RwSignal::new(item.expected.map(Score::level));
    let preferred = RwSignal::new(item.expected_preference);
    let before = (item.expected.map(Score::level), item.expected_preference);
    let tolerance = RwSignal::new(item.tolerance.to_string());
    let repeated = RwSignal::new(item.repeated);
    let (error, is_busy) = (RwSignal::new(None), RwSignal::new(false));
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let Ok(tolerance) = tolerance.get_untracked().trim().parse::<f64>() else {
            return error.set(Some("The tolerance is a number, such as 1.".to_owned()));
        };
        is_busy.set(true);
        error.set(None);
        let body = ChangeItem {
            kind: Some(kind.get_untracked()),
            // A level is coarser than a score: what nobody touched stays as it was to the last digit.
            expected: Some(expected.get_untracked())
                .filter(|level| *level != before.0)
                .map(|level| level.and_then(|level| Score::clamped(level.value()))),
            expected_preference: Some(preferred.get_untracked()).filter(|preferred| *preferred != before.1),
            tolerance: Some(tolerance),
            repeated: Some(repeated.get_untracked()),
        };
        spawn_local(async move {
            let outcome = studies::change_item(id, &body).await;
            let _ = is_busy.try_set(false);
            match outcome {
                Ok(changed) => done.run(Some(changed)),
                Err(failure) => drop(error.try_set(Some(sentence(&failure)))),
            }
        });
    };
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
    let is_rated = move || kind.get() == ItemKind::Rated;
    view! {
        <form class="form is-row item-editor" on:submit=submit aria-label=format!("Change {}", item.name)>
            <div class="field">
                <label for="edit-kind">{item.name.clone()}</label>
                <select id="edit-kind" prop:value=move || kind.get().name() on:change=choose_kind>
                    <option value="rated">"To be rated"</option>
                    <option value="training">"Training, shown first"</option>
                    <option value="gold">"Gold, to see who is careful"</option>
                </select>
            </div>
            <div class="field" hidden=is_rated>
                <label for="edit-expected">"Expected answer"</label>
                <select id="edit-expected" on:change=choose_expected prop:value=move || match task {
                    StudyTask::Pairs => preferred.get().map(Preference::name).unwrap_or_default(),
                    _ => expected.get().map(Level::word).unwrap_or_default(),
                }>
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
            <div class="field" hidden=move || is_rated() || task == StudyTask::Pairs>
                <label for="edit-tolerance">"How far from it is careful"</label>
                <input id="edit-tolerance" type="number" min="0" max="4" step="0.5" prop:value=move || tolerance.get()
                    on:input=move |event| tolerance.set(event_target::<HtmlInputElement>(&event).value())/>
            </div>
            <label class="check">
                <input type="checkbox" prop:checked=move || repeated.get()
                    on:change=move |event| repeated.set(event_target::<HtmlInputElement>(&event).checked())/>
                " Show it twice, without saying so"
            </label>
            <button class="button is-primary" disabled=move || is_busy.get()>"Save"</button>
            <button class="button" type="button" on:click=move |_| done.run(None)>"Leave it"</button>
            <FormError message=error/>
        </form>
    }
}
