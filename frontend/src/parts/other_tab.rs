//! What to do where another tab of the same person works on the same item.

use leptos::prelude::*;

use crate::annotating::Step;
use crate::state::App;

/// Shown only while there is something to choose.
#[component]
pub fn OtherTab() -> impl IntoView {
    let app = App::get();
    let work = app.annotating;
    let is_rated = move || work.is_rated_elsewhere.get() && work.step.with(|step| *step == Step::Rate);
    view! {
        <Show when=move || work.is_contested.get()>
            <div class="note" role="alert">
                <p>"Another tab or machine of yours saved this image too. Both are kept until you choose."</p>
                <div class="sheet-actions">
                    <button class="button" on:click=move |_| work.keep_own(app)>"Keep this one"</button>
                    <button class="button" on:click=move |_| work.take_other(app)>"Show the other"</button>
                </div>
            </div>
        </Show>
        <Show when=is_rated>
            <div class="note" role="alert">
                <p>"You rated this image in another tab. What you send here takes the place of that vote."</p>
                <div class="sheet-actions">
                    <button class="button" on:click=move |_| work.leave(app)>"Go on without"</button>
                </div>
            </div>
        </Show>
    }
}
