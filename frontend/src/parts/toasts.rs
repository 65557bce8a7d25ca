//! The messages of [`crate::toasts`], at the lower edge.

use leptos::prelude::*;

use crate::parts::icon::{Icon, Shape};
use crate::state::App;
use crate::toasts::Toast;

/// All messages that are shown.
#[component]
pub fn ToastList() -> impl IntoView {
    let toasts = App::get().toasts;
    view! {
        <div class="toasts" role="status" aria-live="polite">
            <For each=move || toasts.all() key=|toast| toast.key let:toast>
                <Message toast/>
            </For>
        </div>
    }
}

#[component]
fn Message(toast: Toast) -> impl IntoView {
    let toasts = App::get().toasts;
    let key = toast.key;
    let offer = toast.offer.map(|offer| {
        let act = move |_| {
            (offer.act)();
            toasts.dismiss(key);
        };
        view! { <button class="button is-plain" on:click=act>{offer.label}</button> }
    });
    view! {
        <div class="toast" class:is-error=toast.is_error>
            <p>{toast.text}</p>
            {offer}
            <button class="icon-button" aria-label="Dismiss" on:click=move |_| toasts.dismiss(key)>
                <Icon shape=Shape::Close/>
            </button>
        </div>
    }
}
