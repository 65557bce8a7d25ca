//! A secret that is shown this once: a link or a token, to be copied.

use leptos::html;
use leptos::prelude::*;
use leptos::task::spawn_local;

use crate::parts::copy;
use crate::state::App;

/// A box with the secret and a button that copies it.
#[component]
pub fn Secret(
    /// What it is and what to do with it.
    what: String,
    text: String,
) -> impl IntoView {
    let app = App::get();
    let field = NodeRef::<html::Input>::new();
    let shown = text.clone();
    let copy = move |_| {
        let text = text.clone();
        spawn_local(async move {
            if copy::write(&text).await {
                app.toasts.say("Copied.");
            } else if let Some(field) = field.get_untracked() {
                field.select();
                app.toasts.complain("The browser did not allow copying; the text is selected.");
            }
        });
    };
    view! {
        <div class="secret" role="status">
            <p>{what}</p>
            <div class="secret-line">
                <input type="text" readonly aria-label="The secret" node_ref=field prop:value=shown/>
                <button type="button" class="button" on:click=copy>"Copy"</button>
            </div>
        </div>
    }
}
