//! Several scores on one scale, with the label where one is known.

use leptos::prelude::*;
use qponder_shared::compare::Label;
use qponder_shared::{Level, Score};

use crate::parts::score_scale::position;

/// A marker with a letter for each model, and a diamond for the label.
#[component]
pub fn ScoreLine(
    /// Letter, name and score of each model.
    #[prop(into)]
    scores: Signal<Vec<(char, String, Option<Score>)>>,
    /// What is known.
    #[prop(into)]
    label: Signal<Option<Label>>,
) -> impl IntoView {
    let described = move || {
        let mut words: Vec<String> = Vec::new();
        for (letter, name, score) in scores.get() {
            words.push(format!(
                "{letter}, {name}: {}",
                score.map_or("no score".to_owned(), |s| s.to_string())
            ));
        }
        words.extend(
            label.get().map(|label| format!("{} of {}: {}", label.kind.title(), label.source, label.value)),
        );
        words.join(". ")
    };
    let marker = |(at, (letter, name, score)): (usize, (char, String, Option<Score>))| {
        let score = score?;
        // Markers of near scores stand above each other.
        let place = format!("left:{:.2}%;top:{}px", position(score.get()), 4 + 22 * at);
        Some(
            view! { <b class="line-marker" style=place title=format!("{name}: {score}")>{letter.to_string()}</b> },
        )
    };
    let height = move || format!("height:{}px", 22 * scores.with(Vec::len).max(1) + 10);
    view! {
        <figure class="score-line" role="img" aria-label=described>
            <div class="line-markers" style=height>
                {move || scores.get().into_iter().enumerate().filter_map(marker).collect_view()}
                {move || label.get().map(|label| view! {
                    <i class="line-label" style=format!("left:{:.2}%", position(label.value.get()))
                        title=format!("{} {} of {}", label.kind.title(), label.value, label.source)></i>
                })}
            </div>
            <div class="scale-axis">
                {Level::ALL.map(|level| view! {
                    <i class="scale-tick" style=format!("left:{}%", position(level.value()))></i>
                })}
            </div>
            <ol class="scale-labels" aria-hidden="true">
                {Level::ALL.map(|level| view! { <li><b>{level as usize + 1}</b>{level.word()}</li> })}
            </ol>
            {move || label.get().map(|label| view! {
                <figcaption class="muted">
                    <i class="line-key" aria-hidden="true"></i>
                    {format!("{} {} of {}", label.kind.title(), label.value, label.source)}
                    {label.n.map(|n| format!(", {n} opinions"))}
                </figcaption>
            })}
        </figure>
    }
}
