//! An evaluation as text.

use qponder_pipeline::evaluate::{
    AttributeAgreement, DescriptionReport, Determinism, Estimate, JudgeReport, Matrix, ModeReport, Named,
    Statistics, Suite,
};
use qponder_shared::Severity;
use qponder_shared::verdict::Criterion;

use super::{compare, share, shown, shown_as, swap};

/// Prints everything that was found.
pub(super) fn print(suite: &Suite) {
    for model in &suite.models {
        for report in &model.modes {
            println!("{}, {} mode, {} images", model.name, report.mode.name(), report.overall.images);
            mode(report);
        }
        model.judge.iter().for_each(|report| judge(&model.name, report));
        model.swap.iter().for_each(|report| swap::print(&model.name, report));
        model.determinism.iter().for_each(determinism);
    }
    suite.matrices.iter().for_each(matrix);
    for stages in &suite.stages {
        println!("{} against {}", stages.second, stages.first);
        stages.comparisons.iter().for_each(compare::print);
    }
}

fn mode(report: &ModeReport) {
    let found = &report.overall;
    println!("  SRCC            {}", shown(found.srcc));
    println!("  PLCC (raw)      {}", shown(found.plcc));
    println!("  KRCC            {}", shown(found.krcc));
    println!("  RMSE            {}", shown(found.rmse));
    if let Some(fitted) = found.fitted {
        println!("  after a logistic of 4 parameters, {}", fitted.on.words());
        println!("    PLCC          {}", shown(fitted.plcc));
        println!("    RMSE          {}", shown(fitted.rmse));
    }
    println!("  parse failures  {}", found.parse_failures);
    report.description.iter().for_each(description);
    if report.datasets.len() > 1 {
        println!("  by dataset");
        report.datasets.iter().for_each(|(name, found)| part(name, found));
    }
    if !report.distortions.is_empty() {
        println!("  by distortion");
        report.distortions.iter().for_each(|(name, found)| part(name, found));
    }
}

fn part(name: &str, found: &Statistics) {
    let Statistics { images, parse_failures, srcc, plcc, .. } = found;
    println!(
        "    {name:24} SRCC {:26} PLCC {:26} {images} images, {parse_failures} unreadable",
        shown(*srcc),
        shown(*plcc)
    );
}

fn description(found: &DescriptionReport) {
    if let Some(naming) = &found.naming {
        let all = &naming.all;
        println!("  of {} images with a known distortion, the reasoning named", all.images);
        println!("    the distortion  {}", share(all.kind));
        println!("    its group       {}", share(all.group));
        println!("    its severity    {}", share(all.severity));
        if naming.levels.len() > 1 {
            naming.levels.iter().for_each(|(severity, named)| level(*severity, named));
        }
        println!("  of {} pristine images it named one in {}", naming.pristine, share(naming.false_alarms));
    }
    if let Some(attributes) = &found.attributes {
        agreement(attributes);
    }
    if let Some(support) = &found.support {
        println!("  reasoning and score");
        println!("    consistency     {}", shown(support.consistency));
        println!("    SRCC of the worst level with the score  {}", shown(support.level_srcc));
    }
}

fn level(severity: Severity, named: &Named) {
    let percent =
        |part: Option<Estimate>| part.map_or("none".into(), |e| format!("{:.1} %", 100.0 * e.value));
    println!(
        "    of severity {}  distortion {}, its group {}, its severity {}, of {} images",
        severity.get(),
        percent(named.kind),
        percent(named.group),
        percent(named.severity),
        named.images
    );
}

fn agreement(found: &AttributeAgreement) {
    let AttributeAgreement { images, rule_based, missing, .. } = found;
    println!(
        "  levels against those of the reference text of {images} images ({rule_based} by rule), {missing} missing"
    );
    let attributes = found.attributes.iter().map(|(attribute, agreement)| (attribute.word(), agreement));
    for (name, agreement) in attributes.chain(found.overall.iter().map(|overall| ("together", overall))) {
        let kappa = agreement.kappa.map_or("none".into(), |kappa| format!("{kappa:.3}"));
        println!(
            "    {name:15} equal {:5.1} %, at most one apart {:5.1} %, weighted kappa {kappa}",
            100.0 * agreement.exact,
            100.0 * agreement.within_one
        );
    }
}

fn judge(model: &str, report: &JudgeReport) {
    let JudgeReport { verdicts, unreadable, failed, .. } = report;
    println!("{model}, {} answers judged by {} (0 to 10)", report.answers, report.model);
    for criterion in Criterion::ALL {
        let grade = shown_as(report.mean(criterion), |value| format!("{value:.2}"));
        println!("  {:16}{grade}", criterion.name());
    }
    println!("  {verdicts} verdicts, {unreadable} unreadable, {failed} did not come");
    if let Some(limit) = report.limit {
        println!("  it ended before all were judged: {limit} is reached");
    }
    if let Some(reason) = &report.ended {
        println!("  it ended before all were judged: {reason}");
    }
}

fn determinism(found: &Determinism) {
    match found.differences.as_slice() {
        [] => println!(
            "equal seeds give equal answers: {} images asked again in both modes; in other batches scores within {:.0e}",
            found.images, found.largest_change
        ),
        differences => {
            println!("equal seeds gave other answers, of {} images:", found.images);
            for found in differences {
                let batch = if found.in_another_batch { "another" } else { "the same" };
                println!("  {} in {} mode, in {batch} batch", found.id, found.mode.name());
            }
        }
    }
}

fn matrix(found: &Matrix) {
    println!("SRCC / raw PLCC, {} mode", found.mode.name());
    let header: String = found.datasets.iter().map(|name| format!(" {name:>16}")).collect();
    println!("  {:16}{header}", "");
    for row in &found.rows {
        let cells = row.cells.iter().map(|cell| {
            let of = |pick: fn(&qponder_pipeline::evaluate::Cell) -> Option<f64>| {
                cell.as_ref().and_then(pick).map_or("none".into(), |value| format!("{value:.3}"))
            };
            let shown = format!("{} / {}", of(|c| c.srcc.map(|e| e.value)), of(|c| c.plcc.map(|e| e.value)));
            format!(" {shown:>16}")
        });
        println!("  {:16}{}", row.model, cells.collect::<String>());
    }
}
