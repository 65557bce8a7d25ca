//! A text with the words that another text does not have standing out.

use leptos::prelude::*;
use qponder_shared::compare::{Piece, diff_words};

/// The text; what the base does not have is underlined and bold, so that it is not told by colour alone.
#[component]
pub fn DiffText(
    /// What is shown.
    text: String,
    /// What it is compared with; nothing stands out without it.
    base: Option<String>,
) -> impl IntoView {
    let Some(base) = base else { return view! { <span>{text}</span> }.into_any() };
    let (_, pieces) = diff_words(&base, &text);
    let piece = |Piece { text, is_shared }: Piece| {
        if is_shared {
            view! { <span>{text}" "</span> }.into_any()
        } else {
            view! { <ins title="Only here">{text}</ins>" " }.into_any()
        }
    };
    view! { <span class="diff">{pieces.into_iter().map(piece).collect_view()}</span> }.into_any()
}
