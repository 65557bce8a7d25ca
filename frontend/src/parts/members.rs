//! Who takes part in a study.

use leptos::prelude::*;
use leptos::task::spawn_local;
use qponder_shared::account::{CreateInvite, check};
use qponder_shared::study::{AddMember, Member};
use qponder_shared::{Role, Scope, StudyId};
use web_sys::SubmitEvent;

use crate::accounts;
use crate::format::{self, sentence};
use crate::parts::field::{Field, FormError};
use crate::parts::invites::full_link;
use crate::parts::secret::Secret;
use crate::state::App;
use crate::studies;

/// The list of members, and the ways to become one.
#[component]
pub fn Members(id: StudyId, changed: Callback<()>) -> impl IntoView {
    let app = App::get();
    let members = RwSignal::new(Vec::<Member>::new());
    spawn_local(async move {
        match studies::members(id).await {
            Ok(list) => drop(members.try_set(list)),
            Err(failure) => app.report(&failure),
        }
    });
    let remove = move |member: Member| {
        spawn_local(async move {
            match studies::remove_member(id, member.user).await {
                Err(failure) if failure.status() != Some(404) => app.report(&failure),
                _ => {
                    members.try_update(|members| members.retain(|other| other.user != member.user));
                    changed.run(());
                }
            }
        });
    };
    let email = RwSignal::new(String::new());
    let error = RwSignal::new(None);
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        if let Err(why) = check::email(&email.read_untracked()) {
            return error.set(Some(sentence(&why)));
        }
        error.set(None);
        let body = AddMember { email: email.get_untracked() };
        spawn_local(async move {
            match studies::add_member(id, &body).await {
                Ok(list) => {
                    let _ = (members.try_set(list), email.try_set(String::new()));
                    changed.run(());
                }
                Err(failure) => drop(error.try_set(Some(sentence(&failure)))),
            }
        });
    };
    view! {
        <section aria-labelledby="members">
            <h2 id="members">"People"</h2>
            <Show when=move || members.with(Vec::is_empty)><p class="muted">"Nobody rates here yet."</p></Show>
            <ul class="rows">
                <For each=move || members.get() key=|member| (member.user, member.done) let:member>
                    <li>
                        <div class="row-main">
                            <p class="row-title">{member.name.clone()}</p>
                            <p class="muted">{format!(
                                "{} · {}{}",
                                member.email,
                                format::plural(member.done as usize, "vote"),
                                member.last_vote_at.as_deref().map(|at| format!(", the last {}", format::time(at))).unwrap_or_default()
                            )}</p>
                        </div>
                        <button class="button" aria-label=format!("Take out {}", member.name)
                            on:click={let member = member.clone(); move |_| remove(member.clone())}>"Take out"</button>
                    </li>
                </For>
            </ul>
            <form class="form is-row" on:submit=submit>
                <Field label="Add a user" name="member-email" kind="email" value=email hint="Their e-mail address"/>
                <button class="button">"Add"</button>
            </form>
            <FormError message=error/>
            <Show when=move || app.session.may(Scope::Admin) && app.session.me().is_some_and(|me| me.user.is_some())>
                <InviteHere id/>
            </Show>
        </section>
    }
}

/// A link for somebody who has no account yet: it leads into the study.
#[component]
fn InviteHere(id: StudyId) -> impl IntoView {
    let app = App::get();
    let link = RwSignal::new(None::<String>);
    let is_busy = RwSignal::new(false);
    let make = move |_| {
        if is_busy.get_untracked() {
            return;
        }
        is_busy.set(true);
        spawn_local(async move {
            let body = CreateInvite { role: Role::Annotator, note: String::new(), study: Some(id) };
            let outcome = accounts::create_invite(&body).await;
            let _ = is_busy.try_set(false);
            match outcome {
                Ok(made) => drop(link.try_set(Some(full_link(&made.path)))),
                Err(failure) => app.report(&failure),
            }
        });
    };
    view! {
        <button class="button" disabled=move || is_busy.get() on:click=make>"Invite an annotator"</button>
        {move || link.get().map(|text| view! {
            <Secret what="Whoever opens the link gets an account as annotator and is in this study. It works once, for a week.".to_owned() text/>
        })}
    }
}
