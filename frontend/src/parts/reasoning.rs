//! The answer that is shown: score, scale, attributes, summary, and what went wrong with it.

use leptos::prelude::*;
use qponder_shared::ImageId;
use qponder_shared::api::{Assessment, AssessmentStatus, Mode, Sampling};

use crate::answers::Answer;
use crate::format;
use crate::parts::attributes::Attributes;
use crate::parts::level_chip;
use crate::parts::score_scale::ScoreScale;
use crate::state::App;

/// The shown answer of an image, or what stands in its place.
#[component]
pub fn Reasoning(
    /// Which image.
    id: ImageId,
) -> impl IntoView {
    let app = App::get();
    let shown = Memo::new_with_compare(
        move |_| app.shown.get().filter(|answer| answer.image_id == id),
        |old, new| {
            old.map(|answer| answer.as_ref().map(|a| a.id)) != new.map(|answer| answer.as_ref().map(|a| a.id))
        },
    );
    view! {
        <section class="answer" aria-label="Assessment" aria-busy=move || {
            shown.get().is_some_and(|answer| answer.is_live()).to_string()
        }>
            {move || match shown.get() {
                Some(answer) => view! { <Shown answer/> }.into_any(),
                None if app.answers.is_asking(id) => view! { <p class="status is-live">"Asking…"</p> }.into_any(),
                None => view! { <p class="muted">"Not assessed yet. Press R for reasons, Q for a quick score."</p> }.into_any(),
            }}
        </section>
    }
}

#[component]
fn Shown(answer: Answer) -> impl IntoView {
    let is_reason = answer.watch(|assessment| assessment.mode == Mode::Reason);
    let is_live = answer.watch(|assessment| !assessment.status.is_final());
    let has_attributes = answer.watch(|assessment| !assessment.response.attributes.is_empty());
    let has_text = answer.watch(|assessment| !assessment.text.is_empty());
    // The score stands at the end of the text a little before the assessment is final.
    let score = answer.watch(|assessment| assessment.score.or(assessment.response.score));
    let levels = answer.watch(|assessment| {
        assessment.response.attributes.iter().filter_map(|observation| observation.level).collect::<Vec<_>>()
    });
    let probabilities = answer.watch(|assessment| assessment.level_probabilities);
    let summary = answer.watch(|assessment| assessment.response.summary.clone());
    let raw = answer.watch(|assessment| assessment.text.clone());
    let (headline, outcome) = (answer.clone(), answer.clone());
    view! {
        <Headline answer=headline score/>
        <ScoreScale score levels probabilities/>
        <Outcome answer=outcome/>
        {move || if is_reason.get() {
            let answer = answer.clone();
            view! {
                <Show when=move || is_live.get() || !summary.with(String::is_empty)>
                    <p class="summary">
                        <Show when=move || !summary.with(String::is_empty) fallback=|| view! {
                            <span class="skeleton line"></span><span class="skeleton line"></span>
                        }>{summary}</Show>
                    </p>
                </Show>
                <Show when=move || is_live.get() || has_attributes.get()><Attributes answer=answer.clone()/></Show>
            }.into_any()
        } else {
            view! { <QuickNote/> }.into_any()
        }}
        <Show when=move || is_reason.get() && has_text.get()>
            <details class="disclosure">
                <summary>"Raw answer"</summary>
                <pre>{raw}</pre>
            </details>
        </Show>
    }
}

/// The number and its word, or how far the answer is.
#[component]
fn Headline(answer: Answer, score: Memo<Option<qponder_shared::Score>>) -> impl IntoView {
    let watched = answer.watch_status();
    let (assessment, ahead, interrupted) = (answer.assessment, answer.ahead, answer.interrupted);
    let status = move || {
        let (status, has_text) = assessment.with(|a| (a.status, !a.text.is_empty()));
        match (status, ahead.get()) {
            _ if interrupted.get() && !status.is_final() => "Reconnecting…".to_owned(),
            (AssessmentStatus::Queued, 0) => "Next in line…".to_owned(),
            (AssessmentStatus::Queued, ahead) => {
                format!("Waiting for {}…", format::plural(ahead, "other photo"))
            }
            (AssessmentStatus::Running, _) if has_text => "Reasoning…".to_owned(),
            (AssessmentStatus::Running, _) => "Looking…".to_owned(),
            (AssessmentStatus::Done, _) => "No readable score".to_owned(),
            (AssessmentStatus::Failed, _) => "Failed".to_owned(),
            (AssessmentStatus::Cancelled, _) => "Cancelled".to_owned(),
        }
    };
    let is_live = move || !watched.get().is_final();
    move || match score.get() {
        Some(score) => view! {
            <p class="headline">
                <span class="number" id="score">{score.to_string()}</span>
                <span class=format!("word {}", level_chip::class(score.level()))>{score.level().word()}</span>
            </p>
        }
        .into_any(),
        None => {
            let status = status.clone();
            view! {
                <p class="headline">
                    <span class="status" class:is-live=is_live>{status}</span>
                </p>
            }
            .into_any()
        }
    }
}

/// Parse failures, departures from the grammar, errors.
#[component]
fn Outcome(answer: Answer) -> impl IntoView {
    let app = App::get();
    let id = answer.image_id;
    let status = answer.watch_status();
    move || {
        // The rest is final when the status is: a growing text does not render this anew.
        let status = status.get();
        let assessment = answer.assessment.get_untracked();
        let again = move |mode: Mode, sampling: Sampling| {
            view! {
                <button class="button" on:click=move |_| app.answers.ask(app, id, mode, sampling)>"Try again"</button>
            }
        };
        match status {
            AssessmentStatus::Failed => view! {
                <div class="warning" role="alert">
                    <p><strong>"The assessment failed."</strong>" "{format::capitalised(&assessment.error.unwrap_or_default())}</p>
                    {again(assessment.mode, assessment.sampling)}
                </div>
            }
            .into_any(),
            AssessmentStatus::Cancelled => view! {
                <div class="warning"><p>"Stopped before a score."</p>{again(assessment.mode, assessment.sampling)}</div>
            }
            .into_any(),
            AssessmentStatus::Done if assessment.score.is_none() => view! {
                <div class="warning" role="alert">
                    <p><strong>"Parse failure."</strong>" The answer holds no score that could be read. It counts as a failure and gets no number."</p>
                    {faults(&assessment)}
                </div>
            }
            .into_any(),
            AssessmentStatus::Done if !assessment.response.is_well_formed() && assessment.mode == Mode::Reason => view! {
                <details class="warning">
                    <summary>{format!("{} from the answer’s grammar", format::plural(assessment.response.faults.len(), "departure"))}</summary>
                    {faults(&assessment)}
                </details>
            }
            .into_any(),
            _ => ().into_any(),
        }
    }
}

fn faults(assessment: &Assessment) -> impl IntoView {
    let faults = assessment
        .response
        .faults
        .iter()
        .map(|fault| view! { <li>{format::capitalised(&fault.to_string())}</li> });
    view! { <ul>{faults.collect_view()}</ul> }
}

/// What a quick score is.
#[component]
fn QuickNote() -> impl IntoView {
    view! {
        <p class="muted quick-note">
            "The bars are the probabilities of the five level words; the score is their expectation. Quick mode gives no
            reasons: "<kbd>"R"</kbd>" asks for them."
        </p>
    }
}
