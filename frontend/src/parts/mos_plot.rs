//! The MOS of a study's items, as inline SVG.

use leptos::prelude::*;
use qponder_shared::Level;
use qponder_shared::subjective::mos::ItemMos;

/// Size of a plot in its own units.
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 220.0;
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
