//! The response grammar: reading and writing what Q-Ponder answers.
//!
//! ```text
//! <think>
//! sharpness: edges are smeared along one direction (poor)
//! ...
//! One or two sentences that weigh the attributes against each other.
//! </think>
//! <answer>2.41</answer>
//! ```
//!
//! [`parse`] is total: any text gives a [`Response`], with a [`Fault`] for each thing that it could
//! not read. It is tolerant of whitespace, of line endings and of the order of attributes. An
//! unreadable score stays `None`: it is a *parse failure* and never becomes a number.

use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};

use crate::{Attribute, Level, Score};

/// What a reasoning says of one attribute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Observation {
    pub attribute: Attribute,
    /// The words before the level; one line.
    pub text: String,
    /// `None` while the line has no level word in brackets at its end.
    pub level: Option<Level>,
}

/// A response, as far as it could be read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Response {
    /// In the order of the text; the first judgement of each attribute.
    pub attributes: Vec<Observation>,
    /// The sentences that weigh the attributes, joined by single spaces.
    pub summary: String,
    /// `None` is a parse failure.
    pub score: Option<Score>,
    /// Everything that departs from the grammar, in the order in which it was found.
    pub faults: Vec<Fault>,
}

impl Response {
    /// Whether the text follows the grammar completely.
    #[must_use]
    pub fn is_well_formed(&self) -> bool {
        self.faults.is_empty()
    }
}

/// One departure from the grammar.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum Fault {
    /// There is no `<think>`.
    MissingThink,
    /// `<think>` is never closed.
    UnclosedThink,
    /// There is no `<answer>`.
    MissingAnswer,
    /// `<answer>` is never closed.
    UnclosedAnswer,
    /// The answer holds no number.
    UnreadableScore { text: String },
    /// The answer's number is outside 1.00 to 5.00.
    ScoreOutOfScale { text: String },
    /// An attribute is not judged.
    MissingAttribute { attribute: Attribute },
    /// An attribute is judged more than once; the first judgement counts.
    RepeatedAttribute { attribute: Attribute },
    /// A judgement has no level word in brackets.
    MissingLevel { attribute: Attribute },
    /// No sentence weighs the attributes.
    MissingSummary,
    /// There is text before, between or after the two blocks.
    StrayText { text: String },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::MissingThink => f.write_str("there is no <think> block"),
            Fault::UnclosedThink => f.write_str("the <think> block is not closed"),
            Fault::MissingAnswer => f.write_str("there is no <answer>"),
            Fault::UnclosedAnswer => f.write_str("the <answer> is not closed"),
            Fault::UnreadableScore { text } => write!(f, "the answer {text:?} holds no score"),
            Fault::ScoreOutOfScale { text } => write!(f, "the score {text:?} is outside 1.00 to 5.00"),
            Fault::MissingAttribute { attribute } => write!(f, "{attribute} is not judged"),
            Fault::RepeatedAttribute { attribute } => write!(f, "{attribute} is judged more than once"),
            Fault::MissingLevel { attribute } => write!(f, "{attribute} has no level"),
            Fault::MissingSummary => f.write_str("no sentence weighs the attributes"),
            Fault::StrayText { text } => write!(f, "stray text {text:?}"),
        }
    }
}

/// How much of an offending text a fault quotes, in characters.
const QUOTED: usize = 40;

fn quote(text: &str) -> String {
    text.trim().chars().take(QUOTED).collect()
}

/// Reads a response; also a beginning of one, as it streams in.
#[must_use]
pub fn parse(text: &str) -> Response {
    let mut response = Response::default();
    let after_think = match block(text, "think") {
        Block::Missing => {
            response.faults.push(Fault::MissingThink);
            text
        }
        Block::Unclosed { before, inner } => {
            stray(before, &mut response.faults);
            // A forgotten `</think>` must not hide the answer.
            let (reasoning, rest) = inner.find("<answer>").map_or((inner, ""), |at| inner.split_at(at));
            read_reasoning(reasoning, &mut response);
            response.faults.push(Fault::UnclosedThink);
            rest
        }
        Block::Closed { before, inner, after } => {
            stray(before, &mut response.faults);
            read_reasoning(inner, &mut response);
            after
        }
    };
    match block(after_think, "answer") {
        Block::Missing => {
            stray(after_think, &mut response.faults);
            response.faults.push(Fault::MissingAnswer);
        }
        Block::Unclosed { before, inner: _ } => {
            stray(before, &mut response.faults);
            response.faults.push(Fault::UnclosedAnswer);
        }
        Block::Closed { before, inner, after } => {
            stray(before, &mut response.faults);
            read_score(inner, &mut response);
            stray(after, &mut response.faults);
        }
    }
    response
}

