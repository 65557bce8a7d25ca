//! Five buttons, one a level.

use leptos::prelude::*;
use qponder_shared::Level;

use crate::parts::level_chip::{self, LevelSteps};

/// The five levels, worst first; the chosen one is pressed.
#[component]
pub fn LevelButtons(
    /// What is rated, for those who do not see the place.
    label: String,
    #[prop(into)] chosen: Signal<Option<Level>>,
    choose: Callback<Level>,
    /// Whether words are shown beside the shapes.
    #[prop(default = true)]
    words: bool,
) -> impl IntoView {
    view! {
        <div class="levels" class:is-small=!words role="group" aria-label=label>
            {Level::ALL.map(|level| view! {
                <button type="button" class=level_chip::class(level) title=format!("{} ({})", level.word(), level as usize + 1)
                    aria-label=(!words).then(|| level.word()) aria-pressed=move || (chosen.get() == Some(level)).to_string()
                    on:click=move |_| choose.run(level)>
                    <LevelSteps level/>
                    {words.then(|| view! { <span><kbd>{level as usize + 1}</kbd>" "{level.word()}</span> })}
                </button>
            })}
        </div>
    }
}
