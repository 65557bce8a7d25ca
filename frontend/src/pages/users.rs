//! Users and invites, for administrators.

use leptos::prelude::*;
use leptos::task::spawn_local;
use qponder_shared::Role;
use qponder_shared::account::{ChangeUser, User};
use web_sys::HtmlSelectElement;

use crate::accounts;
use crate::format;
use crate::parts::invites::{Invites, full_link};
use crate::parts::secret::Secret;
use crate::parts::tabs::Tabs;
use crate::state::App;

/// The page at `/users`.
#[component]
pub fn UsersPage() -> impl IntoView {
    let app = App::get();
    document().set_title("Users · Q-Ponder");
    let users = RwSignal::new(Vec::<User>::new());
    let next = RwSignal::new(None::<String>);
    let load = move || {
        spawn_local(async move {
            match accounts::users(next.get_untracked().as_deref()).await {
                Ok(page) => {
                    users.try_update(|users| users.extend(page.items));
                    let _ = next.try_set(page.next);
                }
                Err(failure) => app.report(&failure),
            }
        });
    };
    load();
    view! {
        <div class="page">
            <Tabs/>
            <h1>"Users"</h1>
            <ul class="rows">
                <For each=move || users.get() key=|user| (user.id, user.role, user.disabled) let:user>
                    <UserRow user users/>
                </For>
            </ul>
            <Show when=move || next.with(Option::is_some)>
                <button class="button more" on:click=move |_| load()>"Show more"</button>
            </Show>
            <Invites/>
        </div>
    }
}

#[component]
fn UserRow(user: User, users: RwSignal<Vec<User>>) -> impl IntoView {
    let app = App::get();
    let link = RwSignal::new(None::<String>);
    let id = user.id;
    let change = move |change: ChangeUser| {
        spawn_local(async move {
            match accounts::change_user(id, &change).await {
                Ok(changed) => {
                    app.toasts.say(format!("{} is changed.", changed.name));
                    replace(users, changed);
                }
                Err(failure) => {
                    app.report(&failure);
                    // What was chosen is not so: draw the row as it is.
                    users.try_update(|_| ());
                }
            }
        });
    };
    let role = user.role;
    let choose_role = move |event: web_sys::Event| {
        let select = event_target::<HtmlSelectElement>(&event);
        if let Ok(chosen) = select.value().parse::<Role>()
            && chosen != role
        {
            // The row shows it once the server has said so.
            select.set_value(role.name());
            change(ChangeUser { role: Some(chosen), disabled: None });
        }
    };
    let is_disabled = user.disabled;
    let toggle = move |_| change(ChangeUser { role: None, disabled: Some(!is_disabled) });
    let name = user.name.clone();
    let reset = move |_| {
        let name = name.clone();
        spawn_local(async move {
            match accounts::reset_link(id).await {
                Ok(made) => drop(link.try_set(Some(format!("{name}\n{}", full_link(&made.path))))),
                Err(failure) => app.report(&failure),
            }
        });
    };
    let label = format!("Role of {}", user.name);
    view! {
        <li class:is-disabled=is_disabled>
            <div class="row-main">
                <p class="row-title">{user.name.clone()}{is_disabled.then_some(" · disabled")}</p>
                <p class="muted">{format!("{} · since {}", user.email, format::time(&user.created_at))}</p>
            </div>
            <div class="row-actions">
                <select aria-label=label on:change=choose_role>
                    {Role::ALL.map(|one| view! { <option value=one.name() selected=one == role>{one.name()}</option> })}
                </select>
                <button class="button" disabled=is_disabled on:click=reset>"Reset link"</button>
                <button class="button" on:click=toggle>{if is_disabled { "Enable" } else { "Disable" }}</button>
            </div>
            {move || link.get().map(|text| {
                let (name, link) = text.split_once('\n').unwrap_or_default();
                let what = format!("With this link {name} chooses a new password. It works once, for a day. Hand it over yourself.");
                view! { <Secret what text=link.to_owned()/> }
            })}
        </li>
    }
}

fn replace(users: RwSignal<Vec<User>>, changed: User) {
    users.try_update(|users| {
        if let Some(user) = users.iter_mut().find(|user| user.id == changed.id) {
            *user = changed;
        }
    });
}
