//! Scatter plots.

use super::html::Html;

/// Points beyond so many are thinned out evenly.
const MOST_POINTS: usize = 2000;
/// Up to so many points say which image they are.
const MOST_NAMES: usize = 600;

const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 300.0;
/// Room for the axes.
const LEFT: f64 = 44.0;
const BOTTOM: f64 = 40.0;
const EDGE: f64 = 10.0;

/// One image.
pub(super) struct Point<'a> {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) name: &'a str,
}

/// An axis with a tick at every whole number.
#[derive(Clone, Copy)]
pub(super) struct Axis {
    pub(super) name: &'static str,
    pub(super) low: f64,
    pub(super) high: f64,
}

/// A scatter plot of points with a curve through them and a dashed line where they should lie.
pub(super) struct Plot<'a> {
    /// What it shows, for those who do not see it.
    pub(super) description: String,
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) points: Vec<Point<'a>>,
    pub(super) curve: Vec<(f64, f64)>,
    pub(super) ideal: [(f64, f64); 2],
}

impl Plot<'_> {
    fn across(&self, x: f64) -> f64 {
        let share = (x.clamp(self.x.low, self.x.high) - self.x.low) / (self.x.high - self.x.low);
        LEFT + share * (WIDTH - LEFT - EDGE)
    }

    fn down(&self, y: f64) -> f64 {
        let share = (y.clamp(self.y.low, self.y.high) - self.y.low) / (self.y.high - self.y.low);
        HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - EDGE)
    }

    pub(super) fn write(&self, html: &mut Html) {
        html.raw("<svg class=\"plot\" viewBox=\"0 0 360 300\" role=\"img\" aria-label=\"")
            .text(&self.description)
            .raw("\"><title>")
            .text(&self.description)
            .raw("</title>\n");
        self.grid(html);
        let ideal = self.ideal;
        self.path(html, "<path class=\"ideal\" d=\"", &ideal);
        let drawn = self.points.len().min(MOST_POINTS);
        html.raw("<g class=\"points\">");
        for at in 0..drawn {
            let point = &self.points[at * self.points.len() / drawn];
            html.raw("<circle r=\"2.5\" cx=\"")
                .text(format_args!("{:.1}", self.across(point.x)))
                .raw("\" cy=\"")
                .text(format_args!("{:.1}", self.down(point.y)));
            if drawn <= MOST_NAMES {
                html.raw("\"><title>").text(point.name).raw("</title></circle>");
            } else {
                html.raw("\"/>");
            }
        }
        html.raw("</g>\n");
        self.path(html, "<path class=\"curve\" d=\"", &self.curve);
        html.raw("</svg>\n");
    }

    /// How many of the points are drawn, where that is not all.
    pub(super) fn thinned(&self) -> Option<usize> {
        (self.points.len() > MOST_POINTS).then_some(MOST_POINTS)
    }

    fn grid(&self, html: &mut Html) {
        let ticks = |axis: Axis| (axis.low.ceil() as i64..=axis.high.floor() as i64).map(|tick| tick as f64);
        for tick in ticks(self.x) {
            let x = self.across(tick);
            self.path(html, "<path class=\"grid\" d=\"", &[(tick, self.y.low), (tick, self.y.high)]);
            label(html, "<text text-anchor=\"middle\" x=\"", x, HEIGHT - BOTTOM + 14.0, tick);
        }
        for tick in ticks(self.y) {
            let y = self.down(tick);
            self.path(html, "<path class=\"grid\" d=\"", &[(self.x.low, tick), (self.x.high, tick)]);
            label(html, "<text text-anchor=\"end\" x=\"", LEFT - 6.0, y + 4.0, tick);
        }
        html.raw("<text class=\"axis\" text-anchor=\"middle\" x=\"197\" y=\"292\">").text(self.x.name);
        html.raw(
            "</text><text class=\"axis\" text-anchor=\"middle\" transform=\"translate(12 135) rotate(-90)\">",
        )
        .text(self.y.name)
        .raw("</text>\n");
    }

    fn path(&self, html: &mut Html, start: &'static str, points: &[(f64, f64)]) {
        html.raw(start);
        for (index, &(x, y)) in points.iter().enumerate() {
            html.raw(if index == 0 { "M" } else { "L" });
            html.text(format_args!("{:.1} {:.1}", self.across(x), self.down(y)));
        }
        html.raw("\"/>\n");
    }
}

fn label(html: &mut Html, start: &'static str, x: f64, y: f64, tick: f64) {
    html.raw(start).text(format_args!("{x:.1}")).raw("\" y=\"").text(format_args!("{y:.1}")).raw("\">");
    html.text(tick).raw("</text>\n");
}
