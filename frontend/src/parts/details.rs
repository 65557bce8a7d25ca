//! Everything that is needed to repeat an assessment.

use leptos::prelude::*;
use qponder_shared::ImageId;
use qponder_shared::api::AssessmentStatus;

use crate::format;
use crate::state::App;

/// Model, prompt, sampling and time of the shown assessment.
#[component]
pub fn Details(
    /// Whose assessment.
    id: ImageId,
) -> impl IntoView {
    let app = App::get();
    let rows = move || {
        let answer = app.shown.get().filter(|answer| answer.image_id == id)?;
        let status = answer.watch_status();
        let assessment =
            (status.get() != AssessmentStatus::Queued).then(|| answer.assessment.get_untracked())?;
        let sampling = assessment.sampling;
        let sampled = if sampling.temperature == 0.0 {
            "greedy".to_owned()
        } else {
            format!("temperature {:.2}, seed {}", sampling.temperature, sampling.seed)
        };
        let mut rows = vec![
            ("Model", assessment.model.clone()),
            ("Mode", assessment.mode.name().to_owned()),
            ("Prompt", assessment.prompt_version.clone()),
            ("Sampling", sampled),
        ];
        if let Some(ms) = assessment.ms {
            rows.push(("Model time", format::duration(ms)));
        }
        rows.push(("Asked", format::time(&assessment.created_at)));
        rows.push(("Assessment", assessment.id.to_string()));
        let rows = rows.into_iter().map(|(name, value)| view! { <div><dt>{name}</dt><dd>{value}</dd></div> });
        Some(view! { <dl class="details">{rows.collect_view()}</dl> })
    };
    view! {
        <details class="disclosure">
            <summary>"Details"</summary>
            {rows}
        </details>
    }
}
