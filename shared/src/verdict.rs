//! Verdicts: what a judge says of an answer.
//!
//! A judge is asked for one JSON object with a grade from 0 to 10 for each [`Criterion`]. [`parse`] is total: any
//! text gives a [`Verdict`] or the [`Fault`]s for which there is none. It looks past a `<think>` block, a code fence
//! and words around the object; but a grade that is missing, no number, out of its scale or given twice makes the
//! whole verdict unreadable, and an unreadable verdict never becomes a number.

use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What an answer is graded by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Criterion {
    /// What it says is true.
    Accuracy,
    /// It names what decides the quality.
    Completeness,
    /// The score follows from its words.
    Reasonableness,
}

impl Criterion {
    /// All, in the order in which they are asked for.
    pub const ALL: [Self; 3] = [Self::Accuracy, Self::Completeness, Self::Reasonableness];

    /// The key in the judge's answer.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::Completeness => "completeness",
            Self::Reasonableness => "reasonableness",
        }
    }
}

/// A grade: 0 to 10, more is better.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Grade(f64);

/// A number that is no grade.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("grade {0} is outside 0 to 10")]
pub struct NoGrade(pub f64);

impl Grade {
    /// The best grade.
    pub const BEST: f64 = 10.0;

    /// The grade as a number, 0 to 10.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Grade {
    type Error = NoGrade;

    fn try_from(value: f64) -> Result<Self, NoGrade> {
        if (0.0..=Self::BEST).contains(&value) { Ok(Self(value)) } else { Err(NoGrade(value)) }
    }
}

impl From<Grade> for f64 {
    fn from(grade: Grade) -> f64 {
        grade.0
    }
}

/// What a judge says of one answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    pub accuracy: Grade,
    pub completeness: Grade,
    pub reasonableness: Grade,
    /// Why, in the judge's words; empty where it gave none.
    #[serde(default)]
    pub remarks: String,
}

impl Verdict {
    /// The grade of a criterion.
    #[must_use]
    pub fn grade(&self, criterion: Criterion) -> Grade {
        match criterion {
            Criterion::Accuracy => self.accuracy,
            Criterion::Completeness => self.completeness,
            Criterion::Reasonableness => self.reasonableness,
        }
    }

    /// The mean grade as a share of the best, 0 to 1.
    #[must_use]
    pub fn share(&self) -> f64 {
        let sum: f64 = Criterion::ALL.iter().map(|&criterion| self.grade(criterion).get()).sum();
        sum / (Criterion::ALL.len() as f64 * Grade::BEST)
    }
}

/// Why a verdict cannot be read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum Fault {
    /// There is no `{`.
    NoObject,
    /// What begins with `{` is no JSON object.
    Broken { reason: String },
    /// A second object follows: which one counts?
    SeveralObjects,
    /// A grade is missing.
    Missing { criterion: Criterion },
    /// A grade is given more than once.
    Repeated { criterion: Criterion },
    /// A grade is no number.
    NoNumber { criterion: Criterion, text: String },
    /// A grade is outside 0 to 10.
    OutOfScale { criterion: Criterion, text: String },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoObject => f.write_str("there is no JSON object"),
            Self::Broken { reason } => write!(f, "the JSON object is broken: {reason}"),
            Self::SeveralObjects => f.write_str("there is more than one JSON object"),
            Self::Missing { criterion } => write!(f, "{} is missing", criterion.name()),
            Self::Repeated { criterion } => write!(f, "{} is given more than once", criterion.name()),
            Self::NoNumber { criterion, text } => write!(f, "{} is {text}, no number", criterion.name()),
            Self::OutOfScale { criterion, text } => {
                write!(f, "{} is {text}, outside 0 to 10", criterion.name())
            }
        }
    }
}

/// How much of an offending value a fault quotes, in characters.
const QUOTED: usize = 40;
const END_OF_THOUGHT: &str = "</think>";

/// Reads a judge's answer.
///
/// # Errors
/// Everything that keeps it from being read; at least one fault.
pub fn parse(text: &str) -> Result<Verdict, Vec<Fault>> {
    // A judge that thinks aloud may draft objects before it answers.
    let answer = text.rfind(END_OF_THOUGHT).map_or(text, |at| &text[at + END_OF_THOUGHT.len()..]);
    let object = &answer[answer.find('{').ok_or_else(|| vec![Fault::NoObject])?..];
    let mut values = serde_json::Deserializer::from_str(object).into_iter::<Entries>();
    let entries = match values.next() {
        Some(Ok(entries)) => entries.0,
        Some(Err(error)) => return Err(vec![Fault::Broken { reason: error.to_string() }]),
        None => return Err(vec![Fault::NoObject]),
    };
    if object[values.byte_offset()..].contains('{') {
        return Err(vec![Fault::SeveralObjects]);
    }
    let [accuracy, completeness, reasonableness] = Criterion::ALL.map(|criterion| grade(&entries, criterion));
    match (accuracy, completeness, reasonableness) {
        (Ok(accuracy), Ok(completeness), Ok(reasonableness)) => {
            let remarks = entries.iter().find(|(key, _)| key == "remarks");
            let remarks = remarks.and_then(|(_, value)| value.as_str()).unwrap_or_default().trim().to_owned();
            Ok(Verdict { accuracy, completeness, reasonableness, remarks })
        }
        (accuracy, completeness, reasonableness) => {
            Err([accuracy, completeness, reasonableness].into_iter().filter_map(Result::err).collect())
        }
    }
}

