//! Scores of two sides against each other, from 1 to 5; a point opens its image.

use leptos::prelude::*;
use wasm_bindgen::JsCast as _;
use web_sys::KeyboardEvent;

use crate::route::{Route, follow_link};
use crate::state::App;

/// Side of the plot and room for its labels, in units of the picture.
const SIDE: f64 = 320.0;
const ROOM: f64 = 34.0;

/// Where a score is along the axis.
fn along(score: f64) -> f64 {
    (score - 1.0) / 4.0 * SIDE
}

/// One point and where it leads.
#[derive(Clone)]
pub struct Point {
    pub x: f64,
    pub y: f64,
    /// What it is.
    pub label: String,
    pub to: Route,
}

/// The plot. One point can be reached by Tab; the arrow keys go from point to point, in the order of the difference.
#[component]
pub fn Scatter(
    mut points: Vec<Point>,
    /// Whose scores go to the right.
    x_name: String,
    /// Whose scores go up.
    y_name: String,
    /// What is drawn.
    note: String,
) -> impl IntoView {
    let app = App::get();
    let apart = |point: &Point| (point.y - point.x).abs();
    points.sort_by(|a, b| apart(b).total_cmp(&apart(a)));
    let figure = NodeRef::<leptos::html::Figure>::new();
    let current = RwSignal::new(0_usize);
    let last = points.len().saturating_sub(1);
    let step = move |event: KeyboardEvent| {
        let now = current.get_untracked();
        let next = match event.key().as_str() {
            "ArrowRight" | "ArrowDown" => (now + 1).min(last),
            "ArrowLeft" | "ArrowUp" => now.saturating_sub(1),
            "Home" => 0,
            "End" => last,
            _ => return,
        };
        event.prevent_default();
        event.stop_propagation();
        current.set(next);
        let point = figure
            .get_untracked()
            .and_then(|figure| figure.query_selector(&format!("[data-point='{next}']")).ok().flatten());
        if let Some(point) = point.and_then(|point| point.dyn_into::<web_sys::SvgElement>().ok()) {
            let _ = point.focus();
        }
    };
    let marks = [1.0, 2.0, 3.0, 4.0, 5.0];
    let grid = marks.map(|mark| {
        let at = along(mark);
        view! {
            <line class="grid-line" x1=at x2=at y1="0" y2=SIDE/>
            <line class="grid-line" x1="0" x2=SIDE y1=SIDE - at y2=SIDE - at/>
            <text x=at y=SIDE + 15.0 text-anchor="middle">{format!("{mark:.0}")}</text>
            <text x="-8" y=SIDE - at + 4.0 text-anchor="end">{format!("{mark:.0}")}</text>
        }
    });
    let dots = points.into_iter().enumerate().map(|(at, Point { x, y, label, to })| {
        let (x, y) = (along(x), SIDE - along(y));
        view! {
            <g><a href=to.path() data-point=at.to_string() aria-label=label.clone() on:click=follow_link(app, to)
                tabindex=move || if current.get() == at { "0" } else { "-1" } on:focus=move |_| current.set(at)>
                <title>{label.clone()}</title><circle cx=x cy=y r="4.5"></circle>
            </a></g>
        }
    });
    let box_ = format!("-{ROOM} -8 {} {}", SIDE + ROOM + 10.0, SIDE + ROOM + 10.0);
    view! {
        <figure class="scatter" node_ref=figure>
            <svg viewBox=box_ role="group" aria-label=format!("{y_name} against {x_name}; {note}. Arrow keys go from point to point, Enter opens the image.")
                on:keydown=step>
                {grid}
                <line class="identity" x1="0" y1=SIDE x2=SIDE y2="0"/>
                {dots.collect_view()}
                <text class="axis-name" x=SIDE / 2.0 y=SIDE + 31.0 text-anchor="middle">{x_name.clone()}</text>
                <text class="axis-name" transform=format!("translate(-24 {}) rotate(-90)", SIDE / 2.0) text-anchor="middle">{y_name.clone()}</text>
            </svg>
            <figcaption class="muted">{note}". On the line both agree."</figcaption>
        </figure>
    }
}
