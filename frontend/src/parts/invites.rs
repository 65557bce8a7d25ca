//! Invites: those that wait, and a form for another one.

use leptos::prelude::*;
use leptos::task::spawn_local;
use qponder_shared::Role;
use qponder_shared::account::{CreateInvite, Invite, check};
use web_sys::{HtmlSelectElement, SubmitEvent};

use crate::accounts;
use crate::format::{self, sentence};
use crate::parts::field::{Field, FormError};
use crate::parts::secret::Secret;
use crate::state::App;

/// A link's path behind the address at which this page was found.
pub fn full_link(path: &str) -> String {
    location().origin().unwrap_or_default() + path
}

/// The section of the users page.
#[component]
pub fn Invites() -> impl IntoView {
    let app = App::get();
    let invites = RwSignal::new(Vec::<Invite>::new());
    let load = move || {
        spawn_local(async move {
            match accounts::invites().await {
                Ok(list) => drop(invites.try_set(list)),
                Err(failure) => app.report(&failure),
            }
        });
    };
    load();
    let revoke = move |invite: Invite| {
        spawn_local(async move {
            match accounts::revoke_invite(invite.id).await {
                Err(failure) if failure.status() != Some(404) => app.report(&failure),
                _ => drop(invites.try_update(|invites| invites.retain(|other| other.id != invite.id))),
            }
        });
    };
    view! {
        <section aria-labelledby="invites">
            <h2 id="invites">"Invite somebody"</h2>
            <InviteForm made=Callback::new(move |()| load())/>
            <Show when=move || invites.with(|invites| !invites.is_empty())>
                <h2>"Invites that wait"</h2>
                <ul class="rows">
                    <For each=move || invites.get() key=|invite| invite.id let:invite>
                        <li>
                            <div class="row-main">
                                <p class="row-title">{title(&invite)}</p>
                                <p class="muted">{format!("By {}, until {}", invite.created_by, format::time(&invite.expires_at))}</p>
                            </div>
                            <button class="button" aria-label=format!("Take back the invite {}", title(&invite))
                                on:click=move |_| revoke(invite.clone())>"Take back"</button>
                        </li>
                    </For>
                </ul>
            </Show>
        </section>
    }
}

fn title(invite: &Invite) -> String {
    let role = format::capitalised(invite.role.name());
    if invite.note.is_empty() { role } else { format!("{role}: {}", invite.note) }
}

#[component]
fn InviteForm(made: Callback<()>) -> impl IntoView {
    let role = RwSignal::new(Role::Annotator);
    let note = RwSignal::new(String::new());
    let link = RwSignal::new(None::<String>);
    let (error, is_busy) = (RwSignal::new(None), RwSignal::new(false));
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        if is_busy.get_untracked() {
            return;
        }
        if let Err(why) = check::name(&note.read_untracked())
            && !note.with_untracked(|note| note.trim().is_empty())
        {
            return error.set(Some(sentence(&why)));
        }
        is_busy.set(true);
        error.set(None);
        let body = CreateInvite { role: role.get_untracked(), note: note.get_untracked(), study: None };
        spawn_local(async move {
            let outcome = accounts::create_invite(&body).await;
            let _ = is_busy.try_set(false);
            match outcome {
                Ok(new) => {
                    let _ = (link.try_set(Some(full_link(&new.path))), note.try_set(String::new()));
                    made.run(());
                }
                Err(failure) => drop(error.try_set(Some(sentence(&failure)))),
            }
        });
    };
    let choose = move |event: web_sys::Event| {
        if let Ok(chosen) = event_target::<HtmlSelectElement>(&event).value().parse() {
            role.set(chosen);
        }
    };
    view! {
        <form class="form is-row" on:submit=submit>
            <div class="field">
                <label for="invite-role">"Role"</label>
                <select id="invite-role" on:change=choose>
                    {Role::ALL.map(|one| view! {
                        <option value=one.name() selected=one == Role::Annotator>{one.name()}</option>
                    })}
                </select>
            </div>
            <Field label="For whom (for your own list)" name="invite-note" value=note required=false/>
            <button class="button is-primary" disabled=move || is_busy.get()>"Make a link"</button>
        </form>
        <p class="muted">{move || about(role.get())}</p>
        <FormError message=error/>
        {move || link.get().map(|text| view! {
            <Secret what="The link works once, for a week, and is not shown again. Hand it over yourself.".to_owned() text/>
        })}
    }
}

fn about(role: Role) -> &'static str {
    match role {
        Role::Admin => "Administrators do everything, and manage users.",
        Role::Engineer => "Engineers add and assess photos, annotate, and train models.",
        Role::Reviewer => "Reviewers add and assess photos, and annotate.",
        Role::Annotator => "Annotators look at photos and annotate.",
    }
}
