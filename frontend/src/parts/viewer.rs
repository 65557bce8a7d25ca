//! The image's pixels: one image pixel on one device pixel, unless a person zooms.
//!
//! The geometry is `qponder_shared::view`, in device pixels. Here it becomes CSS pixels, which are
//! `devicePixelRatio` times as large, and pointer events become pans and zooms.

use leptos::html;
use leptos::prelude::*;
use qponder_shared::ImageId;
use qponder_shared::view::{Point, Size, View};
use wasm_bindgen::prelude::*;
use web_sys::{PointerEvent, ResizeObserver, WheelEvent};

use crate::api;
use crate::parts::navigator::Navigator;
use crate::state::App;

/// How far a wheel's step of one pixel zooms.
const WHEEL: f64 = 0.0015;

/// Where the image lies. Kept in the app, so that keys reach it.
#[derive(Clone, Copy)]
pub struct Viewer {
    pub view: RwSignal<View>,
    pub image: RwSignal<Size>,
    pub stage: RwSignal<Size>,
    /// Stays fitted when the stage changes its size.
    is_fitted: RwSignal<bool>,
    /// How far the stage's corner is off the grid of device pixels, which happens where the browser
    /// itself is zoomed.
    off_grid: RwSignal<Point>,
    /// Viewers that follow this one.
    followers: StoredValue<Vec<Viewer>>,
}

impl Viewer {
    /// The viewer that a page has made for this part of it, or the app's own.
    #[must_use]
    pub fn get() -> Self {
        use_context().unwrap_or_else(|| App::get().viewer)
    }

    /// Lets others follow: they show the same relative place at the same zoom.
    pub fn lead(self, followers: Vec<Viewer>) {
        self.followers.set_value(followers);
    }

    /// Makes those that follow show what this one shows.
    pub fn show_the_way(self) {
        let (image, stage) = self.sizes();
        let view = self.view.get_untracked();
        let middle = view.middle(image, stage);
        for follower in self.followers.get_value() {
            let (image, stage) = follower.sizes();
            follower.is_fitted.set(false);
            follower.view.set(View::like(view, middle, image, stage));
        }
    }

    /// A viewer with nothing in it.
    #[must_use]
    pub fn new() -> Self {
        Self {
            view: RwSignal::new(View { zoom: 1.0, origin: Point::default() }),
            image: RwSignal::new(Size::default()),
            stage: RwSignal::new(Size::default()),
            is_fitted: RwSignal::new(false),
            off_grid: RwSignal::new(Point::default()),
            followers: StoredValue::new(Vec::new()),
        }
    }

    /// Whether some of the image lies outside, so that it can be moved.
    #[must_use]
    pub fn can_pan(self) -> bool {
        let (image, stage) = self.sizes();
        self.view.get_untracked().overflows(image, stage)
    }

    /// Moves the image by device pixels.
    pub fn pan(self, by: Point) {
        let (image, stage) = self.sizes();
        self.view.update(|view| *view = view.panned(by, image, stage));
        self.show_the_way();
    }

    /// To the next zoom that the keys offer.
    pub fn zoom_in(self) {
        self.zoom_at_centre(self.view.get_untracked().step_in());
    }

    /// To the next smaller zoom that the keys offer.
    pub fn zoom_out(self) {
        self.zoom_at_centre(self.view.get_untracked().step_out());
    }

    /// One image pixel on one device pixel.
    pub fn one_to_one(self) {
        self.zoom_at_centre(1.0);
    }

    /// The whole image.
    pub fn fit(self) {
        let (image, stage) = self.sizes();
        self.is_fitted.set(true);
        self.view.set(View::fitted(image, stage));
        self.show_the_way();
    }

    /// Zooms around a point of the stage.
    pub fn zoom(self, zoom: f64, anchor: Point) {
        let (image, stage) = self.sizes();
        self.is_fitted.set(false);
        self.view.update(|view| *view = view.zoomed(zoom, anchor, image, stage));
        self.show_the_way();
    }

    fn zoom_at_centre(self, zoom: f64) {
        let stage = self.stage.get_untracked();
        self.zoom(zoom, Point { x: stage.width / 2.0, y: stage.height / 2.0 });
    }

    /// Shows another image, at 1:1 or as large as the one before.
    fn show(self, image: Size, keeps_zoom: bool) {
        self.image.set(image);
        let stage = self.stage.get_untracked();
        if keeps_zoom && self.is_fitted.get_untracked() {
            return self.view.set(View::fitted(image, stage));
        }
        self.is_fitted.set(false);
        let zoom = if keeps_zoom { self.view.get_untracked().zoom } else { 1.0 };
        self.view.set(View::centred(zoom, image, stage));
    }

    fn resize(self, stage: Size) {
        let (image, old) = self.sizes();
        self.stage.set(stage);
        if self.is_fitted.get_untracked() {
            return self.view.set(View::fitted(image, stage));
        }
        self.view.update(|view| {
            let seen = view.visible(image, old);
            let middle = Point { x: seen.left + seen.width / 2.0, y: seen.top + seen.height / 2.0 };
            *view = if old == Size::default() {
                View::centred(view.zoom, image, stage)
            } else {
                view.looking_at(middle, image, stage)
            };
        });
    }