enum Block<'a> {
    Missing,
    Unclosed { before: &'a str, inner: &'a str },
    Closed { before: &'a str, inner: &'a str, after: &'a str },
}

fn block<'a>(text: &'a str, tag: &str) -> Block<'a> {
    let Some((before, rest)) = text.split_once(&format!("<{tag}>")) else {
        return Block::Missing;
    };
    match rest.split_once(&format!("</{tag}>")) {
        Some((inner, after)) => Block::Closed { before, inner, after },
        None => Block::Unclosed { before, inner: rest },
    }
}

fn stray(text: &str, faults: &mut Vec<Fault>) {
    if !text.trim().is_empty() {
        faults.push(Fault::StrayText { text: quote(text) });
    }
}

fn read_reasoning(reasoning: &str, response: &mut Response) {
    for line in reasoning.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let Some(observation) = read_observation(line) else {
            if !response.summary.is_empty() {
                response.summary.push(' ');
            }
            response.summary.push_str(line);
            continue;
        };
        let attribute = observation.attribute;
        if response.attributes.iter().any(|seen| seen.attribute == attribute) {
            response.faults.push(Fault::RepeatedAttribute { attribute });
            continue;
        }
        if observation.level.is_none() {
            response.faults.push(Fault::MissingLevel { attribute });
        }
        response.attributes.push(observation);
    }
    for attribute in Attribute::ALL {
        if !response.attributes.iter().any(|seen| seen.attribute == attribute) {
            response.faults.push(Fault::MissingAttribute { attribute });
        }
    }
    if response.summary.is_empty() {
        response.faults.push(Fault::MissingSummary);
    }
}

/// `attribute: words (level)`; `None` when the line does not begin with an attribute and a colon.
fn read_observation(line: &str) -> Option<Observation> {
    let (name, rest) = line.split_once(':')?;
    let attribute = name.trim().trim_start_matches(['-', '*', ' ']).parse().ok()?;
    let rest = rest.trim();
    let (text, level) =
        match rest.strip_suffix(['.']).unwrap_or(rest).strip_suffix(')').and_then(|r| r.rsplit_once('(')) {
            Some((words, level)) => match level.trim().parse() {
                Ok(level) => (words.trim_end(), Some(level)),
                Err(()) => (rest, None),
            },
            None => (rest, None),
        };
    Some(Observation { attribute, text: text.to_owned(), level })
}

fn read_score(inner: &str, response: &mut Response) {
    let number = inner.trim();
    let is_plain_number =
        !number.is_empty() && number.chars().all(|c| c.is_ascii_digit() || c == '.' || c == '-');
    match number.parse::<f64>() {
        Ok(value) if is_plain_number => match Score::new(value) {
            Ok(score) => response.score = Some(score),
            Err(_) => response.faults.push(Fault::ScoreOutOfScale { text: quote(inner) }),
        },
        _ => response.faults.push(Fault::UnreadableScore { text: quote(inner) }),
    }
}

