//! The whole image in small, with a frame around what the viewer shows.

use leptos::prelude::*;
use qponder_shared::ImageId;
use qponder_shared::view::Point;
use wasm_bindgen::JsCast as _;
use web_sys::{HtmlElement, PointerEvent};

use crate::api;
use crate::parts::viewer::Viewer;

/// Shown while some of the image lies outside the viewer; pressing it moves the frame.
#[component]
pub fn Navigator(
    /// Which image.
    id: ImageId,
) -> impl IntoView {
    let viewer = Viewer::get();
    let is_useful = Memo::new(move |_| viewer.view.get().overflows(viewer.image.get(), viewer.stage.get()));
    let frame = move || {
        let part = viewer.view.get().visible(viewer.image.get(), viewer.stage.get());
        format!(
            "left:{:.2}%;top:{:.2}%;width:{:.2}%;height:{:.2}%",
            part.left * 100.0,
            part.top * 100.0,
            part.width * 100.0,
            part.height * 100.0
        )
    };
    let look = move |event: PointerEvent| {
        let Some(map) = event.current_target().and_then(|map| map.dyn_into::<HtmlElement>().ok()) else {
            return;
        };
        if event.buttons() & 1 == 0 {
            return;
        }
        let rect = map.get_bounding_client_rect();
        let at = Point {
            x: (f64::from(event.client_x()) - rect.left()) / rect.width().max(1.0),
            y: (f64::from(event.client_y()) - rect.top()) / rect.height().max(1.0),
        };
        let (image, stage) = (viewer.image.get_untracked(), viewer.stage.get_untracked());
        viewer.view.update(|view| *view = view.looking_at(at, image, stage));
        viewer.show_the_way();
    };
    view! {
        <Show when=move || is_useful.get()>
            // Keys do the same from the stage: for assistive technology this is only a picture.
            <div class="navigator" aria-hidden="true" on:pointerdown=look on:pointermove=look>
                <img src=api::thumbnail_url(id) alt="" draggable="false"/>
                <i style=frame></i>
            </div>
        </Show>
    }
}
