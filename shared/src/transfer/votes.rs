//! Votes as a table: which columns an export writes, and reading them back.

use crate::dataset::{ParseError, Place, Record, Table};
use crate::study::{ItemKind, Preference, Rating, StudyTask};
use crate::{Attribute, Level, Score};

/// Longest name of a person, in characters.
pub const MAX_PERSON: usize = 120;

/// Columns of an export, in order. Attributes' levels are 1 (bad) to 5 (excellent), `repeat` is 1 where an
/// item came the second time, `counted` tells what statistics use.
pub const VOTE_COLUMNS: [&str; 29] = [
    "vote",
    "item",
    "kind",
    "image",
    "sha256",
    "other_image",
    "other_sha256",
    "subject",
    "person",
    "repeat",
    "score",
    "sharpness",
    "noise",
    "exposure",
    "contrast",
    "colour",
    "compression",
    "preference",
    "skipped",
    "flag",
    "blind",
    "counted",
    "zoom",
    "device_pixel_ratio",
    "viewport_width",
    "viewport_height",
    "ms",
    "created_at",
    "expected",
];

/// A vote of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct VoteLine {
    /// Where it stands, for messages.
    pub place: Place,
    /// Who voted.
    pub person: String,
    /// What tells people of one name apart, where the table has it.
    pub subject: Option<String>,
    /// The image: its SHA-256 if the table has it, its name otherwise.
    pub image: String,
    /// The other image of a pair.
    pub other_image: Option<String>,
    /// 1 where it came the second time.
    pub repeat: u8,
    pub rating: Rating,
    /// What is wrong with the image.
    pub flag: Option<String>,
    /// Given before the voter saw anybody's answer.
    pub blind: bool,
    /// What the item is for.
    pub kind: ItemKind,
    /// The answer of training and gold.
    pub expected: Option<Score>,
    /// Milliseconds that the image was in view.
    pub ms: Option<i64>,
}

/// A line that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoteLineError {
    /// Where.
    pub place: Place,
    /// What is wrong with it.
    pub problem: String,
}

/// Reads a table of votes for a study of some task, each line on its own.
///
/// # Errors
/// When the table itself cannot be read, or lacks a column.
pub fn parse_votes(text: &str, task: StudyTask) -> Result<Vec<Result<VoteLine, VoteLineError>>, ParseError> {
    let table = Table::parse(text)?;
    let columns = Columns::of(&table, task)?;
    Ok(table.rows.iter().map(|row| columns.read(row, task)).collect())
}

struct Columns {
    person: usize,
    subject: Option<usize>,
    image: usize,
    other: Option<usize>,
    score: Option<usize>,
    preference: Option<usize>,
    levels: [Option<usize>; Attribute::ALL.len()],
    repeat: Option<usize>,
    skipped: Option<usize>,
    flag: Option<usize>,
    blind: Option<usize>,
    kind: Option<usize>,
    expected: Option<usize>,
    ms: Option<usize>,
}

impl Columns {
    fn of(table: &Table, task: StudyTask) -> Result<Self, ParseError> {
        let is_pairs = task == StudyTask::Pairs;
        let image =
            table.find(&["sha256"]).map_or_else(|| table.column(&["image", "name", "filename"]), Ok)?;
        let other = ["other_sha256", "other_image"];
        Ok(Self {
            person: table.column(&["person", "subject_name", "rater", "worker", "annotator", "observer"])?,
            subject: table.find(&["subject"]),
            image,
            other: if is_pairs {
                Some(table.find(&other[..1]).map_or_else(|| table.column(&other[1..]), Ok)?)
            } else {
                None
            },
            score: if is_pairs { None } else { Some(table.column(&["score", "rating", "opinion"])?) },
            preference: if is_pairs { Some(table.column(&["preference"])?) } else { None },
            levels: Attribute::ALL.map(|attribute| table.find(&[attribute.word()])),
            repeat: table.find(&["repeat"]),
            skipped: table.find(&["skipped"]),
            flag: table.find(&["flag"]),
            blind: table.find(&["blind"]),
            kind: table.find(&["kind"]),
            expected: table.find(&["expected"]),
            ms: table.find(&["ms"]),
        })
    }