    fn sizes(self) -> (Size, Size) {
        (self.image.get_untracked(), self.stage.get_untracked())
    }
}

/// Device pixels per CSS pixel.
pub fn ratio() -> f64 {
    window().device_pixel_ratio()
}

/// The image in its neutral surround, with zoom controls.
#[component]
pub fn ViewerStage(
    /// Which image.
    id: ImageId,
    width: u32,
    height: u32,
    /// What it is called, for those who do not see it.
    name: String,
    /// Whether it is shown as large as the one before.
    #[prop(optional)]
    keeps_zoom: bool,
) -> impl IntoView {
    let viewer = Viewer::get();
    let stage = NodeRef::<html::Div>::new();
    let is_loaded = RwSignal::new(false);
    let is_failed = RwSignal::new(false);
    let attempt = RwSignal::new(0_u32);
    let size = Size { width: f64::from(width), height: f64::from(height) };
    viewer.show(size, keeps_zoom);
    watch_size(viewer, stage);

    let placed = move || {
        let (view, off_grid, ratio) = (viewer.view.get(), viewer.off_grid.get(), ratio());
        format!(
            "transform:translate({}px,{}px);width:{}px;height:{}px",
            (view.origin.x - off_grid.x) / ratio,
            (view.origin.y - off_grid.y) / ratio,
            size.width * view.zoom / ratio,
            size.height * view.zoom / ratio
        )
    };
    // A query of its own makes the browser ask again after a failure.
    let source = move || match attempt.get() {
        0 => api::rendering_url(id),
        attempt => format!("{}?attempt={attempt}", api::rendering_url(id)),
    };
    let again = move |_| {
        is_failed.set(false);
        attempt.update(|attempt| *attempt += 1);
    };
    let is_held = RwSignal::new(false);
    let gestures = Gestures::new(viewer, is_held);
    view! {
        <div class="stage-frame">
            <div class="stage" tabindex="0" node_ref=stage role="group"
                aria-label=format!("{name}, {width} by {height} pixels. Plus and minus zoom, arrow keys move.")
                class:is-held=is_held
                class:can-pan=move || viewer.view.get().overflows(viewer.image.get(), viewer.stage.get())
                on:pointerdown=move |event| gestures.down(&event)
                on:pointermove=move |event| gestures.moved(&event)
                on:pointerup=move |event| gestures.up(&event)
                on:pointercancel=move |event| gestures.up(&event)
                on:dblclick=move |event| {
                    let anchor = at(event.client_x(), event.client_y(), &stage);
                    if viewer.view.get_untracked().zoom == 1.0 { viewer.fit() } else { viewer.zoom(1.0, anchor) }
                }
                on:wheel=move |event: WheelEvent| {
                    event.prevent_default();
                    // Lines and pages are what some mice count in.
                    let unit = if event.delta_mode() == WheelEvent::DOM_DELTA_PIXEL { 1.0 } else { 33.0 };
                    let factor = (-event.delta_y().clamp(-300.0, 300.0) * unit * WHEEL).exp();
                    viewer.zoom(viewer.view.get_untracked().zoom * factor, at(event.client_x(), event.client_y(), &stage));
                }>
                <img class="placeholder" src=api::thumbnail_url(id) alt="" style=placed draggable="false"
                    class:is-gone=move || is_loaded.get()/>
                <img class="pixels" src=source alt=name.clone() style=placed draggable="false"
                    class:is-gone=move || !is_loaded.get()
                    class:is-enlarged=move || { viewer.view.get().zoom >= 1.0 }
                    on:load=move |_| is_loaded.set(true) on:error=move |_| is_failed.set(true)/>
            </div>
            <Navigator id/>
            <Show when=move || !is_loaded.get() && !is_failed.get()>
                <p class="stage-note" role="status">"Loading the pixels…"</p>
            </Show>
            <Show when=move || is_failed.get()>
                <div class="stage-note" role="alert">
                    <p>"The pixels could not be loaded."</p>
                    <button class="button" on:click=again>"Try again"</button>
                </div>
            </Show>
            <ZoomBar/>
        </div>
    }
}

#[component]
fn ZoomBar() -> impl IntoView {
    let viewer = Viewer::get();
    let percent = move || {
        let percent = viewer.view.get().zoom * 100.0;
        if percent < 10.0 { format!("{percent:.1} %") } else { format!("{percent:.0} %") }
    };
    let is_exact = move || viewer.view.get().zoom == 1.0;
    view! {
        <div class="zoom-bar" role="group" aria-label="Zoom">
            <button title="Zoom out (−)" aria-label="Zoom out" on:click=move |_| viewer.zoom_out()>"−"</button>
            <output class="tabular" aria-label="Zoom">{percent}</output>
            <button title="Zoom in (+)" aria-label="Zoom in" on:click=move |_| viewer.zoom_in()>"+"</button>
            <button title="One image pixel on one device pixel (0)" aria-pressed=move || is_exact().to_string()
                on:click=move |_| viewer.one_to_one()>"1:1"</button>
            <button title="The whole image (F)" aria-pressed=move || viewer.is_fitted.get().to_string()
                on:click=move |_| viewer.fit()>"Fit"</button>
        </div>
    }
}

