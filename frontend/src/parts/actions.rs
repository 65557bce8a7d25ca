//! What can be done with an image: assess again, cancel, copy, download, delete.

use leptos::prelude::*;
use qponder_shared::Scope;
use qponder_shared::api::{Image, Mode, Sampling};
use web_sys::{HtmlInputElement, SubmitEvent};

use crate::api;
use crate::parts::copy::copy_shown;
use crate::parts::icon::{Icon, Shape};
use crate::state::App;

/// The bar of actions; it sticks to the lower edge on a phone.
#[component]
pub fn Actions(image: Image) -> impl IntoView {
    let app = App::get();
    let id = image.id;
    let is_busy = Memo::new(move |_| app.answers.is_asking(id));
    let live = move || app.answers.live(id);
    let ask = move |mode: Mode| move |_| app.answers.ask(app, id, mode, Sampling::default());
    let name = image.name.clone();
    view! {
        <div class="actions" role="group" aria-label="Actions">
            {move || match live() {
                _ if !app.session.may(Scope::Assess) => ().into_any(),
                Some(answer) => view! {
                    <button class="button is-wide" title="Cancel (X)" on:click=move |_| app.answers.cancel(app, &answer)>"Cancel"</button>
                }.into_any(),
                None => view! {
                    <button class="button" title="Assess in reason mode (R)" disabled=is_busy on:click=ask(Mode::Reason)>"Reason"</button>
                    <button class="button" title="Assess in quick mode (Q)" disabled=is_busy on:click=ask(Mode::Quick)>"Quick"</button>
                }.into_any(),
            }}
            <span class="spring"></span>
            <button class="icon-button" title="Copy as JSON (C)" aria-label="Copy as JSON" on:click=move |_| copy_shown(app)>
                <Icon shape=Shape::Copy/>
            </button>
            <a class="icon-button" title="Download the original" aria-label="Download the original"
                href=api::original_url(id) download=image.name>
                <Icon shape=Shape::Download/>
            </a>
            {move || app.session.may(Scope::Assess).then(|| {
                let name = name.clone();
                view! {
                    <button class="icon-button" title="Delete (Del)" aria-label="Delete" on:click=move |_| app.remove(id, &name)>
                        <Icon shape=Shape::Bin/>
                    </button>
                }
            })}
        </div>
        <Show when=move || app.session.may(Scope::Assess)><SampleForm image_id=id/></Show>
    }
}

/// Another answer to the same question: temperature and seed.
#[component]
fn SampleForm(image_id: qponder_shared::ImageId) -> impl IntoView {
    let app = App::get();
    let temperature = RwSignal::new(0.7_f64);
    let seed = RwSignal::new(random_seed());
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let sampling = Sampling {
            temperature: temperature.get_untracked(),
            seed: seed.get_untracked(),
            ..Sampling::default()
        };
        app.answers.ask(app, image_id, Mode::Reason, sampling);
    };
    view! {
        <details class="disclosure">
            <summary>"Sample another answer"</summary>
            <form class="sample" on:submit=submit>
                <label>
                    <span>"Temperature"</span>
                    <input type="range" min="0" max="1.5" step="0.05" prop:value=move || temperature.get().to_string()
                        on:input=move |event| {
                            if let Ok(value) = event_target::<HtmlInputElement>(&event).value().parse() {
                                temperature.set(value);
                            }
                        }/>
                    <output class="tabular">{move || format!("{:.2}", temperature.get())}</output>
                </label>
                <label>
                    <span>"Seed"</span>
                    <input type="text" inputmode="numeric" pattern="[0-9]{1,19}" required prop:value=move || seed.get().to_string()
                        on:change=move |event| {
                            if let Ok(value) = event_target::<HtmlInputElement>(&event).value().trim().parse() {
                                seed.set(value);
                            }
                        }/>
                    <button type="button" class="icon-button" title="New seed" aria-label="New seed"
                        on:click=move |_| seed.set(random_seed())>
                        <Icon shape=Shape::Renew/>
                    </button>
                </label>
                <p class="muted">
                    {move || if temperature.get() == 0.0 {
                        "At temperature 0 every seed gives the same answer."
                    } else {
                        "The same seed gives the same answer; another one shows how sure the model is."
                    }}
                </p>
                <button class="button" disabled=move || app.answers.is_asking(image_id)>"Sample"</button>
            </form>
        </details>
    }
}

/// Short enough to be read out and typed.
fn random_seed() -> u64 {
    (js_sys::Math::random() * 1e6) as u64
}
