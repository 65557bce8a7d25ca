//! PIPAL (Gu et al., 2020): text files of `A0001_00_00.bmp,1520.0648`, one file a reference.
//!
//! Labels are Elo ratings: higher is better, and there is no end to the scale, so the extremes of the file
//! are its ends.

use super::{Direction, Entry, Labels, ParseError, Place, StdScale};

const EXPECTED_LINE: &str = "lines are like A0001_00_00.bmp,1520.0648";

pub(super) fn parse(text: &str) -> Result<Labels, ParseError> {
    let mut entries = Vec::new();
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        let place = Place::Line(index + 1);
        let parts = line.split_once(',');
        let (image, elo) = parts.ok_or_else(|| ParseError::value(place, "the line", line, EXPECTED_LINE))?;
        let elo = elo.trim();
        let label = elo.parse().map_err(|_| ParseError::number(place, "the Elo rating", elo))?;
        entries.push(Entry::new(place, image, label)?);
    }
    let direction = Some(Direction::Higher);
    Ok(Labels { entries, range: None, direction, std_scale: StdScale::Labels })
}
