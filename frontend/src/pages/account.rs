//! One's own account: password, sessions, API tokens.

use leptos::prelude::*;
use leptos::task::spawn_local;
use qponder_shared::account::{ChangePassword, Session, User, check};
use web_sys::SubmitEvent;

use crate::accounts;
use crate::format::{self, sentence};
use crate::parts::field::{Field, FormError};
use crate::parts::tabs::Tabs;
use crate::parts::tokens::Tokens;
use crate::session::start_over;
use crate::state::App;

/// The page at `/account`.
#[component]
pub fn AccountPage() -> impl IntoView {
    let app = App::get();
    document().set_title("Account · Q-Ponder");
    view! {
        <div class="page">
            <Tabs/>
            {move || match app.session.me().and_then(|me| me.user) {
                Some(user) => view! { <Own user/> }.into_any(),
                None => view! {
                    <h1>"Local mode"</h1>
                    <p>
                        "This server was started with "<code>"--local"</code>": it answers this machine alone, and whoever can
                        use this machine is the administrator. There is nothing to sign in to. Without "
                        <code>"--local"</code>" people have accounts."
                    </p>
                }.into_any(),
            }}
        </div>
    }
}

#[component]
fn Own(user: User) -> impl IntoView {
    let app = App::get();
    let sign_out = move |everywhere: bool| {
        move |_| {
            spawn_local(async move {
                match accounts::sign_out(everywhere).await {
                    Ok(()) => start_over("/"),
                    Err(failure) => app.report(&failure),
                }
            });
        }
    };
    view! {
        <header class="page-head">
            <div>
                <h1>{user.name.clone()}</h1>
                <p class="muted">{format!("{} · {}", user.email, user.role)}</p>
            </div>
            <button class="button" on:click=sign_out(false)>"Sign out"</button>
        </header>
        <Sessions/>
        <button class="button" on:click=sign_out(true)>"Sign out everywhere"</button>
        <Password user/>
        <Tokens/>
    }
}

#[component]
fn Sessions() -> impl IntoView {
    let app = App::get();
    let sessions = RwSignal::new(Vec::<Session>::new());
    spawn_local(async move {
        match accounts::sessions().await {
            Ok(list) => drop(sessions.try_set(list)),
            Err(failure) => app.report(&failure),
        }
    });
    view! {
        <section aria-labelledby="sessions">
            <h2 id="sessions">"Where you are signed in"</h2>
            <ul class="rows">
                <For each=move || sessions.get() key=|session| session.id let:session>
                    <li>
                        <div class="row-main">
                            <p class="row-title">{client(&session)}{session.current.then_some(" · here")}</p>
                            <p class="muted">
                                {format!("Since {}, last seen {}", format::time(&session.created_at), format::time(&session.last_seen_at))}
                            </p>
                        </div>
                    </li>
                </For>
            </ul>
        </section>
    }
}

fn client(session: &Session) -> String {
    if session.client.is_empty() { "Some program".to_owned() } else { session.client.clone() }
}

#[component]
fn Password(user: User) -> impl IntoView {
    let app = App::get();
    let (current, new) = (RwSignal::new(String::new()), RwSignal::new(String::new()));
    let (error, is_busy) = (RwSignal::new(None), RwSignal::new(false));
    let address = user.email.clone();
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        if is_busy.get_untracked() {
            return;
        }
        if current.with_untracked(String::len) > check::MAX_PASSWORD {
            return error.set(Some("The current password is wrong.".to_owned()));
        }
        if let Err(reason) = check::password(&new.get_untracked(), &user.email, &user.name) {
            return error.set(Some(sentence(&reason)));
        }
        is_busy.set(true);
        error.set(None);
        let body = ChangePassword { current: current.get_untracked(), new: new.get_untracked() };
        spawn_local(async move {
            let outcome = accounts::change_password(&body).await;
            let _ = is_busy.try_set(false);
            match outcome {
                Ok(()) => {
                    let _ = (current.try_set(String::new()), new.try_set(String::new()));
                    app.toasts.say("The password is changed. You are signed out everywhere else.");
                }
                Err(failure) => drop(error.try_set(Some(sentence(&failure)))),
            }
        });
    };
    view! {
        <section aria-labelledby="password-title">
            <h2 id="password-title">"Password"</h2>
            <form class="form" on:submit=submit>
                // For password managers, which want to know whose password it is.
                <input class="sr" type="text" autocomplete="username" tabindex="-1" aria-hidden="true" readonly value=address/>
                <Field label="Current password" name="current-password" kind="password" autocomplete="current-password" value=current/>
                <Field label="New password" name="new-password" kind="password" autocomplete="new-password" value=new
                    hint="At least 12 characters."/>
                <FormError message=error/>
                <button class="button" disabled=move || is_busy.get()>"Change password"</button>
            </form>
        </section>
    }
}
