//! What was measured of the words.

use super::super::{AttributeAgreement, DescriptionReport, Naming, Support};
use super::distortions;
use super::html::Html;

pub(super) fn write(html: &mut Html, description: &DescriptionReport) {
    html.raw("<h4>What the reasoning says</h4>\n");
    if let Some(naming) = &description.naming {
        names(html, naming);
    }
    if let Some(attributes) = &description.attributes {
        agreement(html, attributes);
    }
    if let Some(support) = &description.support {
        supports(html, support);
    }
}

fn names(html: &mut Html, naming: &Naming) {
    let Naming { all, pristine, .. } = naming;
    html.table("What was done to the image", &["Measure", "Images", "Share"], |html| {
        html.row("the distortion is named, of 25").cell(all.images).share(all.kind).raw("</tr>\n");
        html.row("one of its group is named, of 7").cell(all.images).share(all.group).raw("</tr>\n");
        html.row("its severity is named exactly").cell(all.images).share(all.severity).raw("</tr>\n");
        html.row("a distortion is named of a pristine image").cell(pristine);
        html.share(naming.false_alarms).raw("</tr>\n");
    });
    if naming.levels.len() > 1 {
        let columns = ["Severity", "Images", "Distortion", "Its group", "Severity exactly"];
        html.table("The same by how severe it was", &columns, |html| {
            for (severity, named) in &naming.levels {
                html.row(severity.get()).cell(named.images).share(named.kind);
                html.share(named.group).share(named.severity).raw("</tr>\n");
            }
        });
    }
    distortions::confusion(html, &naming.confusion);
}

fn agreement(html: &mut Html, found: &AttributeAgreement) {
    let caption = format!(
        "Levels against those of the reference text: {} images, of which the rule-based teacher describes {}; \
         {} levels are missing",
        found.images, found.rule_based, found.missing
    );
    let columns = ["Attribute", "Pairs", "Equal", "At most one level apart", "κ, quadratic weights"];
    html.table(caption, &columns, |html| {
        let attributes = found.attributes.iter().map(|(attribute, agreement)| (attribute.word(), agreement));
        for (name, agreement) in
            attributes.chain(found.overall.iter().map(|overall| ("all together", overall)))
        {
            let percent = |share: f64| format!("{:.1} %", 100.0 * share);
            html.row(name).cell(agreement.pairs).cell(percent(agreement.exact));
            html.cell(percent(agreement.within_one));
            html.cell(agreement.kappa.map_or("none".into(), |kappa| format!("{kappa:.3}"))).raw("</tr>\n");
        }
    });
}

fn supports(html: &mut Html, support: &Support) {
    html.table("Whether the reasoning supports the score", &["Measure", "Value"], |html| {
        html.row("consistency, as GRPO rewards it, 0 to 1").estimate(support.consistency).raw("</tr>\n");
        html.row("SRCC of the worst attribute's level with the score");
        html.estimate(support.level_srcc).raw("</tr>\n");
    });
    html.raw("<p class=\"note\">The score that a level implies was fitted to ").text(support.fitted_rows);
    html.raw(" training rows.</p>\n");
}
