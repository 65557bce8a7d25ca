//! The attributes of a reasoning, each with its words and its level.

use leptos::prelude::*;
use qponder_shared::Attribute;
use qponder_shared::grammar::Observation;

use crate::answers::Answer;
use crate::format;
use crate::parts::level_chip::LevelChip;

/// All six, in the order of the grammar; while the answer streams in, those to come are held open, so
/// that nothing jumps.
#[component]
pub fn Attributes(
    /// Whose reasoning.
    answer: Answer,
) -> impl IntoView {
    view! {
        <ul class="attributes">
            {Attribute::ALL.map(|attribute| view! { <Row attribute answer=answer.clone()/> })}
        </ul>
    }
}

#[component]
fn Row(attribute: Attribute, answer: Answer) -> impl IntoView {
    let observation = answer.watch(move |assessment| {
        let seen = &assessment.response.attributes;
        let found: Option<&Observation> = seen.iter().find(|seen| seen.attribute == attribute);
        let is_last = seen.last().is_some_and(|last| last.attribute == attribute);
        (found.cloned(), is_last && assessment.response.summary.is_empty())
    });
    let is_live = answer.watch(|assessment| !assessment.status.is_final());
    view! {
        <li class:is-pending=move || observation.get().0.is_none()>
            <h2>{format::capitalised(attribute.word())}</h2>
            {move || {
                let (observation, is_last) = observation.get();
                match observation {
                    Some(Observation { text, level: Some(level), .. }) => view! {
                        <LevelChip level/><p>{text}</p>
                    }.into_any(),
                    Some(Observation { text, level: None, .. }) if is_live.get() => view! {
                        <span class="chip is-waiting">"…"</span>
                        <p>{text}<Show when=move || is_last><span class="caret"></span></Show></p>
                    }.into_any(),
                    Some(Observation { text, level: None, .. }) => view! {
                        <span class="chip is-missing">"no level"</span><p>{text}</p>
                    }.into_any(),
                    None if is_live.get() => view! { <span class="skeleton line"></span> }.into_any(),
                    None => view! { <span class="chip is-missing">"not judged"</span> }.into_any(),
                }
            }}
        </li>
    }
}
