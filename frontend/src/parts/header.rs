//! The bar at the top: name, model, mode of new photos, theme, keys, upload.

use leptos::prelude::*;
use qponder_shared::Scope;
use qponder_shared::api::Mode;
use wasm_bindgen::JsCast as _;
use web_sys::HtmlInputElement;

use crate::dropped::listed;
use crate::format;
use crate::parts::icon::{Icon, Shape};
use crate::route::{Route, follow_link};
use crate::settings::Theme;
use crate::state::App;

const FILE_INPUT: &str = "files";

/// Opens the browser's file dialog.
pub fn choose_files() {
    let input = document().get_element_by_id(FILE_INPUT);
    if let Some(input) = input.and_then(|input| input.dyn_into::<HtmlInputElement>().ok()) {
        input.click();
    }
}

/// The bar.
#[component]
pub fn Header() -> impl IntoView {
    let app = App::get();
    let model = move || {
        app.info.get().map(|info| {
            let title = format!(
                "Model {}, family {}, {} parameters, weights {}",
                info.model.name,
                info.model.family,
                format::count(info.model.parameters),
                info.model.sha256.get(..12).unwrap_or_default()
            );
            view! { <span class="model" title=title>{info.model.name.clone()}</span> }
        })
    };
    let picked = move |event: web_sys::Event| {
        let input: HtmlInputElement = event_target(&event);
        if let Some(files) = input.files() {
            app.uploads.add(app, listed(&files));
        }
        // So that the same file can be picked again.
        input.set_value("");
    };
    view! {
        <header class="bar">
            <a class="brand" href="/" on:click=follow_link(app, Route::Gallery) aria-label="Q-Ponder, gallery">
                <svg class="mark" viewBox="0 0 32 32" aria-hidden="true">
                    <circle cx="16" cy="13.5" r="9"/><path d="M22.5 20 27 25.5M4 28h14"/>
                    <circle class="dot" cx="16" cy="13.5" r="3"/><circle class="dot" cx="12" cy="28" r="2.5"/>
                </svg>
                <span>"Q-Ponder"</span>
            </a>
            {model}
            <Sections/>
            <span class="spring"></span>
            <Show when=move || app.session.may(Scope::Assess)><ModeSwitch/></Show>
            <Who/>
            <ThemeToggle/>
            <button class="icon-button keys-button" title="Keys (?)" aria-label="Keys" on:click=move |_| app.help.set(true)>"?"</button>
            <Show when=move || app.session.may(Scope::Assess)>
                <button class="button is-primary" title="Upload photos (U)" on:click=move |_| choose_files()>
                    <Icon shape=Shape::Upload/><span>"Upload"</span>
                </button>
            </Show>
            <input id=FILE_INPUT class="sr" type="file" multiple accept="image/png,image/jpeg,image/webp" tabindex="-1"
                aria-label="Photos to upload" on:change=picked/>
        </header>
    }
}

/// The ways to studies, the review queue, data and trainings.
#[component]
fn Sections() -> impl IntoView {
    let app = App::get();
    let link = move |to: Route, label: &'static str, is_here: fn(Route) -> bool| {
        let current = move || is_here(app.route.get()).then_some("page");
        view! { <a href=to.path() aria-current=current on:click=follow_link(app, to)>{label}</a> }
    };
    view! {
        <nav class="sections" aria-label="Sections">
            {link(Route::QuickScore, "Quick score", |route| route == Route::QuickScore)}
            <Show when=move || app.session.may(Scope::Annotate)>
                {link(Route::Studies, "Studies", |route| matches!(route, Route::Studies | Route::Study(_) | Route::Annotate(_)))}
            </Show>
            <Show when=move || app.session.may(Scope::Review)>
                {link(Route::Review(None), "Review", |route| matches!(route, Route::Review(_)))}
                {link(Route::Transfers, "Data", |route| route == Route::Transfers)}
            </Show>
            <Show when=move || app.session.may(Scope::Train)>
                {link(Route::Jobs, "Training", |route| matches!(
                    route, Route::Jobs | Route::TrainOn(_) | Route::Job(_) | Route::CompareJobs(_)
                ))}
                {link(Route::Models, "Models", |route| matches!(route, Route::Models | Route::Model(_)))}
            </Show>
        </nav>
    }
}

/// Who is signed in, and the way to their account.
#[component]
fn Who() -> impl IntoView {
    let app = App::get();
    let link = move || {
        let me = app.session.me()?;
        let (name, title) = match me.user {
            Some(user) => {
                let title = format!("Account of {}, {}", user.email, user.role);
                (user.name, title)
            }
            None => ("Local mode".to_owned(), "Whoever uses this machine is the administrator".to_owned()),
        };
        Some(view! {
            <a class="who" href=Route::Account.path() title=title on:click=follow_link(app, Route::Account)>
                <Icon shape=Shape::Person/><span>{name}</span>
            </a>
        })
    };
    view! { {link} }
}

/// How new photos are assessed.
#[component]
fn ModeSwitch() -> impl IntoView {
    let app = App::get();
    let option = move |mode: Mode, label: &'static str, title: &'static str| {
        view! {
            <label title=title>
                <input type="radio" name="mode" value=mode.name() prop:checked=move || app.mode.get() == mode
                    on:change=move |_| app.mode.set(mode)/>
                <span>{label}</span>
            </label>
        }
    };
    view! {
        <fieldset class="switch">
            <legend class="sr">"Mode of new photos"</legend>
            {option(Mode::Reason, "Reason", "New photos: reasoning in words, then a score")}
            {option(Mode::Quick, "Quick", "New photos: only a score, in one step")}
        </fieldset>
    }
}

#[component]
fn ThemeToggle() -> impl IntoView {
    let app = App::get();
    let label = move || match app.theme.get() {
        Theme::System => "Theme: as the system",
        Theme::Light => "Theme: light",
        Theme::Dark => "Theme: dark",
    };
    view! {
        <button class="icon-button" title=move || format!("{} (T)", label()) aria-label=label
            on:click=move |_| app.theme.update(|theme| *theme = theme.next())>
            {move || {
                let shape = match app.theme.get() {
                    Theme::System => Shape::HalfSun,
                    Theme::Light => Shape::Sun,
                    Theme::Dark => Shape::Moon,
                };
                view! { <Icon shape/> }
            }}
        </button>
    }
}
