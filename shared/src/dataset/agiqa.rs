//! AGIQA-3K (Li et al., 2023): `data.csv` with
//! `name,prompt,adj1,adj2,style,mos_quality,std_quality,mos_align,std_align`.
//!
//! `mos_quality` runs from 0 to 5; alignment with the prompt is not quality and not read. Images were
//! generated, so there are no pristine photographs; the prompt takes the place of the reference, because
//! images of one prompt show the same thing.

use super::table::{Record, Table};
use super::{Direction, Entry, Labels, ParseError, Range};

const RANGE: Range = Range::published(0.0, 5.0);

pub(super) fn parse(text: &str) -> Result<Labels, ParseError> {
    let table = Table::parse(text)?;
    let image = table.column(&["name"])?;
    let prompt = table.column(&["prompt"])?;
    let mos = table.column(&["mos_quality"])?;
    let std = table.find(&["std_quality"]);
    let entry = |row: &Record| {
        let entry = Entry::new(row.place, row.text(image), row.number(mos, "mos_quality")?)?;
        let mut entry = entry.with_std(row.number_if(std, "std_quality")?)?;
        entry.reference = row.text(prompt).to_owned();
        if entry.reference.is_empty() {
            return Err(ParseError::Missing { place: row.place, what: "the prompt" });
        }
        Ok(entry)
    };
    let entries = table.rows.iter().map(entry).collect::<Result<_, _>>()?;
    Ok(Labels::published(entries, RANGE, Direction::Higher))
}
