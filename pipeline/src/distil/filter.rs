//! Which answers are kept: one function a filter, and a reason for each answer that is not.

use qponder_shared::grammar::{self, Fault, Response};
use qponder_shared::recipe::{Filter, Filters};
use qponder_shared::{Attribute, Level, Score};
use serde::Serialize;

use super::{duplicate, leak, wording};

/// An answer to be judged.
#[derive(Clone, Debug)]
pub struct Candidate {
    pub text: String,
    /// The label of its image.
    pub label: f64,
    /// The teacher was shown the label.
    pub conditioned: bool,
}

/// Why an answer is not kept.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Reason {
    /// It departs from the grammar in other ways than by its attributes.
    Grammar { faults: Vec<Fault> },
    /// An attribute is not judged, judged twice, or has no level.
    Attributes { faults: Vec<Fault> },
    /// The score is too far from the label.
    Score { score: Score, label: f64 },
    /// Words contradict their level.
    Wording { attribute: Attribute, level: Option<Level>, words: String },
    /// The reasoning shows that the label was known.
    Leak { words: String },
    /// The reasoning is too short or too long.
    Length { characters: usize },
    /// It says nearly what an earlier answer says; `of` is that one's index.
    NearDuplicate { of: usize, similarity: f64 },
}

impl Reason {
    /// The filter's name in the report.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Reason::Grammar { .. } => "grammar",
            Reason::Attributes { .. } => "attributes",
            Reason::Score { .. } => "score",
            Reason::Wording { .. } => "wording",
            Reason::Leak { .. } => "leak",
            Reason::Length { .. } => "length",
            Reason::NearDuplicate { .. } => "near_duplicate",
        }
    }

    /// All names, in the order of the report.
    pub const NAMES: [&'static str; 7] =
        ["grammar", "attributes", "score", "wording", "leak", "length", "near_duplicate"];
}

/// Every reason against each candidate; none for one that is kept. Only answers that pass everything else
/// are compared for near-duplicates, and the first of several is kept.
#[must_use]
pub fn filter(candidates: &[Candidate], filters: &Filters) -> Vec<Vec<Reason>> {
    let mut reasons: Vec<Vec<Reason>> =
        candidates.iter().map(|candidate| alone(candidate, filters)).collect();
    if filters.on.contains(&Filter::NearDuplicate) {
        let passed: Vec<usize> = (0..candidates.len()).filter(|&index| reasons[index].is_empty()).collect();
        let texts: Vec<&str> = passed.iter().map(|&index| reasoning(&candidates[index].text)).collect();
        let found = duplicate::find(&texts, filters.near_duplicate);
        for (&index, near) in passed.iter().zip(found) {
            if let Some((earlier, similarity)) = near {
                reasons[index].push(Reason::NearDuplicate { of: passed[earlier], similarity });
            }
        }
    }
    reasons
}

/// The reasons that an answer gives by itself.
fn alone(candidate: &Candidate, filters: &Filters) -> Vec<Reason> {
    let response = grammar::parse(&candidate.text);
    let checks: [(Filter, Option<Reason>); 5] = [
        (Filter::Attributes, attributes(&response)),
        (Filter::Score, score(&response, candidate.label, filters.tolerance)),
        (Filter::Wording, contradicting(&response)),
        (Filter::Leak, leaking(candidate)),
        (Filter::Length, length(&candidate.text, filters)),
    ];
    let chosen = checks.into_iter().filter(|(filter, _)| filters.on.contains(filter));
    follows_grammar(&response).into_iter().chain(chosen.filter_map(|(_, reason)| reason)).collect()
}

fn is_about_attributes(fault: &Fault) -> bool {
    matches!(
        fault,
        Fault::MissingAttribute { .. } | Fault::RepeatedAttribute { .. } | Fault::MissingLevel { .. }
    )
}

fn follows_grammar(response: &Response) -> Option<Reason> {
    let faults: Vec<Fault> = response.faults.iter().filter(|f| !is_about_attributes(f)).cloned().collect();
    (!faults.is_empty()).then_some(Reason::Grammar { faults })
}

fn attributes(response: &Response) -> Option<Reason> {
    let mut faults: Vec<Fault> = response.faults.iter().filter(|f| is_about_attributes(f)).cloned().collect();
    // Without a <think> the parser does not look for them, and they are missing all the same.
    if response.attributes.is_empty() && faults.is_empty() {
        faults = Attribute::ALL.map(|attribute| Fault::MissingAttribute { attribute }).to_vec();
    }
    (!faults.is_empty()).then_some(Reason::Attributes { faults })
}

