//! Why a label file could not be read.

use super::Place;

/// Longest piece of a file that a message repeats, in characters.
const LONGEST: usize = 40;

/// Why a label file could not be read; each message names the place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    #[error("the file has no rows")]
    Empty,
    #[error("line {line}: a quotation mark is opened and never closed")]
    Quote { line: usize },
    #[error("line {line} has {found} columns, the first line has {expected}")]
    Ragged { line: usize, found: usize, expected: usize },
    #[error("there is no column `{column}` among {header}: is this the right --format?")]
    Column { column: &'static str, header: String },
    #[error("both columns `{first}` and `{second}` could hold the label: leave one of them, or rename it")]
    Ambiguous { first: String, second: String },
    #[error("{place}: {what} is `{value}`, which is no number that can be used")]
    Number { place: Place, what: &'static str, value: String },
    #[error("{place}: {what} is `{value}`; {expected}")]
    Value { place: Place, what: &'static str, value: String, expected: &'static str },
    #[error("{place}: {what} is missing")]
    Missing { place: Place, what: &'static str },
    #[error("the file is no JSON: {reason}")]
    Json { reason: String },
    #[error("{place}: {reason}")]
    JsonLine { place: Place, reason: String },
    #[error("{second}: image {image} was labelled at {first} already: leave one of them")]
    Twice { image: String, first: Place, second: Place },
}

impl ParseError {
    pub(super) fn number(place: Place, what: &'static str, value: &str) -> Self {
        Self::Number { place, what, value: shown(value) }
    }

    pub(super) fn value(place: Place, what: &'static str, value: &str, expected: &'static str) -> Self {
        Self::Value { place, what, value: shown(value), expected }
    }
}

/// The beginning of `value`, on one line.
pub(super) fn shown(value: &str) -> String {
    let line = value.replace(char::is_control, " ");
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}
