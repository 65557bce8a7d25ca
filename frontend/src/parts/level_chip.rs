//! A level as word, shape and colour: none of the three has to be seen to read it.

use leptos::prelude::*;
use qponder_shared::Level;

/// The level's colour class, `level-1` to `level-5`.
#[must_use]
pub fn class(level: Level) -> String {
    format!("level-{}", level as usize + 1)
}

/// Five steps, filled up to the level, and its word.
#[component]
pub fn LevelChip(
    /// Which level.
    level: Level,
) -> impl IntoView {
    view! {
        <span class=format!("chip {}", class(level))>
            <LevelSteps level/>
            <span>{level.word()}</span>
        </span>
    }
}

/// Only the steps.
#[component]
pub fn LevelSteps(
    /// Which level.
    level: Level,
) -> impl IntoView {
    view! {
        <svg class="steps" viewBox="0 0 19 11" aria-hidden="true">
            {Level::ALL.map(|step| {
                let at = step as usize;
                let height = 3 + 2 * at;
                let is_off = step > level;
                view! {
                    <rect x=4 * at y=11 - height width="3" height=height rx="0.5" class:is-off=is_off/>
                }
            })}
        </svg>
    }
}
