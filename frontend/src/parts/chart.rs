//! Numbers over steps, as they come.

use leptos::prelude::*;
use qponder_shared::job::Line;
use web_sys::PointerEvent;

/// Size of the plot, and room for its labels, in units of the picture.
const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 150.0;
const LEFT: f64 = 44.0;
const BELOW: f64 = 20.0;

/// How lines are drawn.
#[derive(Clone, Copy)]
pub struct ChartStyle {
    /// How much of the past each point keeps, 0 to below 1.
    pub smoothing: RwSignal<f64>,
    pub is_log: RwSignal<bool>,
    /// The step under the pointer, in every chart.
    pub at: RwSignal<Option<u64>>,
}

/// Where numbers are in the picture.
#[derive(Clone, Copy, PartialEq)]
struct Frame {
    steps: (f64, f64),
    values: (f64, f64),
    is_log: bool,
}

impl Frame {
    /// A frame that holds all of a line; `None` where there is nothing to draw.
    fn of(line: &Line, is_log: bool) -> Option<Self> {
        let shown = line.iter().filter(|(_, value)| value.is_finite() && (!is_log || *value > 0.0));
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for (_, value) in shown {
            let value = if is_log { value.log10() } else { *value };
            (low, high) = (low.min(value), high.max(value));
        }
        if low > high {
            return None;
        }
        let room = match (high > low, high == 0.0) {
            (true, _) => 0.05 * (high - low),
            (false, true) => 1.0,
            (false, false) => 0.5 * high.abs(),
        };
        let last = line.last().map_or(1, |(step, _)| *step) as f64;
        let first = line.first().map_or(0, |(step, _)| *step) as f64;
        let steps = if last > first { (first, last) } else { (first - 1.0, last + 1.0) };
        Some(Self { steps, values: (low - room, high + room), is_log })
    }

    fn x(self, step: f64) -> f64 {
        (step - self.steps.0) / (self.steps.1 - self.steps.0) * WIDTH
    }

    fn y(self, value: f64) -> f64 {
        let value = if self.is_log { value.max(f64::MIN_POSITIVE).log10() } else { value };
        HEIGHT - (value - self.values.0) / (self.values.1 - self.values.0) * HEIGHT
    }

    /// Values for the labels of the axis.
    fn marks(self) -> [f64; 3] {
        let (low, high) = self.values;
        [0.1, 0.5, 0.9].map(|share| {
            let value = low + share * (high - low);
            if self.is_log { 10_f64.powf(value) } else { value }
        })
    }

    /// The points of an SVG line.
    fn points(self, line: &[(u64, f64)]) -> String {
        let shown = line.iter().filter(|(_, value)| value.is_finite() && (!self.is_log || *value > 0.0));
        let point = |(step, value): &(u64, f64)| format!("{:.1},{:.1}", self.x(*step as f64), self.y(*value));
        shown.map(point).collect::<Vec<_>>().join(" ")
    }
}

/// Each point as a mean of itself and what came before, weighted less the older it is.
fn smooth(line: &Line, weight: f64) -> Line {
    let (mut mean, mut total) = (0.0, 0.0);
    let smoothed = |(step, value): &(u64, f64)| {
        mean = weight * mean + (1.0 - weight) * value;
        total = weight * total + (1.0 - weight);
        (*step, mean / total)
    };
    line.iter().map(smoothed).collect()
}

/// A number as briefly as it can be read.
pub fn short(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 {
        "0".to_owned()
    } else if !(1e-3..1e5).contains(&size) {
        format!("{value:.1e}")
    } else if size < 1.0 {
        format!("{value:.3}")
    } else if size < 100.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.0}")
    }
}

/// The number at a step, or the newest one before it.
fn at(line: &Line, step: u64) -> Option<(u64, f64)> {
    line[..line.partition_point(|(known, _)| *known <= step)].last().copied()
}

/// A chart of one line.
#[component]
pub fn Chart(
    /// What it shows, for people.
    title: String,
    line: Memo<Line>,
    style: ChartStyle,
) -> impl IntoView {
    let frame = Memo::new(move |_| line.with(|line| Frame::of(line, style.is_log.get())));
    let smoothed = Memo::new(move |_| line.with(|line| smooth(line, style.smoothing.get())));
    let svg = NodeRef::<leptos::svg::Svg>::new();
    let point = move |event: PointerEvent| {
        let (Some(svg), Some(frame)) = (svg.get_untracked(), frame.get_untracked()) else { return };
        let bounds = svg.get_bounding_client_rect();
        let x = (f64::from(event.client_x()) - bounds.left()) / bounds.width() * (WIDTH + LEFT + 6.0) - LEFT;
        let step = frame.steps.0 + (x / WIDTH).clamp(0.0, 1.0) * (frame.steps.1 - frame.steps.0);
        style.at.set(Some(step.round().max(0.0) as u64));
    };
    let shown = move || {
        let line = line.get();
        let found = match style.at.get() {
            Some(step) => at(&line, step),
            None => line.last().copied(),
        };
        found.map(|(step, value)| format!("{} at step {step}", short(value)))
    };
    let drawn = move || {
        let frame = frame.get()?;
        let marks = frame.marks().map(|mark| {
            let y = frame.y(mark);
            view! {
                <line class="grid-line" x1="0" x2=WIDTH y1=y y2=y/>
                <text x="-6" y=y + 4.0 text-anchor="end">{short(mark)}</text>
            }
        });
        let steps = [frame.steps.0, frame.steps.1].map(|step| step.max(0.0));
        let is_smoothed = style.smoothing.get() > 0.0;
        let raw = line.with(|line| frame.points(line));
        let over = smoothed.with(|line| frame.points(line));
        // A line of one point would not be seen.
        let only = line.with(|line| (line.len() == 1).then(|| line[0]));
        Some(view! {
            {marks}
            <text x="0" y=HEIGHT + 15.0>{format!("{:.0}", steps[0])}</text>
            <text x=WIDTH y=HEIGHT + 15.0 text-anchor="end">{format!("{:.0}", steps[1])}</text>
            <polyline class="chart-line" class:is-raw=is_smoothed points=raw/>
            {is_smoothed.then(|| view! { <polyline class="chart-line" points=over/> })}
            {only.map(|(step, value)| view! {
                <circle class="chart-point" cx=frame.x(step as f64) cy=frame.y(value) r="3"/>
            })}
        })
    };
    let crosshair = move || {
        let (frame, step) = (frame.get()?, style.at.get()?);
        let (step, value) = line.with(|line| at(line, step))?;
        let (x, y) = (frame.x(step as f64), frame.y(value));
        Some(view! {
            <line class="crosshair" x1=x x2=x y1="0" y2=HEIGHT/>
            <circle class="chart-point" cx=x cy=y r="3"/>
        })
    };
    let box_ = format!("-{LEFT} -6 {} {}", WIDTH + LEFT + 6.0, HEIGHT + BELOW + 6.0);
    let label = {
        let title = title.clone();
        move || format!("{title}: {}", shown().unwrap_or_else(|| "no numbers yet".to_owned()))
    };
    view! {
        <figure class="chart">
            <figcaption><span>{title}</span>" "<span class="muted tabular">{shown}</span></figcaption>
            <svg viewBox=box_ role="img" aria-label=label node_ref=svg on:pointermove=point
                on:pointerleave=move |_| style.at.set(None)>
                {drawn}{crosshair}
            </svg>
        </figure>
    }
}
