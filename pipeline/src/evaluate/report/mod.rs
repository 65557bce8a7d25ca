//! An evaluation as one self-contained HTML page: no script, nothing from elsewhere, pictures within.
//!
//! Ids, texts and paths come from models and files and are taken for hostile: the writer of the page escapes
//! everything but its own markup.

mod answers;
mod description;
mod distortions;
mod html;
mod judged;
mod picture;
mod plot;
mod scatter;
mod swapped;
mod tables;

use super::{Case, EvaluateError, ModeReport, ModelReport, Scored, Suite};
use html::Html;

/// Even if something slipped through, the page may load and run nothing.
const HEAD: &str = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
    <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n\
    <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
    <meta name=\"color-scheme\" content=\"light dark\">\n<style>\n";

/// The page of a suite; `scored` holds each model's scores of `cases`, a mode after another in the order of its
/// report, as [`super::evaluate()`] gives them.
///
/// # Errors
/// When a picture cannot be read.
pub fn page(suite: &Suite, cases: &[Case], scored: &[Vec<Scored>]) -> Result<String, EvaluateError> {
    let mut html = Html::default();
    let names: Vec<&str> = suite.models.iter().map(|model| model.name.as_str()).collect();
    let title = format!("Evaluation of {}", names.join(", "));
    html.raw(HEAD).raw(include_str!("report.css")).raw("</style>\n<title>").text(&title);
    html.raw("</title></head><body><main>\n<h1>").text(&title).raw("</h1>\n<p>").text(cases.len());
    html.raw(" images of the split <b>").text(suite.provenance.split).raw("</b>, ");
    html.text(&suite.provenance.date).raw("</p>\n<section><h2>Summary</h2>\n");
    tables::summary(&mut html, suite);
    html.raw("</section>\n");
    if !suite.matrices.is_empty() {
        html.raw("<section><h2>Across datasets</h2>\n");
        suite.matrices.iter().for_each(|matrix| tables::matrix(&mut html, matrix));
        html.raw("</section>\n");
    }
    if !suite.stages.is_empty() {
        html.raw("<section><h2>Stage against stage</h2>\n<p class=\"note\">Paired differences on the same images; an interval without 0 is a difference that other photographs would likely show too. Below 0 is better for RMSE.</p>\n");
        suite.stages.iter().for_each(|stages| tables::stages(&mut html, stages));
        html.raw("</section>\n");
    }
    for (model, scored) in suite.models.iter().zip(scored) {
        section(&mut html, model, cases, scored)?;
    }
    html.raw("<section><h2>Provenance</h2>\n");
    tables::provenance(&mut html, suite);
    html.raw("</section>\n</main></body></html>\n");
    Ok(html.finish())
}

fn section(
    html: &mut Html,
    model: &ModelReport,
    cases: &[Case],
    scored: &[Scored],
) -> Result<(), EvaluateError> {
    html.raw("<section><h2>").text(&model.name).raw("</h2>\n");
    tables::datasets(html, model);
    for report in &model.modes {
        let of_mode = scored.iter().filter(|row| row.mode == report.mode);
        let answers: Vec<(&Case, &Scored)> = cases.iter().zip(of_mode).collect();
        mode(html, report, &answers)?;
    }
    if let Some(report) = &model.judge {
        judged::write(html, report);
    }
    if let Some(report) = &model.swap {
        swapped::write(html, report);
    }
    if let Some(determinism) = &model.determinism {
        html.raw("<h3>Determinism</h3>\n");
        tables::determinism(html, determinism);
    }
    html.raw("</section>\n");
    Ok(())
}

fn mode(html: &mut Html, report: &ModeReport, answers: &[(&Case, &Scored)]) -> Result<(), EvaluateError> {
    html.raw("<h3>").text(report.mode.name()).raw(" mode</h3>\n");
    let scored: Vec<&Scored> = answers.iter().map(|(_, row)| *row).collect();
    scatter::write(html, report, &scored);
    distortions::table(html, &report.distortions);
    if let Some(description) = &report.description {
        description::write(html, description);
    }
    answers::worst(html, answers)?;
    answers::failures(html, answers);
    Ok(())
}
