//! VisualQuality-R1 (`datasets/make_data.py` of its repository): text with spaces between, and JSON lines.
//!
//! A line of text is `reference image mos std`, `reference image mos`, `image mos std` or `image mos`, as
//! the dataset has references and deviations or not; all lines of a file have the same shape. The label is
//! the last or the last but one; of three parts the second is a number only where there is no reference.
//! A line of JSON has `image` (a list of one) and two `conversations`, the second of which holds the label,
//! from 1 to 5.
//!
//! In `*_normalized_mos.txt` the label was brought to 1 to 5 and the deviation was not: import it with
//! `--range 1,5 --ignore-std`.

use serde_json::Value;

use super::json::number;
use super::naming::without_extension;
use super::{Direction, Entry, Labels, ParseError, Place, Range, StdScale};

const EXPECTED_LINE: &str = "lines are like `reference.png image.png 3.2 0.5`";

/// Text: labels as the dataset has them, higher is better.
pub(super) fn text(text: &str) -> Result<Labels, ParseError> {
    let mut entries = Vec::new();
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let place = Place::Line(index + 1);
        let parts: Vec<&str> = line.split_whitespace().collect();
        let label =
            |text: &str| text.parse::<f64>().map_err(|_| ParseError::number(place, "the label", text));
        let std = |text: &str| {
            text.parse::<f64>().map_err(|_| ParseError::number(place, "the standard deviation", text))
        };
        let entry = match parts[..] {
            [] => continue,
            [reference, image, mos, deviation] => {
                let entry = Entry::new(place, image, label(mos)?)?.with_std(Some(std(deviation)?))?;
                referring(entry, reference)
            }
            [image, mos, deviation] if mos.parse::<f64>().is_ok() => {
                Entry::new(place, image, label(mos)?)?.with_std(Some(std(deviation)?))?
            }
            [reference, image, mos] => referring(Entry::new(place, image, label(mos)?)?, reference),
            [image, mos] => Entry::new(place, image, label(mos)?)?,
            _ => return Err(ParseError::value(place, "the line", line, EXPECTED_LINE)),
        };
        entries.push(entry);
    }
    let direction = Some(Direction::Higher);
    Ok(Labels { entries, range: None, direction, std_scale: StdScale::Labels })
}

fn referring(entry: Entry, reference: &str) -> Entry {
    Entry { reference: without_extension(reference).to_owned(), ..entry }
}

/// JSON lines: labels from 1 to 5.
pub(super) fn json_lines(text: &str) -> Result<Labels, ParseError> {
    let mut entries = Vec::new();
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let place = Place::Line(index + 1);
        if line.trim().is_empty() {
            continue;
        }
        let item: Value = serde_json::from_str(line)
            .map_err(|error| ParseError::JsonLine { place, reason: error.to_string() })?;
        let image = match &item["image"] {
            Value::Array(images) if images.len() == 1 => images[0].as_str(),
            other => other.as_str(),
        };
        let image = image.ok_or(ParseError::Missing { place, what: "`image`, a list of one name," })?;
        let label = number(place, "the second conversation's value", &item["conversations"][1]["value"])?;
        let label = label.ok_or(ParseError::Missing { place, what: "the second conversation's value" })?;
        entries.push(Entry::new(place, image, label)?);
    }
    Ok(Labels::published(entries, Range::ACR, Direction::Higher))
}
