//! SPAQ (Fang et al., 2020): `MOS and Image attribute scores.xlsx`, or its first sheet as CSV or TSV.
//!
//! Columns `Image name,MOS,Brightness,Colorfulness,Contrast,Noisiness,Sharpness`; MOS from 0 to 100. No
//! split and no standard deviation are published.

use super::table::Table;
use super::{Direction, Entry, Labels, ParseError, Range};

const RANGE: Range = Range::published(0.0, 100.0);

pub(super) fn parse(text: &str) -> Result<Labels, ParseError> {
    let table = Table::parse(text)?;
    let image = table.column(&["Image name"])?;
    let mos = table.column(&["MOS"])?;
    let entries =
        table.rows.iter().map(|row| Entry::new(row.place, row.text(image), row.number(mos, "MOS")?));
    Ok(Labels::published(entries.collect::<Result<_, _>>()?, RANGE, Direction::Higher))
}
