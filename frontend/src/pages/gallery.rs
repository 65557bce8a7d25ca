//! The gallery: every uploaded image with its newest score.

use std::time::Duration;

use leptos::html;
use leptos::prelude::*;
use qponder_shared::Scope;
use wasm_bindgen::prelude::*;
use web_sys::{HtmlSelectElement, IntersectionObserver, IntersectionObserverEntry};

use crate::api::Sort;
use crate::format;
use crate::gallery::Loading;
use crate::parts::empty::Empty;
use crate::parts::tile::{self, Tile};
use crate::route::{Route, follow_link};
use crate::state::App;

/// The page at `/`.
#[component]
pub fn GalleryPage() -> impl IntoView {
    let app = App::get();
    let gallery = app.gallery;
    app.shown.set(None);
    document().set_title("Q-Ponder");
    gallery.sort_if_needed(app);
    restore_scroll(app);
    on_cleanup(move || gallery.scroll.set_value(window().scroll_y().unwrap_or(0.0)));

    let is_first_load = Memo::new(move |_| {
        gallery.is_empty() && matches!(gallery.loading.get(), Loading::Idle | Loading::Busy)
    });
    let is_empty = Memo::new(move |_| gallery.is_empty() && gallery.loading.get() == Loading::Ready);
    view! {
        <h1 class="sr">"Gallery"</h1>
        {move || {
            if is_empty.get() {
                if app.session.may(Scope::Assess) {
                    view! { <Empty/> }.into_any()
                } else {
                    view! { <section class="message"><p>"There are no photographs yet."</p></section> }.into_any()
                }
            } else if is_first_load.get() {
                view! { <Skeleton/> }.into_any()
            } else {
                view! { <Grid/> }.into_any()
            }
        }}
    }
}

#[component]
fn Grid() -> impl IntoView {
    let app = App::get();
    let gallery = app.gallery;
    let count = move || {
        let count = gallery.cards().len();
        let more = if gallery.has_more() { "+" } else { "" };
        if count == 0 {
            String::new()
        } else {
            format!("{count}{more} {}", if count == 1 { "image" } else { "images" })
        }
    };
    view! {
        <div class="toolbar">
            <p class="muted">{count}</p>
            <Picked/>
            <SortChoice/>
        </div>
        <ul class="grid" id="grid">
            <For each=move || gallery.cards() key=|card| card.id let:card>
                <Tile card/>
            </For>
        </ul>
        {move || match gallery.loading.get() {
            Loading::Failed(failure) => view! {
                <div class="message" role="alert">
                    <p>{format!("The images could not be loaded. {failure}")}</p>
                    <button class="button" on:click=move |_| gallery.reload(app)>"Try again"</button>
                </div>
            }.into_any(),
            _ => view! { <More/> }.into_any(),
        }}
    }
}

/// What can be done with the images that were picked.
#[component]
fn Picked() -> impl IntoView {
    let app = App::get();
    let count = Memo::new(move |_| app.comparing.picked.with(Vec::len));
    view! {
        <Show when=move || { count.get() > 0 } fallback=move || view! {
            <a class="button is-plain" href=Route::Compare.path() on:click=follow_link(app, Route::Compare)>"Compare models"</a>
        }>
            <div class="picked">
                <span>{move || format!("{} picked", count.get())}</span>
                <button class="button is-primary" disabled=move || { count.get() < 2 } title="Two to four images (V)"
                    on:click=move |_| { app.comparing.view(app); }>"Side by side"</button>
                <button class="button" on:click=move |_| app.comparing.picked.set(Vec::new())>"Clear"</button>
            </div>
        </Show>
    }
}

#[component]
fn SortChoice() -> impl IntoView {
    let app = App::get();
    let gallery = app.gallery;
    let choose = move |event: web_sys::Event| {
        let chosen = event_target::<HtmlSelectElement>(&event).value();
        if let Some(sort) = Sort::ALL.into_iter().find(|sort| sort.name() == chosen) {
            gallery.sort_by(app, sort);
        }
    };
    view! {
        <label class="sort">
            <span class="muted">"Sort"</span>
            <select on:change=choose prop:value=move || gallery.sort.get().name()>
                {Sort::ALL.map(|sort| view! {
                    <option value=sort.name() selected=move || gallery.sort.get() == sort>
                        {format!("{} first", format::capitalised(sort.name()))}
                    </option>
                })}
            </select>
        </label>
    }
}

/// Loads the next page when it comes into view, or is pressed.
#[component]
fn More() -> impl IntoView {
    let app = App::get();
    let gallery = app.gallery;
    let button = NodeRef::<html::Button>::new();
    Effect::new(move || {
        let Some(button) = button.get() else { return };
        let seen = Closure::<dyn FnMut(Vec<IntersectionObserverEntry>)>::new(move |entries: Vec<_>| {
            if entries.iter().any(IntersectionObserverEntry::is_intersecting) {
                gallery.load_more(app);
            }
        });
        if let Ok(observer) = IntersectionObserver::new(seen.as_ref().unchecked_ref()) {
            observer.observe(&button);
            let held = StoredValue::new_local((observer, seen));
            on_cleanup(move || held.with_value(|(observer, _)| observer.disconnect()));
        }
    });
    view! {
        <Show when=move || gallery.has_more()>
            <button class="button more" node_ref=button disabled=move || gallery.loading.get() == Loading::Busy
                on:click=move |_| gallery.load_more(app)>
                {move || if gallery.loading.get() == Loading::Busy { "Loading…" } else { "Show more" }}
            </button>
        </Show>
    }
}

/// Grey shapes where images will be.
#[component]
fn Skeleton() -> impl IntoView {
    const SHAPES: [f64; 8] = [1.5, 0.75, 1.33, 1.78, 1.0, 1.5, 0.67, 1.5];
    view! {
        <p class="sr" role="status">"Loading the gallery"</p>
        <ul class="grid is-skeleton" aria-hidden="true">
            {SHAPES.map(|ratio| view! {
                <li class="tile" style=format!("--ratio:{ratio}")><div class="tile-picture skeleton"></div></li>
            })}
        </ul>
    }
}

/// Back where the person was, and on the image they come from.
fn restore_scroll(app: App) {
    let (top, last) = (app.gallery.scroll.get_value(), app.gallery.left_for.get_value());
    set_timeout(
        move || {
            window().scroll_to_with_x_and_y(0.0, top);
            if let Some(id) = last {
                tile::focus(id);
            }
        },
        Duration::ZERO,
    );
}