/// An unreadable score is the grammar's to refuse.
fn score(response: &Response, label: f64, tolerance: f64) -> Option<Reason> {
    let score = response.score?;
    // 2.50 and 3.25 are 0.75 apart for everyone but the computer.
    ((score.get() - label).abs() > tolerance + 1e-9).then_some(Reason::Score { score, label })
}

fn contradicting(response: &Response) -> Option<Reason> {
    response.attributes.iter().find_map(|observation| {
        let words = wording::contradiction(observation)?;
        Some(Reason::Wording { attribute: observation.attribute, level: observation.level, words })
    })
}

fn leaking(candidate: &Candidate) -> Option<Reason> {
    let label = candidate.conditioned.then_some(candidate.label);
    leak::find(reasoning(&candidate.text), label).map(|words| Reason::Leak { words })
}

fn length(text: &str, filters: &Filters) -> Option<Reason> {
    let characters = reasoning(text).chars().count();
    let fits = (filters.min_characters..=filters.max_characters).contains(&characters);
    (!fits).then_some(Reason::Length { characters })
}

/// The text before the answer's number.
fn reasoning(text: &str) -> &str {
    let text = text.split_once("<answer>").map_or(text, |(before, _)| before);
    text.trim().trim_start_matches("<think>").trim_end_matches("</think>").trim()
}

#[cfg(test)]
mod tests {
    use qponder_shared::{Distortion, DistortionKind, Severity};

    use super::*;
    use crate::teacher;

    fn sound() -> String {
        let blur = Distortion { kind: DistortionKind::GaussianBlur, level: Severity::ALL[2] };
        teacher::write(&[blur], Score::clamped(2.41).unwrap_or(Score::MIN), 3)
    }

    fn candidate(text: &str) -> Candidate {
        Candidate { text: text.to_owned(), label: 2.5, conditioned: true }
    }

    fn names(text: &str) -> Vec<&'static str> {
        filter(&[candidate(text)], &Filters { min_characters: 100, ..Filters::default() })
            .concat()
            .iter()
            .map(Reason::name)
            .collect()
    }

    #[test]
    fn each_filter_refuses_what_it_is_for_and_a_sound_answer_passes() {
        let good = sound();
        assert_eq!(names(&good), [""; 0]);
        for (text, expected) in [
            (format!("Sure! {good}"), &["grammar"][..]),
            (good.replace("</answer>", ""), &["grammar"]),
            (good.replacen("noise:", "sharpness:", 1), &["attributes"]),
            (good.replacen(" (excellent)", "", 1), &["attributes"]),
            (good.replace("2.41", "3.26"), &["score"]),
            (good.replace("(poor)", "(excellent)"), &["wording"]),
            (good.replace("\n</think>", " It fits the given score.\n</think>"), &["leak"]),
            (good.replace("\n</think>", " It is worth about 2.5.\n</think>"), &["leak"]),
            (good.replace("\n</think>", &format!("{}\n</think>", " Really.".repeat(400))), &["length"]),
            (String::new(), &["grammar", "attributes", "length"]),
            ("<answer>1.00</answer>".into(), &["grammar", "attributes", "score", "length"]),
        ] {
            assert_eq!(names(&text), expected, "{text}");
        }
    }

    #[test]
    fn only_a_teacher_that_was_shown_the_label_can_quote_it() {
        let text = sound().replace("\n</think>", " It is worth about 2.5.\n</think>");
        let blind = Candidate { conditioned: false, ..candidate(&text) };
        assert_eq!(filter(&[blind], &Filters::default())[0], []);
    }

    #[test]
    fn a_filter_that_is_off_refuses_nothing_and_the_first_of_two_twins_is_kept() {
        let far = sound().replace("2.41", "4.90");
        let off = Filters { on: vec![Filter::NearDuplicate], ..Filters::default() };
        let judged = filter(&[candidate("nonsense"), candidate(&far), candidate(&far)], &off);
        assert_eq!(judged[0].iter().map(Reason::name).collect::<Vec<_>>(), ["grammar"]);
        assert_eq!(judged[1], []);
        assert_eq!(judged[2], [Reason::NearDuplicate { of: 1, similarity: 1.0 }]);
    }
}
