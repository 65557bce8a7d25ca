//! The reward terms of answers, as rows of a comparison.

use leptos::prelude::*;
use qponder_shared::compare::{RewardBasis, RewardTerms};

/// Which term a row shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Term {
    Format,
    Score,
    Consistency,
}

impl Term {
    /// In the order of a recipe.
    pub const ALL: [Term; 3] = [Term::Format, Term::Score, Term::Consistency];

    /// The name in recipes.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Term::Format => "Format",
            Term::Score => "Score",
            Term::Consistency => "Consistency",
        }
    }

    /// What it means.
    #[must_use]
    pub fn meaning(self, basis: &RewardBasis) -> String {
        match self {
            Term::Format => "1 when the answer follows the grammar completely, else 0.".to_owned(),
            Term::Score => format!(
                "How near the score is to the label: 1 without an error, {:.2} at {} points. It needs a label.",
                (-1.0_f64).exp(),
                basis.score_scale
            ),
            Term::Consistency => format!(
                "Half for a score that the worst attribute’s level implies, a quarter for judging every attribute \
                 once, a quarter for levels that do not contradict their words. Bad to excellent imply {}; they come \
                 from {}.",
                basis.level_scores.map(|score| format!("{score:.2}")).join(", "),
                basis.level_scores_from
            ),
        }
    }

    fn of(self, terms: &RewardTerms) -> Option<f64> {
        match self {
            Term::Format => Some(terms.format),
            Term::Score => terms.score,
            Term::Consistency => Some(terms.consistency),
        }
    }
}

/// A term of one answer: number and bar.
#[component]
pub fn TermValue(term: Term, terms: Option<RewardTerms>) -> impl IntoView {
    match (terms, terms.and_then(|terms| term.of(&terms))) {
        (_, Some(value)) => view! {
            <span class="term"><b class="tabular">{format!("{value:.2}")}</b>
                <i style=format!("--part:{:.1}%", value * 100.0)></i></span>
        }
        .into_any(),
        (Some(_), None) => view! { <span class="muted">"no label"</span> }.into_any(),
        (None, None) => view! { <span class="muted">"–"</span> }.into_any(),
    }
}
