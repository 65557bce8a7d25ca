//! Does a reasoning show that its writer knew the label?
//!
//! Rules on words and digits: a model that learned such sentences would speak of labels that nobody gave it.

/// Phrases of someone who was told. Whole words, any case.
const PHRASES: &[&str] = &[
    "mos",
    "mean opinion",
    "ground truth",
    "ground-truth",
    "label",
    "labelled",
    "labeled",
    "given score",
    "known score",
    "target score",
    "reference score",
    "score of the picture",
    "score of the image",
    "given distortion",
    "given distortions",
    "known distortion",
    "known distortions",
    "given information",
    "provided",
    "as given",
    "as stated",
    "as told",
    "i was told",
    "were told",
    "beforehand",
    "annotation",
    "annotated",
    "severity level",
    "kadid",
];

/// The first sign of a leak in a reasoning, as it stands there. `label` is what the writer was shown, where
/// it was.
pub(super) fn find(reasoning: &str, label: Option<f64>) -> Option<String> {
    let lower = reasoning.to_lowercase();
    let phrase = PHRASES.iter().find(|phrase| has_phrase(&lower, phrase));
    phrase.map(|phrase| (*phrase).to_owned()).or_else(|| quoted(&lower, label?))
}

/// Whether a phrase stands in a text as whole words.
pub(super) fn has_phrase(text: &str, phrase: &str) -> bool {
    positions(text, phrase).next().is_some()
}

/// Where a phrase stands as whole words.
pub(super) fn positions<'a>(text: &'a str, phrase: &'a str) -> impl Iterator<Item = usize> + 'a {
    let is_word = |c: char| c.is_alphanumeric();
    text.match_indices(phrase).map(|(at, _)| at).filter(move |&at| {
        let before = text[..at].chars().next_back();
        let after = text[at + phrase.len()..].chars().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

/// The label with its digits: a decimal number that the label rounds to, or a whole one "out of 5".
fn quoted(text: &str, label: f64) -> Option<String> {
    let is_numeric = |c: char| c.is_ascii_digit() || c == '.';
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let length = rest[start..].find(|c| !is_numeric(c)).unwrap_or(rest.len() - start);
        let number = rest[start..start + length].trim_end_matches('.');
        let after = rest[start + length..].trim_start();
        rest = &rest[start + length..];
        let Ok(value) = number.parse::<f64>() else { continue };
        let decimals = number.split_once('.').map_or(0, |(_, decimals)| decimals.len());
        let is_score = decimals > 0
            || ["/5", "/ 5", "out of 5", "out of five", "of 5", "of five"]
                .iter()
                .any(|words| after.starts_with(words));
        // Half a unit of the last digit that is written, and of the two that were shown.
        let rounding = 0.5 * 0.1_f64.powi(decimals.min(2) as i32) + 1e-9;
        if is_score && (value - label).abs() <= rounding {
            return Some(number.to_owned());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_told_is_found_and_who_looked_is_not() {
        for (text, label, found) in [
            ("The MOS is low.", None, Some("mos")),
            ("Consistent with the ground truth.", None, Some("ground truth")),
            ("As the provided distortion says.", None, Some("provided")),
            ("This matches the given score.", None, Some("given score")),
            ("A score of 2.41 fits.", Some(2.41), Some("2.41")),
            ("Roughly 2.4 overall.", Some(2.41), Some("2.4")),
            ("It deserves 2 out of 5.", Some(2.41), Some("2")),
            ("It deserves 3/5.", Some(3.0), Some("3")),
            ("A mosaic of squares, mostly blue.", None, None),
            ("The most visible flaw is blur.", None, None),
            ("About 3 bands and 2 blocks.", Some(3.0), None),
            ("Halos of 2.5 pixels.", Some(3.1), None),
            ("Roughly 2.4 overall.", None, None),
            ("Grain at 100 % in the upper third.", Some(1.0), None),
            ("1..2.3. and ...", Some(2.3), None),
        ] {
            assert_eq!(find(text, label).as_deref(), found, "{text}");
        }
    }
}
