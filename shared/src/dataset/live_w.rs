//! LIVE in the Wild, also LIVE Challenge (Ghadiyaram and Bovik, 2016): the CSV `image,mos,std` that is made of its
//! MATLAB files.
//!
//! MOS runs from 0 to 100. The first seven images, with which the authors trained their subjects, are none of it.

use super::table::{Record, Table};
use super::{Direction, Entry, Labels, ParseError, Range};

const RANGE: Range = Range::published(0.0, 100.0);

pub(super) fn parse(text: &str) -> Result<Labels, ParseError> {
    let table = Table::parse(text)?;
    let image = table.column(&["image", "img_name"])?;
    let mos = table.column(&["mos"])?;
    let std = table.find(&["std"]);
    let entry = |row: &Record| {
        let entry = Entry::new(row.place, row.text(image), row.number(mos, "mos")?)?;
        entry.with_std(row.number_if(std, "std")?)
    };
    let entries = table.rows.iter().map(entry).collect::<Result<_, _>>()?;
    Ok(Labels::published(entries, RANGE, Direction::Higher))
}
