//! A link that works once: become a user, or choose a new password.

use leptos::prelude::*;
use leptos::task::spawn_local;
use qponder_shared::account::{AcceptInvite, InvitePurpose, OpenInvite, check};
use wasm_bindgen::JsValue;
use web_sys::SubmitEvent;

use crate::accounts;
use crate::format::sentence;
use crate::parts::field::{Field, FormError};
use crate::session::start_over;
use crate::state::App;

/// The page at `/welcome#secret`.
#[component]
pub fn WelcomePage() -> impl IntoView {
    let app = App::get();
    document().set_title("Welcome · Q-Ponder");
    let token = location().hash().unwrap_or_default().trim_start_matches('#').to_owned();
    let link = RwSignal::new(None);
    let asked = token.clone();
    spawn_local(async move { drop(link.try_set(Some(accounts::open_link(&asked).await))) });
    let who = move || app.session.me().and_then(|me| me.user).map(|user| user.name);
    view! {
        <section class="narrow">
            {move || match link.get() {
                None => view! { <p class="muted" role="status">"Looking at the link…"</p> }.into_any(),
                Some(Ok(invite)) => {
                    let token = token.clone();
                    view! {
                        {move || who().map(|name| view! {
                            <p class="note">{format!("You are signed in as {name}. Using this link signs you out.")}</p>
                        })}
                        <Accept invite token/>
                    }.into_any()
                }
                Some(Err(failure)) => view! {
                    <h1>"This link does not work"</h1>
                    <p role="alert">{sentence(&failure)}</p>
                    <a class="button" href="/">"To Q-Ponder"</a>
                }.into_any(),
            }}
        </section>
    }
}

#[component]
fn Accept(invite: OpenInvite, token: String) -> impl IntoView {
    let is_new = invite.purpose == InvitePurpose::Join;
    let known = invite.email.clone().unwrap_or_default();
    let (email, name) = (RwSignal::new(known), RwSignal::new(String::new()));
    let password = RwSignal::new(String::new());
    let (error, is_busy) = (RwSignal::new(None), RwSignal::new(false));
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        if is_busy.get_untracked() {
            return;
        }
        let body = AcceptInvite {
            token: token.clone(),
            email: if is_new { email.get_untracked() } else { String::new() },
            name: name.get_untracked(),
            password: password.get_untracked(),
        };
        let is_fit = match is_new {
            true => check::name(&body.name).and_then(|_| check::email(&body.email)).map(drop),
            false => Ok(()),
        };
        let is_fit =
            is_fit.and_then(|()| check::password(&body.password, &email.read_untracked(), &body.name));
        if let Err(reason) = is_fit {
            return error.set(Some(sentence(&reason)));
        }
        is_busy.set(true);
        error.set(None);
        spawn_local(async move {
            match accounts::accept(&body).await {
                // A page of its own: nothing of an earlier user may be left in it.
                Ok(_) => {
                    forget_secret();
                    start_over("/");
                }
                Err(failure) => {
                    let _ = error.try_set(Some(sentence(&failure)));
                    let _ = is_busy.try_set(false);
                }
            }
        });
    };
    let (title, words, button) = match (invite.first, is_new) {
        (true, true) => (
            "Create the administrator".to_owned(),
            "The first account of this server. It invites the others.".to_owned(),
            "Create",
        ),
        (false, true) => (
            "Welcome to Q-Ponder".to_owned(),
            format!("You are invited as {}. Choose how you sign in.", invite.role),
            "Join",
        ),
        (_, false) => (
            "Choose a new password".to_owned(),
            format!("For {}. You will be signed out everywhere else.", email.get_untracked()),
            "Save",
        ),
    };
    view! {
        <h1>{title}</h1>
        <p class="muted">{words}</p>
        <form class="form" on:submit=submit>
            {is_new.then(|| view! {
                <Field label="Your name" name="name" autocomplete="name" value=name autofocus=true/>
                <Field label="E-mail address" name="email" kind="email" autocomplete="username" value=email
                    hint="You sign in with it. Nothing is sent there."/>
            })}
            <Field label="Password" name="password" kind="password" autocomplete="new-password" value=password
                hint="At least 12 characters. Several words are easy to keep and hard to guess." autofocus=!is_new/>
            <FormError message=error/>
            <button class="button is-primary" disabled=move || is_busy.get()>{button}</button>
        </form>
    }
}

/// Takes a used secret out of the address and the history.
fn forget_secret() {
    if let Ok(history) = window().history() {
        let _ = history.replace_state_with_url(&JsValue::NULL, "", Some("/welcome"));
    }
}
