//! A model's answer beside its correction, attribute by attribute.

use leptos::prelude::*;
use qponder_shared::grammar::{Observation, Response};
use qponder_shared::study::Correction;
use qponder_shared::{Attribute, Level};
use web_sys::{HtmlInputElement, HtmlTextAreaElement};

use crate::format::capitalised;
use crate::parts::level_buttons::LevelButtons;
use crate::parts::level_chip::LevelChip;

/// The editor. What is changed is marked, and the original stays beside it.
#[component]
pub fn CorrectionEditor(
    /// What it began from.
    original: Response,
    #[prop(into)] correction: Signal<Option<Correction>>,
    /// Does one change.
    change: Callback<Change>,
) -> impl IntoView {
    let rows = Attribute::ALL.map(|attribute| {
        let before = original.attributes.iter().find(|one| one.attribute == attribute).cloned();
        view! { <Row attribute before correction change/> }
    });
    let (summary, score) = (original.summary.clone(), original.score);
    let is_new_summary = {
        let summary = summary.clone();
        move || correction.with(|now| now.as_ref().is_some_and(|now| now.summary.trim() != summary))
    };
    let is_new_score = move || {
        let before = score.map(|score| score.to_string()).unwrap_or_default();
        correction.with(|now| now.as_ref().is_some_and(|now| now.score.trim() != before))
    };
    view! {
        <div class="correction">
            {rows.collect_view()}
            <div class="correction-row" class:is-changed=is_new_summary.clone()>
                <h3>"Summary"{mark(is_new_summary.clone())}</h3>
                <p class="original">{summary}</p>
                <textarea rows="3" aria-label="Summary, corrected"
                    prop:value=move || correction.with(|now| now.as_ref().map(|now| now.summary.clone()).unwrap_or_default())
                    on:input=move |event| change.run(Change::Summary(event_target::<HtmlTextAreaElement>(&event).value()))/>
            </div>
            <div class="correction-row" class:is-changed=is_new_score>
                <h3>"Score"{mark(is_new_score)}</h3>
                <p class="original">{score.map_or_else(|| "No readable score".to_owned(), |score| score.to_string())}</p>
                <input class="score-field" inputmode="decimal" aria-label="Score, corrected"
                    prop:value=move || correction.with(|now| now.as_ref().map(|now| now.score.clone()).unwrap_or_default())
                    on:input=move |event| change.run(Change::Score(event_target::<HtmlInputElement>(&event).value()))/>
            </div>
        </div>
    }
}

/// One change of a correction.
#[derive(Clone, Debug)]
pub enum Change {
    Words(Attribute, String),
    Level(Attribute, Level),
    Summary(String),
    Score(String),
}

impl Change {
    /// Does it.
    pub fn apply(self, correction: &mut Correction) {
        match self {
            Change::Words(attribute, words) => correction.write(attribute, &words),
            Change::Level(attribute, level) => correction.rate(attribute, Some(level)),
            Change::Summary(words) => correction.summary = words,
            Change::Score(typed) => correction.score = typed,
        }
    }
}

/// Says that something differs from the original.
fn mark(is_changed: impl Fn() -> bool + Send + 'static) -> impl IntoView {
    view! { <span class="mark-changed">{move || is_changed().then_some(" · changed")}</span> }
}

#[component]
fn Row(
    attribute: Attribute,
    before: Option<Observation>,
    correction: Signal<Option<Correction>>,
    change: Callback<Change>,
) -> impl IntoView {
    let name = capitalised(attribute.word());
    let now = move || correction.with(|now| now.as_ref().and_then(|now| now.observation(attribute).cloned()));
    let chosen = Signal::derive(move || now().and_then(|now| now.level));
    let original = before.clone();
    let is_changed = move || match (now(), &original) {
        (Some(now), Some(before)) => now.level != before.level || now.text.trim() != before.text,
        (now, before) => now.is_some_and(|now| !now.text.is_empty()) && before.is_none(),
    };
    view! {
        <div class="correction-row" class:is-changed=is_changed.clone()>
            <h3>{name.clone()}{mark(is_changed.clone())}</h3>
            <div class="original">
                {match &before {
                    Some(before) => view! {
                        <p>{before.text.clone()}</p>
                        {before.level.map(|level| view! { <LevelChip level/> })}
                    }.into_any(),
                    None => view! { <p class="muted">"Not judged"</p> }.into_any(),
                }}
            </div>
            <div class="corrected">
                <textarea rows="2" aria-label=format!("{name}, corrected")
                    prop:value=move || now().map(|now| now.text).unwrap_or_default()
                    on:input=move |event| change.run(Change::Words(attribute, event_target::<HtmlTextAreaElement>(&event).value()))/>
                <LevelButtons label=format!("Level of {}", attribute.word()) chosen words=false
                    choose=Callback::new(move |level| change.run(Change::Level(attribute, level)))/>
            </div>
        </div>
    }
}
