//! One image: its pixels, and what Q-Ponder says of it.

use leptos::prelude::*;
use leptos::task::spawn_local;
use qponder_shared::api::Image;
use qponder_shared::{ImageId, Scope};

use crate::api::{self, Failure};
use crate::format;
use crate::keys;
use crate::pages::unknown::UnknownPage;
use crate::parts::actions::Actions;
use crate::parts::details::Details;
use crate::parts::history::HistoryList;
use crate::parts::icon::{Icon, Shape};
use crate::parts::reasoning::Reasoning;
use crate::parts::viewer::ViewerStage;
use crate::route::{Route, follow_link};
use crate::state::App;

/// The page at `/images/{id}`.
#[component]
pub fn ImagePage(
    /// Which image.
    id: ImageId,
) -> impl IntoView {
    let app = App::get();
    app.gallery.left_for.set_value(Some(id));
    app.shown.set(None);
    window().scroll_to_with_x_and_y(0.0, 0.0);

    let known = untrack(|| app.gallery.find(id)).map(|card| card.image.get_untracked());
    let image = RwSignal::new(known);
    let failure = RwSignal::new(None::<Failure>);
    let load = move || {
        failure.set(None);
        spawn_local(load(app, id, image, failure));
    };
    load();

    Effect::new(move || {
        image.with(|image| {
            if let Some(image) = image {
                document().set_title(&format!("{} · Q-Ponder", image.name));
            }
        });
    });
    // The newest answer is shown until a person picks another one.
    Effect::new(move || {
        let newest = app.answers.of(id).into_iter().next();
        if newest.is_some() && app.shown.with_untracked(Option::is_none) {
            app.shown.set(newest);
        }
    });
    let is_missing = move |failure: &Failure| matches!(failure.status(), Some(400..500));
    move || match (image.get(), failure.get()) {
        (Some(image), _) => view! { <Loaded image/> }.into_any(),
        (None, Some(failure)) if is_missing(&failure) => view! { <UnknownPage what="image"/> }.into_any(),
        (None, Some(failure)) => view! {
            <section class="message" role="alert">
                <h1>"The image could not be loaded"</h1>
                <p>{failure.to_string()}</p>
                <button class="button" on:click=move |_| load()>"Try again"</button>
            </section>
        }
        .into_any(),
        (None, None) => view! {
            <div class="image-page" aria-busy="true">
                <div class="stage-frame"></div>
                <div class="panel"><div class="skeleton block"></div><div class="skeleton block"></div></div>
            </div>
        }
        .into_any(),
    }
}

/// Fetches the image unless it is known, and its assessments. A page that was left meanwhile has
/// disposed of its signals: the answer then goes nowhere.
async fn load(app: App, id: ImageId, image: RwSignal<Option<Image>>, failure: RwSignal<Option<Failure>>) {
    if image.try_get_untracked().flatten().is_none() {
        match api::image(id).await {
            Ok(found) => drop(image.try_set(Some(found))),
            Err(reason) => {
                if reason == Failure::Unreachable {
                    app.reach();
                }
                drop(failure.try_set(Some(reason)));
                return;
            }
        }
    }
    if !app.session.may_untracked(Scope::Assess) {
        // Who only rates is not shown what models say.
        return;
    }
    if let Err(reason) = app.answers.load(app, id).await {
        app.report(&reason);
    }
}

#[component]
fn Loaded(image: Image) -> impl IntoView {
    let id = image.id;
    let facts = format!(
        "{} × {} px · {} · {}",
        image.width,
        image.height,
        image.format.to_uppercase(),
        format::bytes(image.bytes as f64)
    );
    let name = image.name.clone();
    let panel_image = image.clone();
    view! {
        <div class="image-page">
            <ViewerStage id width=image.width height=image.height name=image.name/>
            <div class="panel">
                <header class="panel-head">
                    <div class="panel-title">
                        <h1 title=name.clone()>{name.clone()}</h1>
                        <p class="muted">{facts}</p>
                    </div>
                    <Turner id/>
                </header>
                <Reasoning id/>
                <Actions image=panel_image/>
                <a class="button is-plain" href=Route::CompareImage(id).path() title="Compare (V)"
                    on:click=follow_link(App::get(), Route::CompareImage(id))>"Compare what models say"</a>
                <Details id/>
                <HistoryList id/>
            </div>
        </div>
    }
}

/// Previous, next, and back to the gallery.
#[component]
fn Turner(id: ImageId) -> impl IntoView {
    let app = App::get();
    let is_first = move || app.gallery.neighbour(id, -1).is_none();
    let is_last = move || app.gallery.neighbour(id, 1).is_none() && !app.gallery.has_more();
    view! {
        <nav class="turner" aria-label="Images">
            <button class="icon-button" title="Previous image (K)" aria-label="Previous image" disabled=is_first
                on:click=move |_| keys::turn(app, id, -1)>
                <Icon shape=Shape::Left/>
            </button>
            <button class="icon-button" title="Next image (J)" aria-label="Next image" disabled=is_last
                on:click=move |_| keys::turn(app, id, 1)>
                <Icon shape=Shape::Right/>
            </button>
            <a class="icon-button" href="/" title="Back to the gallery (Esc)" aria-label="Back to the gallery"
                on:click=follow_link(app, Route::Gallery)>
                <Icon shape=Shape::Close/>
            </a>
        </nav>
    }
}
