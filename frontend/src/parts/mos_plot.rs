//! Plots of scores from 1 to 5, as inline SVG.

use leptos::prelude::*;
use qponder_shared::subjective::mos::ItemMos;
use qponder_shared::{ImageId, Level};

use crate::route::{Route, follow_link};
use crate::state::App;

/// Size of a plot in its own units.
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 220.0;
const SIDE: f64 = 260.0;
const MARGIN: f64 = 34.0;
/// Points that a plot draws at most.
const MOST: usize = 2000;

/// Where a score lies between the ends of an axis.
fn along(score: f64, from: f64, to: f64) -> f64 {
    from + (score - 1.0) / 4.0 * (to - from)
}

/// Items in the order of their MOS, each with its interval.
#[component]
pub fn MosPlot(
    /// What each item is called.
    names: Vec<String>,
    items: Vec<ItemMos>,
) -> impl IntoView {
    let mut points: Vec<(f64, &ItemMos, &String)> =
        items.iter().zip(&names).filter_map(|(item, name)| Some((item.mos?, item, name))).collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    let step = points.len().div_ceil(MOST).max(1);
    let count = points.len().div_ceil(step);
    let shown = points.iter().step_by(step).enumerate().map(|(at, (mos, item, name))| {
        let x = MARGIN + (at as f64 + 0.5) / count.max(1) as f64 * (WIDTH - MARGIN - 8.0);
        let y = |score| along(score, HEIGHT - 14.0, 10.0);
        let title = format!("{name}: {mos:.2} of {} votes", item.n);
        view! {
            <g>
                <title>{title}</title>
                {item.interval.map(|interval| view! {
                    <line class="whisker" x1=x x2=x y1=y(interval.low) y2=y(interval.high)/>
                })}
                <circle cx=x cy=y(*mos) r="2.6"/>
            </g>
        }
    });
    let label = format!(
        "Mean opinion scores of {} items in rising order, with their intervals; the table below has the numbers",
        points.len()
    );
    view! {
        <svg class="plot" viewBox=format!("0 0 {WIDTH} {HEIGHT}") role="img" aria-label=label>
            {Level::ALL.map(|level| {
                let y = along(level.value(), HEIGHT - 14.0, 10.0);
                view! { <line class="rule" x1=MARGIN x2=WIDTH y1=y y2=y/><text x=MARGIN - 6.0 y=y + 3.5 text-anchor="end">{level.value()}</text> }
            })}
            {shown.collect_view()}
        </svg>
        {(step > 1).then(|| view! { <p class="muted">{format!("Every {step}th item is drawn.")}</p> })}
    }
}

/// A model's scores against the MOS; a point opens its image.
#[component]
pub fn Scatter(
    /// Whose scores.
    label: String,
    /// MOS, score, name and image.
    points: Vec<(f64, f64, String, ImageId)>,
) -> impl IntoView {
    let app = App::get();
    let (from, to) = (MARGIN, SIDE - 10.0);
    let step = points.len().div_ceil(MOST).max(1);
    let marks = points.iter().step_by(step).map(|(mos, score, name, image)| {
        let words = format!("{name}: MOS {mos:.2}, score {score:.2}");
        let title = words.clone();
        let (x, y) = (along(*mos, from, to), along(*score, SIDE - from, SIDE - to));
        let route = Route::Image(*image);
        view! {
            <a href=route.path() aria-label=words on:click=follow_link(app, route)>
                <title>{title}</title><circle cx=x cy=y r="3.5"/>
            </a>
        }
    });
    view! {
        <figure class="scatter">
            <svg class="plot" viewBox=format!("0 0 {SIDE} {SIDE}") role="group" aria-label=format!("Scores of {label} against the MOS")>
                {Level::ALL.map(|level| {
                    let (x, y) = (along(level.value(), from, to), along(level.value(), SIDE - from, SIDE - to));
                    view! {
                        <line class="rule" x1=from x2=to y1=y y2=y/><line class="rule" x1=x x2=x y1=SIDE - from y2=SIDE - to/>
                        <text x=from - 6.0 y=y + 3.5 text-anchor="end">{level.value()}</text>
                        <text x=x y=SIDE - from + 14.0 text-anchor="middle">{level.value()}</text>
                    }
                })}
                <line class="identity" x1=from y1=SIDE - from x2=to y2=SIDE - to/>
                {marks.collect_view()}
                <text x=(from + to) / 2.0 y=SIDE - 4.0 text-anchor="middle">"MOS"</text>
            </svg>
            <figcaption class="muted">{label}{(step > 1).then(|| format!(" (every {step}th item)"))}</figcaption>
        </figure>
    }
}
