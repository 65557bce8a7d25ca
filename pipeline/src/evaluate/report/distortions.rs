//! By distortion: how well each is ranked, and which group is taken for which.

use std::collections::BTreeMap;

use super::super::{Confusion, Estimate, Statistics};
use super::html::Html;

/// A table with a bar a distortion.
pub(super) fn table(html: &mut Html, distortions: &BTreeMap<&'static str, Statistics>) {
    if distortions.is_empty() {
        return;
    }
    let lowest = |estimate: &Estimate| estimate.interval.map_or(estimate.value, |interval| interval.low);
    let has_negative = distortions.values().filter_map(|d| d.srcc.as_ref()).any(|srcc| lowest(srcc) < 0.0);
    let left = if has_negative { -1.0 } else { 0.0 };
    let caption = if has_negative {
        "By distortion. Bars: SRCC from −1 to 1 with its interval"
    } else {
        "By distortion. Bars: SRCC from 0 to 1 with its interval"
    };
    let columns =
        ["Distortion", "Images", "Parse failures", "SRCC, drawn", "SRCC", "PLCC (raw)", "KRCC", "RMSE"];
    html.table(caption, &columns, |html| {
        for (name, found) in distortions {
            let name = if *name == "none" { "pristine".into() } else { name.replace('_', " ") };
            html.row(name).cell(found.images).cell(found.parse_failures).raw("<td>");
            bar(html, found.srcc, left);
            html.raw("</td>").estimate(found.srcc).estimate(found.plcc).estimate(found.krcc);
            html.estimate(found.rmse).raw("</tr>\n");
        }
    });
}

/// A bar from 0 to the value and a line over its interval, on an axis from `left` to 1.
fn bar(html: &mut Html, estimate: Option<Estimate>, left: f64) {
    const WIDTH: f64 = 120.0;
    let Some(Estimate { value, interval }) = estimate else { return };
    let at = |value: f64| (value.clamp(left, 1.0) - left) / (1.0 - left) * WIDTH;
    let number = |value: f64| format!("{value:.1}");
    html.raw("<svg class=\"bar\" viewBox=\"0 0 120 12\" role=\"img\" aria-label=\"SRCC ")
        .text(format_args!("{value:.3}"));
    html.raw("\"><title>SRCC ")
        .text(format_args!("{value:.3}"))
        .raw("</title><rect y=\"2\" height=\"8\" x=\"");
    html.text(number(at(value.min(0.0))))
        .raw("\" width=\"")
        .text(number(at(value.max(0.0)) - at(value.min(0.0))));
    html.raw("\"/>");
    if let Some(interval) = interval {
        html.raw("<path class=\"interval\" d=\"M").text(number(at(interval.low))).raw(" 6H");
        html.text(number(at(interval.high))).raw("\"/>");
    }
    html.raw("<path class=\"zero\" d=\"M").text(number(at(0.0))).raw(" 0V12\"/></svg>");
}

/// A heat map of which group was named for which, in shares of the truth.
pub(super) fn confusion(html: &mut Html, confusion: &Confusion) {
    let names: Vec<String> = confusion.names.iter().map(|name| name.replace('_', " ")).collect();
    let columns: Vec<&str> = ["Truth \\ named"].into_iter().chain(names.iter().map(String::as_str)).collect();
    let caption =
        "Which group of distortions was named for which: images, darker for a larger share of the row";
    html.table(caption, &columns, |html| {
        for (name, counts) in names.iter().zip(&confusion.counts) {
            let total: usize = counts.iter().sum();
            if total == 0 {
                continue;
            }
            html.row(name);
            for &count in counts {
                let share = count as f64 / total as f64;
                html.raw("<td class=\"heat\" style=\"--share:").text(format_args!("{share:.3}")).raw("\">");
                html.text(count).raw("</td>");
            }
            html.raw("</tr>\n");
        }
    });
}
