//! Tables of scores: models, datasets, stages, and how it all came about.

use super::super::{Determinism, Matrix, ModelReport, Stages, Statistics, Suite};
use super::html::Html;

/// Every model in every mode.
pub(super) fn summary(html: &mut Html, suite: &Suite) {
    let fits = suite.models.iter().flat_map(|m| &m.modes).filter_map(|mode| mode.overall.fitted);
    let fitted = fits.map(|fitted| fitted.on.words()).next().unwrap_or("fitted");
    let names = [format!("PLCC, {fitted}"), format!("RMSE, {fitted}")];
    let columns = [
        "Model",
        "Mode",
        "Images",
        "Parse failures",
        "SRCC",
        "PLCC (raw)",
        "KRCC",
        "RMSE",
        &names[0],
        &names[1],
    ];
    html.table("All images together", &columns, |html| {
        for model in &suite.models {
            for mode in &model.modes {
                html.row(&model.name).cell(mode.mode.name());
                statistics(html, &mode.overall);
            }
        }
    });
    html.raw("<p class=\"note\">Small figures: 95 % intervals, percentile bootstrap of ")
        .text(suite.provenance.resamples)
        .raw(" resamples over reference photographs; those after the logistic hold it fixed. Raw means without any fit. RMSE in points of the 1 to 5 scale.</p>\n");
}

/// One model in one mode, by dataset.
pub(super) fn datasets(html: &mut Html, model: &ModelReport) {
    if model.modes.iter().all(|mode| mode.datasets.len() < 2) {
        return;
    }
    let columns = [
        "Dataset",
        "Mode",
        "Images",
        "Parse failures",
        "SRCC",
        "PLCC (raw)",
        "KRCC",
        "RMSE",
        "PLCC, fitted",
        "RMSE, fitted",
    ];
    html.table("By dataset", &columns, |html| {
        for mode in &model.modes {
            for (name, found) in &mode.datasets {
                html.row(name).cell(mode.mode.name());
                statistics(html, found);
            }
        }
    });
}

fn statistics(html: &mut Html, found: &Statistics) {
    html.cell(found.images).cell(found.parse_failures).estimate(found.srcc).estimate(found.plcc);
    html.estimate(found.krcc).estimate(found.rmse).estimate(found.fitted.and_then(|fitted| fitted.plcc));
    html.estimate(found.fitted.and_then(|fitted| fitted.rmse)).raw("</tr>\n");
}

/// Models against datasets.
pub(super) fn matrix(html: &mut Html, matrix: &Matrix) {
    let datasets = matrix.datasets.iter().map(String::as_str);
    let columns: Vec<&str> = ["Model"].into_iter().chain(datasets).collect();
    html.table(format!("SRCC / raw PLCC, {} mode", matrix.mode.name()), &columns, |html| {
        for row in &matrix.rows {
            html.row(&row.model);
            for cell in &row.cells {
                let Some(cell) = cell else {
                    html.raw("<td class=\"none\">none</td>");
                    continue;
                };
                let shown =
                    [cell.srcc, cell.plcc].map(|e| e.map_or("none".into(), |e| format!("{:.3}", e.value)));
                html.raw("<td>").text(&shown[0]).raw(" / ").text(&shown[1]).raw(" <small>").text(cell.images);
                html.raw(" images, ").text(cell.parse_failures).raw(" unreadable</small></td>");
            }
            html.raw("</tr>\n");
        }
    });
}

/// Paired differences of two models.
pub(super) fn stages(html: &mut Html, stages: &Stages) {
    let caption = format!("{} less {}", stages.second, stages.first);
    let columns = ["Mode", "Images", "Parse failures", "SRCC", "PLCC (raw)", "KRCC", "RMSE"];
    html.table(caption, &columns, |html| {
        for found in &stages.comparisons {
            let [first, second] = found.parse_failures;
            html.row(found.mode.name()).cell(found.images).cell(format_args!("{first}, then {second}"));
            html.estimate(found.srcc).estimate(found.plcc).estimate(found.krcc).estimate(found.rmse);
            html.raw("</tr>\n");
        }
    });
}

/// Whether equal seeds gave equal answers.
pub(super) fn determinism(html: &mut Html, found: &Determinism) {
    let Determinism { images, temperature, largest_change, differences } = found;
    html.raw("<p>").text(images).raw(" images were asked about again with equal seeds (temperature ");
    html.text(temperature).raw(" in reasoning mode), in the same batch and in others. ");
    if differences.is_empty() {
        html.raw("Every answer was the same: to the last bit in the same batch, in others the same text and a score within ");
        html.text(format_args!("{largest_change:.1e}")).raw(" points.</p>\n");
        return;
    }
    html.raw("</p>\n");
    html.raw("<p class=\"alarm\">")
        .text(differences.len())
        .raw(" answers differ although their seeds are equal:</p>\n");
    html.table("Answers that differ", &["Image", "Mode", "Asked again", "First", "Second"], |html| {
        for found in differences {
            let how = if found.in_another_batch { "in another batch" } else { "in the same batch" };
            html.row(&found.id).cell(found.mode.name()).cell(how).cell(&found.first).cell(&found.second);
            html.raw("</tr>\n");
        }
    });
}

/// What was asked about what.
pub(super) fn provenance(html: &mut Html, suite: &Suite) {
    let of = &suite.provenance;
    html.table("Models", &["Model", "Family", "Parameters", "SHA-256 of the weights"], |html| {
        for ModelReport { name, model, .. } in &suite.models {
            html.row(name).cell(&model.family).cell(model.parameters).raw("<td class=\"hash\">");
            html.text(&model.sha256).raw("</td></tr>\n");
        }
    });
    html.table("Datasets", &["Dataset", "Manifest", "Split", "Images", "SHA-256 of the manifest"], |html| {
        for manifest in &of.manifests {
            html.row(&manifest.dataset).cell(manifest.path.display()).cell(of.split).cell(manifest.images);
            html.raw("<td class=\"hash\">").text(&manifest.sha256).raw("</td></tr>\n");
        }
    });
    html.raw("<p class=\"note\">Q-Ponder ").text(of.version).raw(", ").text(&of.date).raw("; prompts ");
    html.text(of.prompts[0]).raw(" and ").text(of.prompts[1]);
    html.raw("; greedy answers, bootstrap seed 0.</p>\n");
    if let Some(calls) = &of.judge_calls {
        html.raw("<p class=\"note\">The judge was called ")
            .text(calls.made)
            .raw(" times, earlier runs that went on here included; ");
        html.text(calls.failed.values().sum::<u64>()).raw(" calls failed. ").text(calls.prompt_tokens);
        html.raw(" tokens read, ").text(calls.completion_tokens).raw(" written, cost ");
        html.text(format_args!("{:.4}", calls.cost)).raw(".</p>\n");
    }
}
