//! Two to four images side by side, moving together.

use leptos::context::Provider;
use leptos::prelude::*;
use leptos::task::spawn_local;
use qponder_shared::ImageId;
use qponder_shared::api::Image;

use crate::api::{self, Failure};
use crate::parts::level_chip::{self, LevelSteps};
use crate::parts::viewer::{Viewer, ViewerStage};
use crate::route::{Route, follow_link};
use crate::state::App;

/// The page at `/side-by-side?images=…`.
#[component]
pub fn SideBySidePage(
    /// Which images.
    images: [Option<ImageId>; 4],
) -> impl IntoView {
    let app = App::get();
    document().set_title("Side by side · Q-Ponder");
    let ids: Vec<ImageId> = images.into_iter().flatten().collect();
    let viewers: Vec<Viewer> = ids.iter().map(|_| Viewer::new()).collect();
    app.comparing.lay_out(viewers.clone());
    let count = ids.len();
    let panes = ids.into_iter().zip(viewers).enumerate();
    let panes = panes.map(|(at, (id, viewer))| view! { <Pane id viewer at/> }).collect_view();
    let is_linked = app.comparing.is_linked;
    view! {
        <div class="side-by-side">
            <div class="toolbar">
                <h1>"Side by side"</h1>
                <label class="check" title="Zoom and move all images together (L)">
                    <input type="checkbox" prop:checked=is_linked
                        on:change=move |_| is_linked.update(|is_linked| *is_linked = !*is_linked)/>
                    <span>"Linked"</span>
                </label>
                <span class="spring"></span>
                <a class="button" href="/" title="Back to the gallery (Esc)" on:click=follow_link(app, Route::Gallery)>"Gallery"</a>
            </div>
            <div class=format!("panes is-{count}")>{panes}</div>
        </div>
    }
}

/// One image in a viewer of its own.
#[component]
fn Pane(id: ImageId, viewer: Viewer, at: usize) -> impl IntoView {
    let app = App::get();
    let known = untrack(|| app.gallery.find(id)).map(|card| card.image.get_untracked());
    let image = RwSignal::new(known.map(Ok::<Image, Failure>));
    if image.with_untracked(Option::is_none) {
        spawn_local(async move {
            let _ = image.try_set(Some(api::image(id).await));
        });
    }
    view! {
        <section class="pane" data-pane=at.to_string()><Provider value=viewer>
            {move || match image.get() {
                Some(Ok(image)) => view! { <Shown image/> }.into_any(),
                Some(Err(failure)) => view! {
                    <div class="stage-frame"><p class="stage-note" role="alert">{failure.to_string()}</p></div>
                }.into_any(),
                None => view! { <div class="stage-frame" aria-busy="true"></div> }.into_any(),
            }}
        </Provider></section>
    }
}

#[component]
fn Shown(image: Image) -> impl IntoView {
    let app = App::get();
    let id = image.id;
    let score = image.latest.as_ref().and_then(|latest| latest.score);
    let model = image.latest.as_ref().map(|latest| latest.model.clone()).unwrap_or_default();
    let (name, size) = (image.name.clone(), format!("{} × {} px", image.width, image.height));
    view! {
        <ViewerStage id width=image.width height=image.height name=image.name/>
        <footer class="pane-foot">
            <a href=Route::Image(id).path() on:click=follow_link(app, Route::Image(id)) title=name.clone()>{name.clone()}</a>
            <span class="muted tabular">{size}</span>
            {match score {
                Some(score) => view! {
                    <span class=format!("tile-score {}", level_chip::class(score.level())) title=format!("By {model}")>
                        <LevelSteps level=score.level()/>
                        <b class="tabular">{score.to_string()}</b>
                        <span class="word">{score.level().word()}</span>
                    </span>
                }.into_any(),
                None => view! { <span class="muted">"No score"</span> }.into_any(),
            }}
        </footer>
    }
}
