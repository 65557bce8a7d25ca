//! Numbers over steps, as they come.

use leptos::prelude::*;
use qponder_shared::job::Line;
use wasm_bindgen::JsCast as _;
use web_sys::{HtmlAnchorElement, HtmlInputElement, MouseEvent, PointerEvent};

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
    /// The steps that are shown; all without it.
    pub range: RwSignal<Option<(u64, u64)>>,
}

impl ChartStyle {
    /// Everything, as it is.
    pub fn plain() -> Self {
        Self {
            smoothing: RwSignal::new(0.0),
            is_log: RwSignal::new(false),
            at: RwSignal::new(None),
            range: RwSignal::new(None),
        }
    }
}

/// The controls of all charts of a page.
#[component]
pub fn ChartTools(style: ChartStyle) -> impl IntoView {
    let zoom = move |is_first: bool| {
        move |event: web_sys::Event| {
            let typed = event_target::<HtmlInputElement>(&event).value().parse::<u64>().ok();
            style.range.update(|range| {
                let (first, last) = range.unwrap_or((0, u64::MAX));
                let chosen =
                    if is_first { (typed.unwrap_or(0), last) } else { (first, typed.unwrap_or(u64::MAX)) };
                *range = (chosen.0 < chosen.1 && chosen != (0, u64::MAX)).then_some(chosen);
            });
        }
    };
    let first = move || style.range.get().map(|(first, _)| first.to_string()).unwrap_or_default();
    let last = move || {
        let last = style.range.get().map(|(_, last)| last).filter(|last| *last < u64::MAX);
        last.map(|last| last.to_string()).unwrap_or_default()
    };
    view! {
        <label>"Smoothing " <input type="range" min="0" max="0.98" step="0.02" prop:value=move || style.smoothing.get().to_string()
            on:input=move |event| style.smoothing.set(event_target::<HtmlInputElement>(&event).value().parse().unwrap_or(0.0))/></label>
        <label class="check"><input type="checkbox" prop:checked=move || style.is_log.get()
            on:change=move |event| style.is_log.set(event_target_checked(&event))/>" Logarithmic"</label>
        <label>"Steps " <input type="number" class="is-short" min="0" placeholder="first" aria-label="First step" prop:value=first on:change=zoom(true)/></label>
        <label>"to " <input type="number" class="is-short" min="0" placeholder="last" aria-label="Last step" prop:value=last on:change=zoom(false)/></label>
        <Show when=move || style.range.with(Option::is_some)>
            <button class="button" on:click=move |_| style.range.set(None)>"All steps"</button>
        </Show>
    }
}

/// Where numbers are in the picture.
#[derive(Clone, Copy, PartialEq)]
struct Frame {
    steps: (f64, f64),
    values: (f64, f64),
    is_log: bool,
}

