//! The score on the ACR scale.

use leptos::prelude::*;
use qponder_shared::{Level, Score};

use crate::parts::level_chip;

/// Where a value of the scale is, in percent of the figure's width. The outer steps keep half a step
/// of room, so that every label is centred under its tick.
#[must_use]
pub fn position(value: f64) -> f64 {
    (value - 0.5) / 5.0 * 100.0
}

/// An axis from bad to excellent with the score's marker. Above it either the probabilities of the
/// levels (quick mode) or a dot for each attribute at its level (reasoning mode).
#[component]
pub fn ScoreScale(
    /// The marker.
    #[prop(into)]
    score: Signal<Option<Score>>,
    /// A dot each.
    #[prop(into)]
    levels: Signal<Vec<Level>>,
    /// A bar each, worst first.
    #[prop(into)]
    probabilities: Signal<Option<[f64; 5]>>,
) -> impl IntoView {
    let label = move || describe(score.get(), probabilities.get());
    let fill = move || format!("width:{:.2}%", score.get().map_or(0.0, |score| position(score.get()) - 10.0));
    view! {
        <figure class="scale" role="img" aria-label=label>
            <div class="scale-above">
                {move || match probabilities.get() {
                    Some(probabilities) => bars(probabilities).into_any(),
                    None => dots(&levels.get()).into_any(),
                }}
            </div>
            <div class="scale-axis">
                <div class="scale-fill" style=fill></div>
                {Level::ALL.map(|level| view! {
                    <i class="scale-tick" style=format!("left:{}%", position(level.value()))></i>
                })}
                {move || score.get().map(|score| view! {
                    <i class=format!("scale-marker {}", level_chip::class(score.level()))
                        style=format!("left:{:.2}%", position(score.get()))></i>
                })}
            </div>
            <ol class="scale-labels" aria-hidden="true">
                {Level::ALL.map(|level| view! {
                    <li class:is-here=move || score.get().is_some_and(|score| score.level() == level)>
                        <b>{level as usize + 1}</b>{level.word()}
                    </li>
                })}
            </ol>
        </figure>
    }
}

fn bars(probabilities: [f64; 5]) -> impl IntoView {
    let total = probabilities.iter().sum::<f64>().max(f64::MIN_POSITIVE);
    let largest = probabilities.into_iter().fold(f64::MIN_POSITIVE, f64::max);
    let bars = Level::ALL.into_iter().zip(probabilities).map(|(level, probability)| {
        let percent = 100.0 * probability / total;
        view! {
            <div class=format!("bar-column {}", level_chip::class(level))>
                <span class="tabular">{if percent < 1.0 { "<1 %".to_owned() } else { format!("{percent:.0} %") }}</span>
                <i style=format!("height:{:.1}%", 80.0 * probability / largest)></i>
            </div>
        }
    });
    view! { <div class="scale-bars">{bars.collect_view()}</div> }
}

fn dots(levels: &[Level]) -> impl IntoView {
    let columns = Level::ALL.map(|level| {
        let count = levels.iter().filter(|other| **other == level).count();
        let dots = (0..count).map(|_| view! { <i class=level_chip::class(level)></i> });
        view! { <div>{dots.collect_view()}</div> }
    });
    view! { <div class="scale-dots">{columns}</div> }
}

fn describe(score: Option<Score>, probabilities: Option<[f64; 5]>) -> String {
    let mut text = match score {
        Some(score) => format!("Score {score} on the scale from 1, bad, to 5, excellent: {}.", score.level()),
        None => "The scale of scores, from 1, bad, to 5, excellent.".to_owned(),
    };
    for (level, probability) in Level::ALL.into_iter().zip(probabilities.into_iter().flatten()) {
        text.push_str(&format!(" {level} {:.0} %.", probability * 100.0));
    }
    text
}
