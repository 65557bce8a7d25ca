//! KADID-10k (Lin et al., 2019): `dmos.csv` with `dist_img,ref_img,dmos,var`.
//!
//! Two of its names mislead. `dmos` runs from 1 to 5 and higher is better, as MOS does. `var` holds
//! standard deviations: 1.10 with 0.3 is what 27 votes of 1 and 3 of 2 give.

use super::naming::without_extension;
use super::table::{Record, Table};
use super::{Direction, Entry, Labels, ParseError, Range};

const EXPECTED_NAME: &str = "names are like I01_01_01.png, with kinds 01 to 25 and levels 01 to 05";

pub(super) fn parse(text: &str) -> Result<Labels, ParseError> {
    let table = Table::parse(text)?;
    let image = table.column(&["dist_img"])?;
    let reference = table.column(&["ref_img"])?;
    let mos = table.column(&["dmos"])?;
    let std = table.find(&["var", "std"]);
    let entry = |row: &Record| {
        let entry = Entry::new(row.place, row.text(image), row.number(mos, "dmos")?)?;
        let mut entry = entry.with_std(row.number_if(std, "var")?)?;
        if entry.distortion.is_none() {
            return Err(ParseError::value(row.place, "dist_img", &entry.image, EXPECTED_NAME));
        }
        entry.reference = without_extension(row.text(reference)).to_owned();
        Ok(entry)
    };
    let entries = table.rows.iter().map(entry).collect::<Result<_, _>>()?;
    Ok(Labels::published(entries, Range::ACR, Direction::Higher))
}
