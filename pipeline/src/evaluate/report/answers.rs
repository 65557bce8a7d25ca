//! Single answers: the worst ones with their pictures, and those without a score.

use super::super::{Case, EvaluateError, Scored};
use super::html::Html;
use super::picture::Picture;
use qponder_shared::api::Mode;
use qponder_shared::grammar;

/// Worst cases that are shown of a mode.
const MOST_WORST: usize = 8;
/// Unreadable answers that are shown of a mode.
const MOST_FAILURES: usize = 20;

/// The cases whose score is furthest from the label.
pub(super) fn worst(html: &mut Html, answers: &[(&Case, &Scored)]) -> Result<(), EvaluateError> {
    let mut by_error: Vec<(f64, &Case, &Scored, f64)> = answers
        .iter()
        .filter_map(|&(case, row)| row.score.map(|score| ((score - row.label).abs(), case, row, score)))
        .collect();
    by_error.sort_by(|a, b| b.0.total_cmp(&a.0));
    by_error.truncate(MOST_WORST);
    if by_error.is_empty() {
        return Ok(());
    }
    html.raw("<h4>Worst cases</h4>\n<div class=\"cases\">\n");
    for (_, case, row, score) in by_error {
        let picture = Picture::of(case)?;
        html.raw("<article><img alt=\"\" loading=\"lazy\" src=\"").text(&picture.url).raw("\" width=\"");
        html.text(picture.width).raw("\" height=\"").text(picture.height).raw("\">\n<h5><bdi>").text(&row.id);
        html.raw("</bdi></h5><p>score <b>").text(format_args!("{score:.2}")).raw("</b>, label <b>");
        html.text(format_args!("{:.2}", row.label)).raw("</b>, error ");
        html.text(format_args!("{:+.2}", score - row.label)).raw("<br>").text(truth(case)).raw("</p>\n");
        if row.mode == Mode::Reason {
            html.raw("<details><summary>Reasoning</summary><pre dir=\"auto\">")
                .text(&row.text)
                .raw("</pre></details>\n");
        }
        html.raw("</article>\n");
    }
    html.raw("</div>\n");
    Ok(())
}

/// What is known of the image.
fn truth(case: &Case) -> String {
    let row = &case.item.row;
    let known: Vec<String> = row
        .distortions
        .iter()
        .map(|d| format!("{}, severity {}", d.kind.name().replace('_', " "), d.level.get()))
        .collect();
    match known.is_empty() {
        false => known.join("; "),
        true if row.distortions_known() => "pristine".into(),
        true => "distortions not known".into(),
    }
}

/// Answers without a readable score, with what is wrong with them.
pub(super) fn failures(html: &mut Html, answers: &[(&Case, &Scored)]) {
    let failures: Vec<&Scored> =
        answers.iter().map(|(_, row)| *row).filter(|row| row.score.is_none()).collect();
    if failures.is_empty() {
        return;
    }
    html.raw("<h4>Parse failures</h4>\n");
    if failures.len() > MOST_FAILURES {
        html.raw("<p class=\"note\">The first ")
            .text(MOST_FAILURES)
            .raw(" of ")
            .text(failures.len())
            .raw(".</p>\n");
    }
    for row in failures.into_iter().take(MOST_FAILURES) {
        let faults: Vec<String> = grammar::parse(&row.text).faults.iter().map(ToString::to_string).collect();
        html.raw("<details><summary><bdi>").text(&row.id).raw("</bdi>: <bdi>").text(faults.join("; "));
        html.raw("</bdi></summary><pre dir=\"auto\">").text(&row.text).raw("</pre></details>\n");
    }
}
