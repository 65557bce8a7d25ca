//! Whether the reasoning decides the score.

use super::super::{Effect, Estimate, SwapReport};
use super::html::Html;

/// A measure of an effect, and whether it is a share.
type Measure = (&'static str, bool, fn(&Effect) -> Option<Estimate>);

const MEASURES: [Measure; 6] = [
    ("mean change of the score, in points", false, |effect| effect.change),
    ("moves towards the other's score", true, |effect| effect.towards_donor),
    ("slope on the other's score", false, |effect| effect.donor_slope),
    ("slope on its own score", false, |effect| effect.own_slope),
    ("PLCC with the other's score", false, |effect| effect.donor_plcc),
    ("PLCC with its own score", false, |effect| effect.own_plcc),
];

pub(super) fn write(html: &mut Html, report: &SwapReport) {
    let SwapReport { images, without_donor, unreadable, own, donor, blank } = report;
    html.raw("<h3>Whether the reasoning decides the score</h3>\n");
    let caption = format!("{images} images scored once more, after another image's reasoning and after none");
    html.table(caption, &["Measure", "After another's", "After none"], |html| {
        for (name, is_share, of) in MEASURES {
            html.row(name);
            for effect in [donor, blank] {
                if is_share {
                    html.share(of(effect))
                } else {
                    html.estimate(of(effect))
                };
            }
            html.raw("</tr>\n");
        }
        html.row("parse failures").cell(donor.parse_failures).cell(blank.parse_failures).raw("</tr>\n");
        html.row("after its own, the same score").share(*own).raw("<td></td></tr>\n");
    });
    html.raw("<p class=\"note\">A slope of 1 on the other's score: the reasoning alone decides; 0: it does not matter. Left out: ");
    html.text(without_donor).raw(" images without another whose label is a point away, ").text(unreadable);
    html.raw(" whose own answer or the other's cannot be read.</p>\n");
}
