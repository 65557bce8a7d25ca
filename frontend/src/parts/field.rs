//! One line of a form: a label, a field, a hint.

use leptos::prelude::*;
use web_sys::HtmlInputElement;

/// A text field, bound to a signal.
#[component]
pub fn Field(
    /// What is asked for.
    label: &'static str,
    /// The name in the form, and of the element.
    name: &'static str,
    value: RwSignal<String>,
    /// `text`, `email` or `password`.
    #[prop(default = "text")]
    kind: &'static str,
    /// What the browser may fill in.
    #[prop(default = "off")]
    autocomplete: &'static str,
    /// What to know before typing.
    #[prop(optional)]
    hint: &'static str,
    #[prop(default = true)] required: bool,
    /// Whether the focus begins here.
    #[prop(optional)]
    autofocus: bool,
) -> impl IntoView {
    let hint_id = format!("{name}-hint");
    let described = (!hint.is_empty()).then(|| hint_id.clone());
    view! {
        <div class="field">
            <label for=name>{label}</label>
            <input id=name name=name type=kind autocomplete=autocomplete required=required autofocus=autofocus
                autocapitalize="off" spellcheck="false" aria-describedby=described prop:value=move || value.get()
                on:input=move |event| value.set(event_target::<HtmlInputElement>(&event).value())/>
            {(!hint.is_empty()).then(|| view! { <p class="hint" id=hint_id>{hint}</p> })}
        </div>
    }
}

/// Why a form was not accepted; read out when it appears.
#[component]
pub fn FormError(
    /// Nothing while all is well.
    message: RwSignal<Option<String>>,
) -> impl IntoView {
    view! { <p class="form-error" role="alert">{move || message.get()}</p> }
}
