//! The list of keys.

use leptos::html;
use leptos::prelude::*;

use crate::keys::TABLE;
use crate::parts::icon::{Icon, Shape};
use crate::state::App;

/// A modal dialog: the browser keeps the focus inside and closes it on Escape.
#[component]
pub fn Help() -> impl IntoView {
    let app = App::get();
    let dialog = NodeRef::<html::Dialog>::new();
    Effect::new(move || {
        let Some(dialog) = dialog.get() else { return };
        if !app.help.get() {
            dialog.close();
        } else if !dialog.open() {
            // Fails only for a dialog that is not in the document, and this one is.
            let _ = dialog.show_modal();
        }
    });
    view! {
        <dialog class="help" node_ref=dialog aria-labelledby="help-title" on:close=move |_| app.help.set(false)>
            <header>
                <h2 id="help-title">"Keys"</h2>
                <button class="icon-button" aria-label="Close" on:click=move |_| app.help.set(false)>
                    <Icon shape=Shape::Close/>
                </button>
            </header>
            <div class="help-columns">
                {TABLE.map(|(heading, rows)| view! {
                    <section>
                        <h3>{heading}</h3>
                        <dl>
                            {rows.iter().map(|(keys, what)| view! {
                                <div>
                                    <dt>{keys.iter().map(|key| view! { <kbd>{*key}</kbd> }).collect_view()}</dt>
                                    <dd>{*what}</dd>
                                </div>
                            }).collect_view()}
                        </dl>
                    </section>
                })}
            </div>
        </dialog>
    }
}
