//! Scores against labels, and what is wrong with them at which label.

use qponder_shared::stats::Logistic;

use super::super::{ModeReport, Scored};
use super::html::Html;
use super::plot::{Axis, Plot, Point};

/// Width of the bins of the mean error, in points of the label.
const BIN: f64 = 0.5;
const SCALE: (f64, f64) = (1.0, 5.0);

/// Both plots, side by side where there is room.
pub(super) fn write(html: &mut Html, report: &ModeReport, scored: &[&Scored]) {
    let points: Vec<(&Scored, f64)> = scored.iter().filter_map(|&row| Some((row, row.score?))).collect();
    if points.is_empty() {
        return;
    }
    html.raw("<div class=\"plots\">");
    agreement(html, report, &points);
    errors(html, &points);
    html.raw("</div>\n");
}

fn agreement(html: &mut Html, report: &ModeReport, points: &[(&Scored, f64)]) {
    let fitted = report.overall.fitted;
    let plot = Plot {
        description: format!(
            "Scatter plot of label against score, {} images; SRCC {}",
            points.len(),
            report.overall.srcc.map_or("does not exist".into(), |srcc| format!("{:.3}", srcc.value))
        ),
        x: Axis { name: "score", low: SCALE.0, high: SCALE.1 },
        y: Axis { name: "label", low: SCALE.0, high: SCALE.1 },
        points: points.iter().map(|&(row, score)| Point { x: score, y: row.label, name: &row.id }).collect(),
        curve: fitted.map_or_else(Vec::new, |fitted| curve(&fitted.logistic)),
        ideal: [(SCALE.0, SCALE.0), (SCALE.1, SCALE.1)],
    };
    html.raw("<figure>");
    plot.write(html);
    html.raw("<figcaption>Label against score. Dashes: they are equal.");
    if let Some(fitted) = fitted {
        html.raw(" Line: the 4-parameter logistic, ").text(fitted.on.words()).raw(".");
    }
    thinned(html, &plot);
    html.raw("</figcaption></figure>\n");
}

fn curve(logistic: &Logistic) -> Vec<(f64, f64)> {
    const STEPS: usize = 60;
    let at = |step: usize| SCALE.0 + (SCALE.1 - SCALE.0) * step as f64 / STEPS as f64;
    (0..=STEPS).map(|step| (at(step), logistic.at(at(step)))).filter(|(_, y)| y.is_finite()).collect()
}

fn errors(html: &mut Html, points: &[(&Scored, f64)]) {
    let largest = points.iter().map(|(row, score)| (score - row.label).abs()).fold(1.0, f64::max).ceil();
    let plot = Plot {
        description: format!("Scatter plot of the error against the label, {} images", points.len()),
        x: Axis { name: "label", low: SCALE.0, high: SCALE.1 },
        y: Axis { name: "score − label", low: -largest, high: largest },
        points: points
            .iter()
            .map(|&(row, score)| Point { x: row.label, y: score - row.label, name: &row.id })
            .collect(),
        curve: mean_errors(points),
        ideal: [(SCALE.0, 0.0), (SCALE.1, 0.0)],
    };
    html.raw("<figure>");
    plot.write(html);
    html.raw("<figcaption>Error by label. Line: mean error of each half point of the label.");
    thinned(html, &plot);
    html.raw("</figcaption></figure>\n");
}

/// The mean error of each bin that has an image, at the mean label of its images.
fn mean_errors(points: &[(&Scored, f64)]) -> Vec<(f64, f64)> {
    let bins = ((SCALE.1 - SCALE.0) / BIN) as usize;
    let mut sums = vec![(0.0, 0.0, 0.0); bins];
    for (row, score) in points {
        let (count, label, error) = &mut sums[(((row.label - SCALE.0) / BIN) as usize).min(bins - 1)];
        *count += 1.0;
        *label += row.label;
        *error += score - row.label;
    }
    sums.iter()
        .filter(|sum| sum.0 > 0.0)
        .map(|(count, label, error)| (label / count, error / count))
        .collect()
}

fn thinned(html: &mut Html, plot: &Plot<'_>) {
    if let Some(drawn) = plot.thinned() {
        html.raw(" ")
            .text(drawn)
            .raw(" of ")
            .text(plot.points.len())
            .raw(" images are drawn, evenly chosen.");
    }
}