/// Writes a response in the canonical form that the models are trained on.
#[must_use]
pub fn write(attributes: &[Observation], summary: &str, score: Score) -> String {
    let mut text = String::from("<think>\n");
    for Observation { attribute, text: words, level } in attributes {
        let _ = write!(text, "{attribute}: {words}");
        if let Some(level) = level {
            let _ = write!(text, " ({level})");
        }
        text.push('\n');
    }
    let _ = write!(text, "{summary}\n</think>\n<answer>{score}</answer>");
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn whole() -> String {
        let attributes: Vec<_> = Attribute::ALL
            .into_iter()
            .map(|attribute| Observation {
                attribute,
                text: "as one would wish (mostly)".into(),
                level: Some(Level::Good),
            })
            .collect();
        write(&attributes, "Nothing stands out.", Score::clamped(4.2).unwrap_or(Score::MAX))
    }

    #[track_caller]
    fn check(text: &str, score: Option<f64>, faults: &[Fault]) {
        let response = parse(text);
        assert_eq!(response.score.map(Score::get), score, "{text}");
        assert_eq!(response.faults, faults, "{text}");
    }

    #[test]
    fn a_canonical_response_reads_without_fault() {
        let response = parse(&whole());
        assert!(response.is_well_formed(), "{:?}", response.faults);
        assert_eq!(response.attributes.len(), 6);
        assert_eq!(response.attributes[0].text, "as one would wish (mostly)");
        assert_eq!(response.summary, "Nothing stands out.");
    }

    #[test]
    fn whitespace_order_and_spelling_do_not_matter() {
        let shuffled: String = whole().lines().rev().collect::<Vec<_>>().join("\r\n");
        let reasoning: String =
            shuffled.lines().filter(|l| !l.starts_with('<')).collect::<Vec<_>>().join("\n\n  ");
        let text = format!(
            "\n <think>{}</think>\n\n<answer>\n 4.20 </answer>  ",
            reasoning.replace("colour", "Color")
        );
        check(&text, Some(4.2), &[]);
    }

    #[test]
    fn each_departure_is_named() {
        let text = whole();
        check("", None, &[Fault::MissingThink, Fault::MissingAnswer]);
        check(&text.replace("4.20", "5.20"), None, &[Fault::ScoreOutOfScale { text: "5.20".into() }]);
        check(
            &text.replace("4.20", "about four"),
            None,
            &[Fault::UnreadableScore { text: "about four".into() }],
        );
        check(&text.replace("4.20", "NaN"), None, &[Fault::UnreadableScore { text: "NaN".into() }]);
        check(&text.replace("</answer>", ""), None, &[Fault::UnclosedAnswer]);
        check(&text.replace("</think>\n", ""), Some(4.2), &[Fault::UnclosedThink]);
        check(&text.replace("Nothing stands out.\n", ""), Some(4.2), &[Fault::MissingSummary]);
        check(&format!("Well. {text}"), Some(4.2), &[Fault::StrayText { text: "Well.".into() }]);
        check(
            &text.replacen(" (good)", "", 1),
            Some(4.2),
            &[Fault::MissingLevel { attribute: Attribute::Sharpness }],
        );
        check(
            &text.replace("noise:", "sharpness:"),
            Some(4.2),
            &[
                Fault::RepeatedAttribute { attribute: Attribute::Sharpness },
                Fault::MissingAttribute { attribute: Attribute::Noise },
            ],
        );
    }

    fn observation() -> impl Strategy<Value = (String, usize)> {
        ("[a-z][a-z ,']{0,30}[a-z]", 0..5_usize)
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC*|(<think>|</think>|<answer>|</answer>|\\(|\\)|:|noise|[0-9.]|\n| )*") {
            let _ = parse(&text);
        }

        #[test]
        fn reads_what_it_writes(
            observations in prop::collection::vec(observation(), 6),
            summary in "[A-Z][a-z ,]{0,60}[.]",
            hundredths in 100..=500_u32,
        ) {
            let attributes: Vec<_> = Attribute::ALL.into_iter().zip(observations).map(|(attribute, (text, level))| {
                Observation { attribute, text, level: Some(Level::ALL[level]) }
            }).collect();
            let score = Score::new(f64::from(hundredths) / 100.0).expect("in range");
            let response = parse(&write(&attributes, &summary, score));
            prop_assert_eq!(&response.faults, &[]);
            prop_assert_eq!(response.attributes, attributes);
            prop_assert_eq!(response.summary, summary);
            prop_assert_eq!(response.score, Some(score));
        }

        #[test]
        fn a_beginning_never_shows_a_score(cut in 0..200_usize) {
            let text = whole();
            if let Some(beginning) = text.get(..cut.min(text.len() - "</answer>".len())) {
                prop_assert_eq!(parse(beginning).score, None);
            }
        }
    }
}
