//! Do the words of an observation fit its level?
//!
//! A small lexicon finds plain contradictions, not fine shades: a flaw that is asserted and judged excellent,
//! a grave one judged good, and praise alone judged poor or bad.

use qponder_shared::Level;
use qponder_shared::grammar::Observation;

use super::leak::{has_phrase, positions};
use crate::teacher;

/// Flaws, in words that name nothing else in a judgement of quality.
const FLAWS: &[&str] = &[
    "blurry",
    "blurred",
    "smeared",
    "soft edges",
    "out of focus",
    "pixelated",
    "pixelation",
    "jagged",
    "noisy",
    "grainy",
    "speckled",
    "overexposed",
    "underexposed",
    "too dark",
    "too bright",
    "blown out",
    "clipped",
    "washed out",
    "washed-out",
    "hazy",
    "flat and",
    "harsh",
    "oversaturated",
    "desaturated",
    "garish",
    "colour cast",
    "color cast",
    "banding",
    "posterised",
    "posterized",
    "blocky",
    "blocking",
    "ringing",
    "mosquito",
    "artefacts",
    "artifacts",
    "halos",
    "haloes",
    "distorted",
    "degraded",
];

/// Words that make a flaw a grave one.
const GRAVE: &[&str] = &[
    "severe",
    "severely",
    "heavy",
    "heavily",
    "serious",
    "seriously",
    "catastrophic",
    "extreme",
    "extremely",
    "destroyed",
    "destroys",
    "unrecognisable",
    "unrecognizable",
    "ruined",
    "ruins",
    "terrible",
    "unusable",
    "overwhelming",
    "overwhelms",
    "dominates",
    "strong blur",
    "strong noise",
    "obliterated",
];

/// Praise.
const PRAISE: &[&str] = &[
    "crisp",
    "clean",
    "sharp",
    "clear",
    "flawless",
    "perfect",
    "perfectly",
    "pristine",
    "natural",
    "accurate",
    "well balanced",
    "well-balanced",
    "balanced",
    "excellent",
    "superb",
    "true",
    "faithful",
    "well separated",
    "well-defined",
    "well defined",
    "fine detail is resolved",
    "vivid",
    "smooth",
];

/// Words within a few of which a flaw is denied.
const DENIALS: &[&str] = &[
    "no", "not", "without", "free", "never", "nothing", "none", "neither", "nor", "hardly", "barely",
    "absence", "lacks", "isn't", "aren't", "hidden",
];
/// How many words before a flaw may deny it: "no visible or disturbing blocking".
const REACH: usize = 4;

/// The words of an observation that contradict its level.
pub(super) fn contradiction(observation: &Observation) -> Option<String> {
    let level = observation.level?;
    let text = observation.text.to_lowercase();
    let flaw = asserted_flaw(&text);
    let grave = GRAVE.iter().find(|word| asserts(&text, word));
    match level {
        Level::Excellent => flaw.or_else(|| grave.map(|word| (*word).to_owned())),
        Level::Good => grave.map(|word| (*word).to_owned()),
        Level::Fair => None,
        Level::Poor | Level::Bad => {
            let sound = flaw.is_none() && grave.is_none() && !denies(&text);
            let praise = PRAISE.iter().find(|word| asserts(&text, word));
            praise.filter(|_| sound && !hedged(&text)).map(|word| (*word).to_owned())
        }
    }
}

/// A flaw that is not denied: one of the lexicon, or a distortion under the name that answers use.
fn asserted_flaw(text: &str) -> Option<String> {
    let word = FLAWS.iter().find(|word| asserts(text, word)).map(|word| (*word).to_owned());
    word.or_else(|| {
        let (kind, _) = teacher::named_distortion(text)?;
        let name = teacher::name(kind);
        asserts(text, name).then(|| name.to_owned())
    })
}

/// Whether a phrase stands in a text undenied.
fn asserts(text: &str, phrase: &str) -> bool {
    positions(text, phrase).any(|at| {
        // A denial reaches to the end of its clause.
        let clause = text[..at].rsplit([',', ';', '.', ':']).next().unwrap_or_default();
        let list = text[..at].rsplit([';', '.', ':']).next().unwrap_or_default();
        let near = clause.split_whitespace().rev().take(REACH).any(is_denial);
        // "no blocks, ringing or banding": the list goes on under its first word.
        let listed = list.split_whitespace().next().is_some_and(|first| matches!(first, "no" | "without"))
            && !list.contains(" but ");
        !near && !listed
    })
}

fn is_denial(word: &str) -> bool {
    let word = word.trim_matches(|c: char| !c.is_alphanumeric() && c != '\'');
    DENIALS.contains(&word)
}

fn denies(text: &str) -> bool {
    text.split_whitespace().any(is_denial)
}

/// Praise that is taken back.
fn hedged(text: &str) -> bool {
    [
        "but", "although", "though", "however", "except", "only", "lost", "missing", "too", "soft", "weak",
        "should",
    ]
    .iter()
    .any(|word| has_phrase(text, word))
}

#[cfg(test)]
mod tests {
    use qponder_shared::Attribute;

    use super::*;

    #[test]
    fn contradictions_are_found_and_sound_judgements_pass() {
        use Level as L;
        for (text, level, contradicts) in [
            ("obvious gaussian blur, edges are soft everywhere", L::Excellent, true),
            ("obvious gaussian blur, edges are soft everywhere", L::Poor, false),
            ("no gaussian blur is visible", L::Excellent, false),
            ("heavily smeared along one direction", L::Good, true),
            ("slightly smeared along one direction", L::Good, false),
            ("blocky and ringing around the roofs", L::Excellent, true),
            ("no blocks, ringing or banding anywhere", L::Excellent, false),
            ("free of visible artefacts", L::Excellent, false),
            ("fine detail is crisp and edges are clean", L::Bad, true),
            ("fine detail is crisp and edges are clean", L::Excellent, false),
            ("hues look natural", L::Poor, true),
            ("the roof is sharp but the faces are gone", L::Poor, false),
            ("nothing is sharp", L::Bad, false),
            ("serious white noise, grain covers the whole picture", L::Good, true),
            ("the subject fills the frame", L::Bad, false),
            ("faint grain in the wall", L::Good, false),
        ] {
            let observation =
                Observation { attribute: Attribute::Sharpness, text: text.to_owned(), level: Some(level) };
            assert_eq!(contradiction(&observation).is_some(), contradicts, "{text} ({level})");
        }
    }
}