impl Frame {
    /// A frame that holds all of some lines; `None` where there is nothing to draw.
    fn of(lines: &[Line], is_log: bool) -> Option<Self> {
        let shown =
            lines.iter().flatten().filter(|(_, value)| value.is_finite() && (!is_log || *value > 0.0));
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
        let last =
            lines.iter().filter_map(|line| line.last()).map(|(step, _)| *step).max().unwrap_or(1) as f64;
        let first =
            lines.iter().filter_map(|line| line.first()).map(|(step, _)| *step).min().unwrap_or(0) as f64;
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

/// The part of a line that lies in a range of steps.
fn cut(line: &Line, range: Option<(u64, u64)>) -> Line {
    let (first, last) = range.unwrap_or((0, u64::MAX));
    line.iter().filter(|(step, _)| (first..=last).contains(step)).copied().collect()
}

/// What a saved picture looks like: it has no page around it that says so.
const PICTURE: &str = "<style>text{fill:#555;font:11px sans-serif}.grid-line{stroke:#ddd}\
    .chart-line{fill:none;stroke:#2a5bd7;stroke-width:1.5}.chart-line.is-raw{opacity:.3}\
    .is-1 .chart-line{stroke:#b4540a}.is-2 .chart-line{stroke:#0b7a53}.is-3 .chart-line{stroke:#8a3ab9}\
    .chart-point{fill:#2a5bd7}</style>";

/// A chart of one line, or of several over each other.
#[component]
pub fn Chart(
    /// What it shows, for people.
    title: String,
    /// Each in a colour of its own, up to four.
    #[prop(into)]
    lines: Signal<Vec<Line>>,
    style: ChartStyle,
) -> impl IntoView {
    let cuts = Memo::new(move |_| {
        let range = style.range.get();
        lines.with(|lines| lines.iter().map(|line| cut(line, range)).collect::<Vec<_>>())
    });
    let frame = Memo::new(move |_| cuts.with(|lines| Frame::of(lines, style.is_log.get())));
    let svg = NodeRef::<leptos::svg::Svg>::new();
    // Where a drag began that will choose a range of steps.
    let begun = RwSignal::new(None::<u64>);
    let step_at = move |x: i32| {
        let (svg, frame) = (svg.get_untracked()?, frame.get_untracked()?);
        let bounds = svg.get_bounding_client_rect();
        let x = (f64::from(x) - bounds.left()) / bounds.width() * (WIDTH + LEFT + 6.0) - LEFT;
        let step = frame.steps.0 + (x / WIDTH).clamp(0.0, 1.0) * (frame.steps.1 - frame.steps.0);
        Some(step.round().max(0.0) as u64)
    };
    let point = move |event: PointerEvent| {
        if let Some(step) = step_at(event.client_x()) {
            style.at.set(Some(step));
        }
    };
    // With a mouse; a finger scrolls the page.
    let press = move |event: PointerEvent| {
        if event.pointer_type() == "mouse" && event.button() == 0 {
            begun.set(step_at(event.client_x()));
        }
    };
    let release = move |event: PointerEvent| {
        let (Some(from), Some(to)) = (begun.get_untracked(), step_at(event.client_x())) else { return };
        begun.set(None);
        if from.abs_diff(to) > 1 {
            style.range.set(Some((from.min(to), from.max(to))));
        }
    };
    let leave = move |_| {
        style.at.set(None);
        begun.set(None);
    };
    let shown = move || {
        let step = style.at.get();
        let texts = cuts.with(|lines| {
            let found = lines.iter().filter_map(|line| match step {
                Some(step) => at(line, step),
                None => line.last().copied(),
            });
            found.map(|(step, value)| (short(value), step)).collect::<Vec<_>>()
        });
        let (_, step) = texts.first()?;
        let values: Vec<&str> = texts.iter().map(|(value, _)| value.as_str()).collect();
        Some(format!("{} at step {step}", values.join(", ")))
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
        let weight = style.smoothing.get();
        let is_smoothed = weight > 0.0;
        let of_line = |(place, line): (usize, &Line)| {
            let raw = frame.points(line);
            let over = is_smoothed.then(|| frame.points(&smooth(line, weight)));
            // A line of one point would not be seen.
            let only = (line.len() == 1).then(|| line[0]);
            view! {
                <g class=format!("is-{place}")>
                    <polyline class="chart-line" class:is-raw=is_smoothed points=raw/>
                    {over.map(|points| view! { <polyline class="chart-line" points=points/> })}
                    {only.map(|(step, value)| view! {
                        <circle class="chart-point" cx=frame.x(step as f64) cy=frame.y(value) r="3"/>
                    })}
                </g>
            }
        };
        let all = cuts.with(|lines| lines.iter().enumerate().map(of_line).collect_view());
        Some(view! {
            {marks}
            <text x="0" y=HEIGHT + 15.0>{format!("{:.0}", steps[0])}</text>
            <text x=WIDTH y=HEIGHT + 15.0 text-anchor="end">{format!("{:.0}", steps[1])}</text>
            {all}
        })
    };
    let crosshair = move || {
        let (frame, step) = (frame.get()?, style.at.get()?);
        let found = cuts.with(|lines| {
            let points = lines.iter().enumerate();
            points.filter_map(|(place, line)| Some((place, at(line, step)?))).collect::<Vec<_>>()
        });
        let x = frame.x(found.iter().map(|(_, (step, _))| *step).max()? as f64);
        let band = begun.get().map(|from| {
            let from = frame.x(from as f64);
            view! { <rect class="chart-band" x=from.min(x) y="0" width=(x - from).abs() height=HEIGHT/> }
        });
        Some(view! {
            {band}
            <line class="crosshair" x1=x x2=x y1="0" y2=HEIGHT/>
            {found.into_iter().map(|(place, (step, value))| view! {
                <g class=format!("is-{place}")>
                    <circle class="chart-point" cx=frame.x(step as f64) cy=frame.y(value) r="3"/>
                </g>
            }).collect_view()}
        })
    };
    let box_ = format!("-{LEFT} -6 {} {}", WIDTH + LEFT + 6.0, HEIGHT + BELOW + 6.0);
    let label = {
        let title = title.clone();
        move || format!("{title}: {}", shown().unwrap_or_else(|| "no numbers yet".to_owned()))
    };
    let save = move |event: MouseEvent| {
        let link = event.current_target().and_then(|target| target.dyn_into::<HtmlAnchorElement>().ok());
        let (Some(link), Some(svg)) = (link, svg.get_untracked()) else { return };
        let picture =
            svg.outer_html().replacen('>', &format!(" xmlns=\"http://www.w3.org/2000/svg\">{PICTURE}"), 1);
        let picture = String::from(js_sys::encode_uri_component(&picture));
        link.set_href(&format!("data:image/svg+xml;charset=utf-8,{picture}"));
    };
    let file = format!("{}.svg", title.to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-"));
    let save_label = format!("SVG of {}", title.to_lowercase());
    view! {
        <figure class="chart">
            <figcaption>
                <span>{title}</span>" "<span class="muted tabular">{shown}</span>
                <a class="chart-save" href="#" download=file aria-label=save_label title="Save the picture" on:click=save>"SVG"</a>
            </figcaption>
            <svg viewBox=box_ role="img" aria-label=label node_ref=svg on:pointermove=point on:pointerdown=press
                on:pointerup=release on:pointerleave=leave on:dblclick=move |_| style.range.set(None)>
                {drawn}{crosshair}
            </svg>
        </figure>
    }
}
