//! Personal API tokens: those there are, and a form for another one.

use leptos::prelude::*;
use leptos::task::spawn_local;
use qponder_shared::Scope;
use qponder_shared::account::{CreateToken, Token, check};
use web_sys::{HtmlSelectElement, SubmitEvent};

use crate::accounts;
use crate::format::{self, sentence};
use crate::parts::field::{Field, FormError};
use crate::parts::secret::Secret;
use crate::state::App;

/// Lives that are offered, in days; 0 is without end.
const LIVES: [(u16, &str); 4] = [(30, "30 days"), (90, "90 days"), (366, "A year"), (0, "Without end")];

/// The section of the account page.
#[component]
pub fn Tokens() -> impl IntoView {
    let app = App::get();
    let tokens = RwSignal::new(Vec::<Token>::new());
    let secret = RwSignal::new(None::<String>);
    spawn_local(async move {
        match accounts::tokens().await {
            Ok(list) => drop(tokens.try_set(list)),
            Err(failure) => app.report(&failure),
        }
    });
    let delete = move |token: Token| {
        spawn_local(async move {
            match accounts::delete_token(token.id).await {
                Err(failure) if failure.status() != Some(404) => app.report(&failure),
                _ => {
                    tokens.try_update(|tokens| tokens.retain(|other| other.id != token.id));
                    app.toasts.say(format!("Deleted {}.", token.name));
                }
            }
        });
    };
    view! {
        <section aria-labelledby="tokens">
            <h2 id="tokens">"API tokens"</h2>
            <p class="muted">
                "For programs, as "<code>"Authorization: Bearer qp_…"</code>". A token does what you may do, within its scopes."
            </p>
            <ul class="rows">
                <For each=move || tokens.get() key=|token| token.id let:token>
                    <li>
                        <div class="row-main">
                            <p class="row-title">{token.name.clone()}</p>
                            <p class="muted">{facts(&token)}</p>
                        </div>
                        <button class="button" aria-label=format!("Delete the token {}", token.name)
                            on:click=move |_| delete(token.clone())>"Delete"</button>
                    </li>
                </For>
            </ul>
            {move || secret.get().map(|text| view! {
                <Secret what="The new token. Copy it now: it is not shown again.".to_owned() text/>
            })}
            <NewTokenForm tokens secret/>
        </section>
    }
}

fn facts(token: &Token) -> String {
    let scopes: Vec<&str> = token.scopes.iter().map(|scope| scope.name()).collect();
    let used = token
        .last_used_at
        .as_deref()
        .map_or("never used".to_owned(), |time| format!("last used {}", format::time(time)));
    let end = token
        .expires_at
        .as_deref()
        .map_or("without end".to_owned(), |time| format!("until {}", format::time(time)));
    format!("{} · {used} · {end}", scopes.join(", "))
}

#[component]
fn NewTokenForm(tokens: RwSignal<Vec<Token>>, secret: RwSignal<Option<String>>) -> impl IntoView {
    let app = App::get();
    let name = RwSignal::new(String::new());
    let scopes = RwSignal::new(vec![Scope::Read]);
    let days = RwSignal::new(LIVES[1].0);
    let (error, is_busy) = (RwSignal::new(None), RwSignal::new(false));
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        if is_busy.get_untracked() {
            return;
        }
        if let Err(why) = check::name(&name.read_untracked()) {
            return error.set(Some(sentence(&why)));
        }
        is_busy.set(true);
        error.set(None);
        let body = CreateToken {
            name: name.get_untracked(),
            scopes: scopes.get_untracked(),
            days: Some(days.get_untracked()).filter(|days| *days > 0),
        };
        spawn_local(async move {
            let outcome = accounts::create_token(&body).await;
            let _ = is_busy.try_set(false);
            match outcome {
                Ok(made) => {
                    tokens.try_update(|tokens| tokens.insert(0, made.token));
                    let _ = (secret.try_set(Some(made.secret)), name.try_set(String::new()));
                }
                Err(failure) => drop(error.try_set(Some(sentence(&failure)))),
            }
        });
    };
    let choice = move |scope: Scope| {
        let toggle = move |_| {
            scopes.update(|scopes| match scopes.iter().position(|other| *other == scope) {
                Some(at) => drop(scopes.remove(at)),
                None => scopes.push(scope),
            });
        };
        view! {
            <label class="check">
                <input type="checkbox" prop:checked=move || scopes.with(|scopes| scopes.contains(&scope)) on:change=toggle/>
                <span>{scope.name()}</span>
            </label>
        }
    };
    let offered =
        move || Scope::ALL.into_iter().filter(|scope| app.session.may(*scope)).map(choice).collect_view();
    let choose_days = move |event: web_sys::Event| {
        if let Ok(chosen) = event_target::<HtmlSelectElement>(&event).value().parse() {
            days.set(chosen);
        }
    };
    view! {
        <details class="disclosure">
            <summary>"Make a token"</summary>
            <form class="form" on:submit=submit>
                <Field label="What it is for" name="token-name" value=name/>
                <fieldset class="checks"><legend>"Scopes"</legend>{offered}</fieldset>
                <div class="field">
                    <label for="token-days">"It works for"</label>
                    <select id="token-days" on:change=choose_days>
                        {LIVES.map(|(value, label)| view! {
                            <option value=value.to_string() selected=value == LIVES[1].0>{label}</option>
                        })}
                    </select>
                </div>
                <FormError message=error/>
                <button class="button" disabled=move || is_busy.get()>"Make the token"</button>
            </form>
        </details>
    }
}