fn grade(entries: &[(String, Value)], criterion: Criterion) -> Result<Grade, Fault> {
    let mut given = entries.iter().filter(|(key, _)| key == criterion.name()).map(|(_, value)| value);
    let value = given.next().ok_or(Fault::Missing { criterion })?;
    if given.next().is_some() {
        return Err(Fault::Repeated { criterion });
    }
    let text = || value.to_string().chars().take(QUOTED).collect();
    let number = value.as_f64().ok_or_else(|| Fault::NoNumber { criterion, text: text() })?;
    Grade::try_from(number).map_err(|_| Fault::OutOfScale { criterion, text: text() })
}

/// An object's entries as they stand; a map would keep the last of several in silence.
struct Entries(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::prompt;

    const GOOD: &str = r#"{"remarks": "Fine.", "accuracy": 6, "completeness": 4.5, "reasonableness": 8}"#;

    #[test]
    fn a_verdict_is_read_out_of_what_judges_put_around_it() {
        let expected = Verdict {
            accuracy: Grade(6.0),
            completeness: Grade(4.5),
            reasonableness: Grade(8.0),
            remarks: "Fine.".into(),
        };
        for text in [
            GOOD.to_owned(),
            format!("\r\n  {GOOD}\n"),
            format!("```json\n{GOOD}\n```"),
            format!("Here is my verdict:\n{GOOD}\nI hope that it helps."),
            format!("<think>Perhaps {{\"accuracy\": 9}}?</think>\n{GOOD}"),
            GOOD.replace("\"accuracy\"", "\"certainty\": [1, {\"a\": 2}], \"accuracy\""),
        ] {
            assert_eq!(parse(&text), Ok(expected.clone()), "{text}");
        }
        assert!((expected.share() - 18.5 / 30.0).abs() < 1e-12);
        let bare = parse(r#"{"accuracy":0,"completeness":10.0,"reasonableness":5}"#).expect("grades");
        assert_eq!((bare.share(), bare.remarks.as_str()), (0.5, ""));
    }

    #[test]
    fn what_cannot_be_read_is_named_and_gives_no_number() {
        use Criterion::{Accuracy, Completeness, Reasonableness};
        let number = |criterion, text: &str| Fault::NoNumber { criterion, text: text.into() };
        let scale = |criterion, text: &str| Fault::OutOfScale { criterion, text: text.into() };
        for (text, faults) in [
            (String::new(), vec![Fault::NoObject]),
            ("accuracy: 8".into(), vec![Fault::NoObject]),
            (GOOD.replace("6,", "\"6\","), vec![number(Accuracy, "\"6\"")]),
            (GOOD.replace("6,", "null,"), vec![number(Accuracy, "null")]),
            (GOOD.replace("6,", "10.5,"), vec![scale(Accuracy, "10.5")]),
            (
                GOOD.replace("6,", "-1,").replace("8}", "80}"),
                vec![scale(Accuracy, "-1"), scale(Reasonableness, "80")],
            ),
            (GOOD.replace("completeness", "complete"), vec![Fault::Missing { criterion: Completeness }]),
            (GOOD.replace("completeness", "accuracy"), {
                vec![Fault::Repeated { criterion: Accuracy }, Fault::Missing { criterion: Completeness }]
            }),
            (format!("{GOOD}\n{GOOD}"), vec![Fault::SeveralObjects]),
        ] {
            assert_eq!(parse(&text), Err(faults), "{text}");
        }
        for text in [&GOOD[..GOOD.len() - 1], "{accuracy: 8}", "{\"accuracy\": NaN}", "{}}", "{{}"] {
            let faults = parse(text).expect_err(text);
            assert!(matches!(faults[0], Fault::Broken { .. } | Fault::Missing { .. }), "{faults:?}");
        }
    }

    #[test]
    fn the_example_in_the_prompt_can_be_read() {
        let example = prompt::JUDGE.text.lines().last().unwrap_or_default();
        assert_eq!(parse(example).map(|verdict| verdict.share()), Ok(0.6));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_named(text in ".{0,200}", cut in 0..GOOD.len()) {
            for text in [text.clone(), format!("{}{text}", &GOOD[..cut]), format!("{{{text}")] {
                if let Err(faults) = parse(&text) {
                    prop_assert!(!faults.is_empty());
                }
            }
        }
    }
}
