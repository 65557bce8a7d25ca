//! What a judge is told of an image beside what it sees.

use qponder_shared::manifest::Row;
use qponder_shared::prompt;

use crate::teacher;

/// The distortions, and what a teacher wrote of the image where one did; without the teacher's score, for that is
/// the label or close to it.
#[must_use]
pub fn known(row: &Row) -> String {
    let distortions = format!("distortions: {}", teacher::known_distortions(row));
    match row.answer.as_deref().map(reasoning) {
        Some(reference) if !reference.is_empty() => {
            format!("{distortions}\na description that is taken to be right:\n{}", prompt::quoted(reference))
        }
        _ => distortions,
    }
}

/// What stands between `<think>` and `</think>`.
fn reasoning(answer: &str) -> &str {
    let rest = answer.split_once("<think>").map_or(answer, |(_, rest)| rest);
    let reasoning = rest.split_once("</think>").map_or(rest, |(reasoning, _)| reasoning);
    reasoning.split_once("<answer>").map_or(reasoning, |(reasoning, _)| reasoning).trim()
}

#[cfg(test)]
mod tests {
    use qponder_shared::manifest::{Label, Split};
    use qponder_shared::{Distortion, DistortionKind, Severity};

    use super::*;

    #[test]
    fn distortions_and_a_reference_are_told_and_the_label_is_not() {
        let blur = Distortion { kind: DistortionKind::MotionBlur, level: Severity::ALL[4] };
        let row = |label, distortions: &[Distortion], answer: Option<&str>| Row {
            id: "a".into(),
            image: "a.png".into(),
            label,
            mos_std: None,
            reference: "a".into(),
            distortions: distortions.to_vec(),
            split: Split::Val,
            source: "synthetic".into(),
            metrics: None,
            answer: answer.map(str::to_owned),
        };
        let (mos, proxy) = (Label::Mos(1.25), Label::Proxy(1.25));
        assert_eq!(known(&row(mos, &[], None)), "distortions: nothing is known of them");
        assert_eq!(known(&row(proxy, &[], None)), "distortions: none was added");
        let answer =
            "<think>\nsharpness: motion blur (bad)\nIt spoils the picture.\n</think>\n<answer>1.25</answer>";
        let told = known(&row(proxy, &[blur], Some(answer)));
        assert!(told.starts_with("distortions: ") && told.contains("motion blur\na description"), "{told}");
        assert!(told.ends_with("right:\n> sharpness: motion blur (bad)\n> It spoils the picture."), "{told}");
        assert!(!told.contains("1.25"), "{told}");
    }
}
