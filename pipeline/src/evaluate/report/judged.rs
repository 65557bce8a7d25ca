//! What a judge says of the reasoning.

use qponder_shared::verdict::{Criterion, Verdict};

use super::super::JudgeReport;
use super::html::Html;

pub(super) fn write(html: &mut Html, report: &JudgeReport) {
    html.raw("<h3>What the judge says</h3>\n");
    let JudgeReport { answers, verdicts, unreadable, failed, .. } = report;
    html.table(format!("Mean grades of {}, 0 to 10", report.model), &["Criterion", "Grade"], |html| {
        for criterion in Criterion::ALL {
            html.row(criterion.name()).estimate(report.mean(criterion)).raw("</tr>\n");
        }
    });
    html.raw("<p class=\"note\">").text(verdicts).raw(" of ").text(answers).raw(" answers have a verdict; ");
    html.text(unreadable).raw(" verdicts cannot be read, ").text(failed);
    html.raw(" did not come, and neither is in a mean. Prompt ").text(report.prompt_version).raw(".</p>\n");
    if let Some(limit) = report.limit {
        html.raw("<p class=\"alarm\">It ended before all were judged: ")
            .text(limit)
            .raw(" is reached.</p>\n");
    }
    if let Some(reason) = &report.ended {
        html.raw("<p class=\"alarm\">It ended before all were judged: <bdi>")
            .text(reason)
            .raw("</bdi></p>\n");
    }
    if report.lowest.is_empty() {
        return;
    }
    html.raw("<h4>Lowest grades</h4>\n");
    for graded in &report.lowest {
        let Verdict { accuracy, completeness, reasonableness, remarks } = &graded.verdict;
        html.raw("<details><summary><bdi>").text(&graded.id).raw("</bdi>: ").text(accuracy.get());
        html.raw(", ")
            .text(completeness.get())
            .raw(", ")
            .text(reasonableness.get())
            .raw("</summary><p><bdi>");
        html.text(remarks).raw("</bdi></p><pre dir=\"auto\">").text(&graded.text).raw("</pre></details>\n");
    }
}
