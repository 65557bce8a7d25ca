//! Signing in: the form, alone on the page or in a dialog over it.

use leptos::html;
use leptos::prelude::*;
use leptos::task::spawn_local;
use qponder_shared::account::{SignIn, check};
use web_sys::SubmitEvent;

use crate::accounts;
use crate::api::Failure;
use crate::format::sentence;
use crate::parts::field::{Field, FormError};
use crate::session::SessionState;
use crate::state::App;

/// Address, password, and what went wrong.
#[component]
pub fn SignInForm(
    /// The address to begin with.
    #[prop(optional)]
    email: String,
) -> impl IntoView {
    let app = App::get();
    let is_known = !email.is_empty();
    let (email, password) = (RwSignal::new(email), RwSignal::new(String::new()));
    let (error, is_busy) = (RwSignal::new(None), RwSignal::new(false));
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        if is_busy.get_untracked() {
            return;
        }
        if password.with_untracked(String::len) > check::MAX_PASSWORD {
            return error.set(Some(sentence(&check::Unacceptable::LongPassword)));
        }
        if let Err(why) = check::email(&email.read_untracked()) {
            return error.set(Some(sentence(&why)));
        }
        is_busy.set(true);
        error.set(None);
        let body = SignIn { email: email.get_untracked(), password: password.get_untracked() };
        spawn_local(async move {
            let outcome = match accounts::sign_in(&body).await {
                // A browser that did not keep the cookie would ask again and again, and not say why.
                Ok(_) => accounts::me().await,
                Err(failure) => Err(failure),
            };
            // Gone with the form, when somebody signed in elsewhere meanwhile.
            let _ = is_busy.try_set(false);
            match outcome {
                Ok(Some(me)) => {
                    app.session.enter(me);
                    app.reach();
                }
                Ok(None) => drop(error.try_set(Some(NO_COOKIE.to_owned()))),
                Err(failure) => {
                    if failure == Failure::Unreachable {
                        app.reach();
                    }
                    drop(error.try_set(Some(sentence(&failure))));
                }
            }
        });
    };
    view! {
        <form class="form" on:submit=submit>
            <Field label="E-mail address" name="email" kind="email" autocomplete="username" value=email autofocus=!is_known/>
            <Field label="Password" name="password" kind="password" autocomplete="current-password" value=password
                autofocus=is_known/>
            <FormError message=error/>
            <button class="button is-primary" disabled=move || is_busy.get()>
                {move || if is_busy.get() { "Signing in…" } else { "Sign in" }}
            </button>
        </form>
    }
}

const NO_COOKIE: &str =
    "The browser does not keep the session. Allow cookies for this site, and open it over HTTPS.";

/// Over the page, once a session has ended: what is there stays as it is.
#[component]
pub fn SignInDialog() -> impl IntoView {
    let app = App::get();
    let lost = Memo::new(move |_| match app.session.state() {
        SessionState::Lost(me) => Some(me.user.map(|user| user.email).unwrap_or_default()),
        _ => None,
    });
    move || lost.get().map(|email| view! { <Open email/> })
}

#[component]
fn Open(email: String) -> impl IntoView {
    let dialog = NodeRef::<html::Dialog>::new();
    Effect::new(move || {
        if let Some(dialog) = dialog.get()
            && !dialog.open()
        {
            // Fails only for a dialog that is not in the document, and this one is.
            let _ = dialog.show_modal();
        }
    });
    view! {
        // Escape would leave a page that cannot do anything.
        <dialog class="sign-in-dialog" node_ref=dialog aria-labelledby="sign-in-title"
            on:cancel=move |event: web_sys::Event| event.prevent_default()>
            <h2 id="sign-in-title">"Sign in again"</h2>
            <p class="muted">"Your session has ended. The page stays as you left it."</p>
            <SignInForm email/>
        </dialog>
    }
}