/// Pointers on the stage: one pans, two pinch.
#[derive(Clone, Copy)]
struct Gestures {
    viewer: Viewer,
    is_held: RwSignal<bool>,
    /// Id and place of each pointer that is down, in CSS pixels.
    pointers: StoredValue<Vec<(i32, Point)>>,
}

impl Gestures {
    fn new(viewer: Viewer, is_held: RwSignal<bool>) -> Self {
        Self { viewer, is_held, pointers: StoredValue::new(Vec::new()) }
    }

    fn down(self, event: &PointerEvent) {
        if event.button() != 0 {
            return;
        }
        if let Some(stage) =
            event.current_target().and_then(|stage| stage.dyn_into::<web_sys::Element>().ok())
        {
            // Fails only for a pointer that has gone already.
            let _ = stage.set_pointer_capture(event.pointer_id());
        }
        self.pointers.update_value(|pointers| pointers.push((event.pointer_id(), place(event))));
        self.is_held.set(true);
    }

    fn moved(self, event: &PointerEvent) {
        let (id, now) = (event.pointer_id(), place(event));
        let mut pointers = self.pointers.get_value();
        let Some(at) = pointers.iter().position(|(pointer, _)| *pointer == id) else { return };
        let before = pointers[at].1;
        let other = pointers.iter().find(|(pointer, _)| *pointer != id).map(|(_, place)| *place);
        pointers[at].1 = now;
        self.pointers.set_value(pointers);

        let ratio = ratio();
        match other {
            None => self.viewer.pan(Point { x: (now.x - before.x) * ratio, y: (now.y - before.y) * ratio }),
            Some(other) => {
                let spread = |a: Point| (a.x - other.x).hypot(a.y - other.y).max(1.0);
                let zoom = self.viewer.view.get_untracked().zoom * spread(now) / spread(before);
                let corner =
                    event.current_target().and_then(|stage| stage.dyn_into::<web_sys::Element>().ok());
                let corner = corner.map(|stage| stage.get_bounding_client_rect());
                let (left, top) = corner.map_or((0.0, 0.0), |rect| (rect.left(), rect.top()));
                let middle = Point {
                    x: ((now.x + other.x) / 2.0 - left) * ratio,
                    y: ((now.y + other.y) / 2.0 - top) * ratio,
                };
                self.viewer.zoom(zoom, middle);
                // The middle of the fingers moves half as far as the one that moved.
                self.viewer
                    .pan(Point { x: (now.x - before.x) * ratio / 2.0, y: (now.y - before.y) * ratio / 2.0 });
            }
        }
    }

    fn up(self, event: &PointerEvent) {
        self.pointers.update_value(|pointers| pointers.retain(|(id, _)| *id != event.pointer_id()));
        self.is_held.set(self.pointers.with_value(|pointers| !pointers.is_empty()));
    }
}

fn place(event: &PointerEvent) -> Point {
    Point { x: f64::from(event.client_x()), y: f64::from(event.client_y()) }
}

/// A point of the window as device pixels of the stage.
fn at(x: i32, y: i32, stage: &NodeRef<html::Div>) -> Point {
    let corner = stage.get_untracked().map(|stage| stage.get_bounding_client_rect());
    let (left, top) = corner.map_or((0.0, 0.0), |rect| (rect.left(), rect.top()));
    Point { x: (f64::from(x) - left) * ratio(), y: (f64::from(y) - top) * ratio() }
}

/// Tells the viewer the stage's size, now and whenever it changes.
fn watch_size(viewer: Viewer, stage: NodeRef<html::Div>) {
    Effect::new(move || {
        let Some(stage) = stage.get() else { return };
        let measured = stage.clone();
        let measure = move || {
            let size = Size {
                width: (f64::from(measured.client_width()) * ratio()).round(),
                height: (f64::from(measured.client_height()) * ratio()).round(),
            };
            let corner = measured.get_bounding_client_rect();
            let off_grid = |at: f64| at * ratio() - (at * ratio()).round();
            viewer.off_grid.set(Point { x: off_grid(corner.left()), y: off_grid(corner.top()) });
            viewer.resize(size);
        };
        let changed = Closure::<dyn FnMut()>::new(measure);
        if let Ok(observer) = ResizeObserver::new(changed.as_ref().unchecked_ref()) {
            observer.observe(&stage);
            let held = StoredValue::new_local((observer, changed));
            on_cleanup(move || held.with_value(|(observer, _)| observer.disconnect()));
        }
    });
}
