//! Earlier assessments of an image.

use leptos::prelude::*;
use qponder_shared::ImageId;
use qponder_shared::api::AssessmentStatus;

use crate::answers::Answer;
use crate::format;
use crate::parts::level_chip::{self, LevelSteps};
use crate::state::App;

/// Shown once there is something to choose from.
#[component]
pub fn HistoryList(
    /// Which image.
    id: ImageId,
) -> impl IntoView {
    let app = App::get();
    let count = Memo::new(move |_| app.answers.of(id).len());
    view! {
        <Show when=move || { count.get() > 1 }>
            <section class="history">
                <h2>{move || format!("{} assessments", count.get())}</h2>
                <ol>
                    <For each=move || app.answers.of(id) key=|answer| answer.id let:answer>
                        <Row answer/>
                    </For>
                </ol>
            </section>
        </Show>
    }
}

#[component]
fn Row(answer: Answer) -> impl IntoView {
    let app = App::get();
    let id = answer.id;
    let is_shown = move || app.shown.with(|shown| shown.as_ref().is_some_and(|shown| shown.id == id));
    let status = answer.watch_status();
    let chosen = answer.clone();
    let content = move || {
        // Rendered anew when the status changes, not with every piece of text.
        let _ = status.get();
        let assessment = answer.assessment.get_untracked();
        let outcome = match (assessment.status, assessment.score) {
            (AssessmentStatus::Done, Some(score)) => {
                view! { <LevelSteps level=score.level()/><b class="tabular">{score.to_string()}</b> }
                    .into_any()
            }
            (AssessmentStatus::Done, None) => view! { <b>"unreadable"</b> }.into_any(),
            (AssessmentStatus::Failed, _) => view! { <b>"failed"</b> }.into_any(),
            (AssessmentStatus::Cancelled, _) => view! { <b>"cancelled"</b> }.into_any(),
            (AssessmentStatus::Queued | AssessmentStatus::Running, _) => view! { <b>"…"</b> }.into_any(),
        };
        let mut how = format!("{} · {}", assessment.mode.name(), assessment.model);
        if assessment.sampling.temperature > 0.0 {
            how.push_str(&format!(
                " · t {:.2} · seed {}",
                assessment.sampling.temperature, assessment.sampling.seed
            ));
        }
        let class = assessment.score.map(|score| level_chip::class(score.level())).unwrap_or_default();
        view! {
            <span class=format!("history-score {class}")>{outcome}</span>
            <span>{how}</span>
            <time class="muted" datetime=assessment.created_at.clone()>{format::time(&assessment.created_at)}</time>
        }
    };
    view! {
        <li>
            <button aria-current=move || is_shown().then_some("true") on:click=move |_| app.shown.set(Some(chosen.clone()))>
                {content}
            </button>
        </li>
    }
}
