//! What makes studies, votes and annotations acceptable. The page asks before it sends, the server before
//! it stores.

use super::{CreateVote, Rating, StudyTask};
use crate::grammar::{self, Response};

/// Longest name of a study, in characters.
pub const MAX_NAME: usize = 120;
/// Longest guidelines, in characters.
pub const MAX_GUIDELINES: usize = 64 << 10;
/// Longest comment or reason, in characters.
pub const MAX_COMMENT: usize = 2000;
/// Longest annotation, in bytes.
pub const MAX_ANNOTATION: usize = 16 << 10;
/// Longest draft as JSON, in bytes.
pub const MAX_DRAFT: usize = 60 << 10;
/// Most people for one item.
pub const MAX_OVERLAP: u32 = 1000;
/// Longest name of a vote, in characters.
const MAX_KEY: usize = 100;

/// Why something is not acceptable.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Unacceptable {
    /// A text is missing or too long.
    #[error("{what} must have {least} to {most} characters")]
    Length { what: &'static str, least: usize, most: usize },
    /// A number is out of range.
    #[error("{what} is {value}; it must be between {least} and {most}")]
    Range { what: &'static str, value: f64, least: f64, most: f64 },
    /// A vote of another kind of study.
    #[error("a study of {0} takes another kind of rating: {1}")]
    WrongRating(&'static str, &'static str),
    /// One attribute has two levels.
    #[error("an attribute is rated twice")]
    RepeatedAttribute,
    /// The text is not what models are taught.
    #[error("the annotation is not complete: {0}")]
    Faults(String),
}

/// A text that people read: without spaces around it.
///
/// # Errors
/// When it is too short or too long.
pub fn text(what: &'static str, text: &str, least: usize, most: usize) -> Result<String, Unacceptable> {
    let text: String =
        text.trim().chars().filter(|letter| !letter.is_control() || matches!(letter, '\n' | '\t')).collect();
    let length = text.chars().count();
    if length < least || length > most {
        return Err(Unacceptable::Length { what, least, most });
    }
    Ok(text)
}

/// A number within its range.
///
/// # Errors
/// When it is not.
pub fn number(what: &'static str, value: f64, least: f64, most: f64) -> Result<(), Unacceptable> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(Unacceptable::Range { what, value, least, most })
}

/// Checks a vote for a study of some task.
///
/// # Errors
/// Says what is wrong with it.
pub fn vote(task: StudyTask, vote: &CreateVote) -> Result<(), Unacceptable> {
    text("the key", &vote.key, 1, MAX_KEY)?;
    number("repeat", vote.repeat.into(), 0.0, 1.0)?;
    number("zoom", vote.conditions.zoom, 0.001, 100.0)?;
    number("device_pixel_ratio", vote.conditions.device_pixel_ratio, 0.1, 20.0)?;
    number("viewport_width", vote.conditions.viewport_width.into(), 1.0, 100_000.0)?;
    number("viewport_height", vote.conditions.viewport_height.into(), 1.0, 100_000.0)?;
    if let Some(flag) = &vote.flag {
        text("the flag", flag, 1, MAX_COMMENT)?;
    }
    match (task, &vote.rating) {
        (_, Rating::Skipped { reason }) => text("the reason", reason, 1, MAX_COMMENT).map(drop),
        (StudyTask::Acr | StudyTask::Reasoning, Rating::Score { .. })
        | (StudyTask::Pairs, Rating::Preference { .. }) => Ok(()),
        (StudyTask::Attributes, Rating::Levels { levels, .. }) => {
            let repeated = levels
                .iter()
                .enumerate()
                .any(|(i, (attribute, _))| levels[..i].iter().any(|(earlier, _)| earlier == attribute));
            if repeated { Err(Unacceptable::RepeatedAttribute) } else { Ok(()) }
        }
        (StudyTask::Acr | StudyTask::Reasoning, _) => Err(Unacceptable::WrongRating(task.name(), "a score")),
        (StudyTask::Attributes, _) => Err(Unacceptable::WrongRating(task.name(), "a score with levels")),
        (StudyTask::Pairs, _) => Err(Unacceptable::WrongRating(task.name(), "a preference")),
    }
}

/// Reads an annotation; it must be complete, since models will learn from it.
///
/// # Errors
/// Says what departs from the grammar.
pub fn annotation(text: &str) -> Result<Response, Unacceptable> {
    if text.len() > MAX_ANNOTATION {
        return Err(Unacceptable::Length { what: "the annotation", least: 1, most: MAX_ANNOTATION });
    }
    let response = grammar::parse(text);
    if response.is_well_formed() {
        return Ok(response);
    }
    let faults: Vec<String> = response.faults.iter().map(ToString::to_string).collect();
    Err(Unacceptable::Faults(faults.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::super::{Conditions, Preference};
    use super::*;
    use crate::{Attribute, ItemId, Level, Score};

    fn cast(rating: Rating) -> CreateVote {
        let conditions =
            Conditions { zoom: 1.0, device_pixel_ratio: 1.5, viewport_width: 800, viewport_height: 600 };
        CreateVote { item: ItemId::new(), repeat: 0, rating, conditions, ms: 10, key: "k".into(), flag: None }
    }

    #[test]
    fn a_vote_is_of_the_kind_of_its_study() {
        let score = Score::clamped(3.0).expect("a score");
        let twice = vec![(Attribute::Noise, Level::Bad), (Attribute::Noise, Level::Good)];
        let once = vec![(Attribute::Noise, Level::Bad)];
        for (task, rating, is_right) in [
            (StudyTask::Acr, Rating::Score { score }, true),
            (StudyTask::Acr, Rating::Preference { preference: Preference::Same }, false),
            (StudyTask::Pairs, Rating::Preference { preference: Preference::First }, true),
            (StudyTask::Pairs, Rating::Score { score }, false),
            (StudyTask::Attributes, Rating::Levels { score, levels: once }, true),
            (StudyTask::Attributes, Rating::Levels { score, levels: twice }, false),
            (StudyTask::Attributes, Rating::Score { score }, false),
            (StudyTask::Pairs, Rating::Skipped { reason: "black".into() }, true),
            (StudyTask::Pairs, Rating::Skipped { reason: " ".into() }, false),
        ] {
            let cast = cast(rating);
            assert_eq!(vote(task, &cast).is_ok(), is_right, "{task:?} {cast:?}");
        }
    }

    #[test]
    fn hostile_numbers_and_texts_are_refused() {
        let score = Score::clamped(3.0).expect("a score");
        let good = cast(Rating::Score { score });
        let bad = [
            CreateVote { key: String::new(), ..good.clone() },
            CreateVote { key: "x".repeat(101), ..good.clone() },
            CreateVote { repeat: 2, ..good.clone() },
            CreateVote { flag: Some("x".repeat(2001)), ..good.clone() },
            CreateVote { conditions: Conditions { zoom: f64::NAN, ..good.conditions }, ..good.clone() },
            CreateVote { conditions: Conditions { viewport_width: 0, ..good.conditions }, ..good.clone() },
        ];
        assert_eq!(vote(StudyTask::Acr, &good), Ok(()));
        for cast in bad {
            assert!(vote(StudyTask::Acr, &cast).is_err(), "{cast:?}");
        }
        assert_eq!(text("x", " a\u{0}b ", 1, 5).as_deref(), Ok("ab"));
        assert!(annotation("<think>").is_err());
    }
}