    fn read(&self, row: &Record, task: StudyTask) -> Result<VoteLine, VoteLineError> {
        let place = row.place;
        let refused = |problem: String| VoteLineError { place, problem };
        let text = |column: Option<usize>| column.map(|column| plain(row.text(column))).unwrap_or_default();
        let person = text(Some(self.person));
        if person.is_empty() || person.chars().count() > MAX_PERSON {
            return Err(refused(format!("the person's name must have 1 to {MAX_PERSON} characters")));
        }
        let (image, other) = (text(Some(self.image)), text(self.other));
        if image.is_empty() || (self.other.is_some() && other.is_empty()) {
            return Err(refused("an image is missing".to_owned()));
        }
        let score_in = |what: &str, text: &str| {
            let number: Option<f64> = text.parse().ok();
            let score = number.filter(|number| (1.0..=5.0).contains(number)).and_then(Score::clamped);
            score.ok_or_else(|| refused(format!("{what} is {text:?}; it must be a number from 1 to 5")))
        };
        let skipped = text(self.skipped);
        let rating = if !skipped.is_empty() {
            Rating::Skipped { reason: skipped.to_owned() }
        } else if self.preference.is_some() {
            Rating::Preference { preference: preference(text(self.preference)).map_err(refused)? }
        } else {
            let score = score_in("the score", text(self.score))?;
            match task {
                StudyTask::Attributes => Rating::Levels { score, levels: self.levels(row).map_err(refused)? },
                _ => Rating::Score { score },
            }
        };
        let expected = text(self.expected);
        let kind = text(self.kind);
        Ok(VoteLine {
            place,
            person: person.to_owned(),
            subject: Some(text(self.subject).to_owned()).filter(|subject| !subject.is_empty()),
            image: image.to_owned(),
            other_image: self.other.map(|_| other.to_owned()),
            repeat: match text(self.repeat) {
                "" | "0" | "false" => 0,
                "1" | "true" => 1,
                other => return Err(refused(format!("repeat is {other:?}; it must be 0 or 1"))),
            },
            rating,
            flag: Some(text(self.flag).to_owned()).filter(|flag| !flag.is_empty()),
            blind: match text(self.blind) {
                "" | "1" | "true" => true,
                "0" | "false" => false,
                other => return Err(refused(format!("blind is {other:?}; it must be true or false"))),
            },
            kind: match kind {
                "" => ItemKind::Rated,
                _ => ItemKind::of_name(kind).ok_or_else(|| {
                    refused(format!("kind is {kind:?}; it must be rated, training or gold"))
                })?,
            },
            expected: match expected {
                "" => None,
                text => Some(score_in("the expected score", text)?),
            },
            ms: text(self.ms).parse().ok().filter(|ms| *ms >= 0),
        })
    }

    fn levels(&self, row: &Record) -> Result<Vec<(Attribute, Level)>, String> {
        let mut levels = Vec::new();
        for (attribute, column) in Attribute::ALL.into_iter().zip(self.levels) {
            let text = column.map(|column| row.text(column)).unwrap_or_default();
            if text.is_empty() {
                continue;
            }
            let by_number =
                text.parse::<usize>().ok().and_then(|n| Level::ALL.get(n.checked_sub(1)?)).copied();
            let by_word = Level::ALL.into_iter().find(|level| level.word().eq_ignore_ascii_case(text));
            let level = by_number.or(by_word);
            let problem = || format!("{} is {text:?}; it must be 1 (bad) to 5 (excellent)", attribute.word());
            levels.push((attribute, level.ok_or_else(problem)?));
        }
        Ok(levels)
    }
}

/// A cell without the mark that keeps spreadsheets from running it.
fn plain(cell: &str) -> &str {
    match cell.strip_prefix('\'') {
        Some(rest) if rest.starts_with(['=', '+', '-', '@']) => rest,
        _ => cell,
    }
}

fn preference(text: &str) -> Result<Preference, String> {
    let by_number = match text {
        "-1" => Some(Preference::First),
        "0" => Some(Preference::Same),
        "1" => Some(Preference::Second),
        _ => None,
    };
    let known = by_number.or_else(|| Preference::of_name(&text.to_ascii_lowercase()));
    known.ok_or_else(|| format!("the preference is {text:?}; it must be first, same or second"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, task: StudyTask) -> Vec<Result<VoteLine, VoteLineError>> {
        parse_votes(text, task).expect("a table")
    }

    #[test]
    fn a_small_table_is_enough_and_each_line_stands_alone() {
        let lines =
            read("rater,image,score\nAda,a.png,4\nAda,b.png,6\n,a.png,3\n'=Bob,a.png,2.5\n", StudyTask::Acr);
        let first = lines[0].as_ref().expect("a vote");
        assert_eq!((first.person.as_str(), first.image.as_str(), first.blind), ("Ada", "a.png", true));
        assert_eq!(first.rating.score().map(Score::get), Some(4.0));
        assert!(lines[1].as_ref().is_err_and(|error| error.problem.contains("1 to 5")));
        assert!(lines[2].as_ref().is_err_and(|error| error.problem.contains("name")));
        assert_eq!(lines[3].as_ref().map(|line| line.person.as_str()), Ok("=Bob"));
    }

    #[test]
    fn levels_and_preferences_are_words_or_numbers() {
        let lines = read(
            "person,image,score,noise,colour\nAda,a.png,3,poor,5\nAda,b.png,3,8,\n",
            StudyTask::Attributes,
        );
        let levels = lines[0].as_ref().map(|line| line.rating.clone());
        let expected = vec![(Attribute::Noise, Level::Poor), (Attribute::Colour, Level::Excellent)];
        assert!(matches!(levels, Ok(Rating::Levels { levels, .. }) if levels == expected));
        assert!(lines[1].is_err());
        let text = "person,image,other_image,preference\nAda,a.png,b.png,second\nAda,a.png,c.png,-1\nAda,a.png,,same\n";
        let lines = read(text, StudyTask::Pairs);
        assert!(matches!(
            &lines[0],
            Ok(VoteLine { rating: Rating::Preference { preference: Preference::Second }, .. })
        ));
        assert!(matches!(
            &lines[1],
            Ok(VoteLine { rating: Rating::Preference { preference: Preference::First }, .. })
        ));
        assert!(lines[2].is_err());
        for (text, task) in
            [("image,score\na,3\n", StudyTask::Acr), ("person,image,score\nA,a,3\n", StudyTask::Pairs)]
        {
            assert!(parse_votes(text, task).is_err(), "{text}");
        }
    }
}
