//! CSIQ (Larson and Chandler, 2010): the columns `image,dst_idx,dst_type,dst_lev,dmos_std,dmos` of the sheet
//! `all_by_image` of `csiq.DMOS.xlsx`, or that sheet as CSV or text with tabs.
//!
//! DMOS runs from 0 to 1 and lower is better. The table names no files; they are `1600.AWGN.1.png` for
//! image 1600, type `noise`, level 1, and so on.

use super::naming::{Name, csiq_step};
use super::table::{Record, Table};
use super::{Direction, Entry, Labels, ParseError, Range};

const RANGE: Range = Range::published(0.0, 1.0);
const EXPECTED_LEVEL: &str = "levels are 1 to 5, 1 is the weakest";
const EXPECTED_TYPE: &str = "known are noise, jpeg, jpeg 2000, fnoise, blur and contrast";

pub(super) fn parse(text: &str) -> Result<Labels, ParseError> {
    let table = Table::parse(text)?;
    let image = table.column(&["image"])?;
    let kind = table.column(&["dst_type"])?;
    let level = table.column(&["dst_lev"])?;
    let dmos = table.column(&["dmos"])?;
    let std = table.find(&["dmos_std"]);
    let entry = |row: &Record| {
        let (reference, written) = (row.text(image), row.text(kind));
        if reference.is_empty() {
            return Err(ParseError::Missing { place: row.place, what: "the reference's name" });
        }
        let number = row.number(level, "dst_lev")?;
        let known = (1_u8..=5).find(|level| f64::from(*level) == number);
        let level =
            known.ok_or_else(|| ParseError::value(row.place, "dst_lev", row.text(level), EXPECTED_LEVEL))?;
        let unknown = || ParseError::value(row.place, "dst_type", written, EXPECTED_TYPE);
        let Name { reference, step, distortion } =
            csiq_step(reference, written, level).ok_or_else(unknown)?;
        let step = step.ok_or_else(unknown)?;
        let file = format!("{reference}.{}.{level}.png", in_file_names(&step.kind));
        let entry = Entry::new(row.place, &file, row.number(dmos, "dmos")?)?;
        let entry = entry.with_std(row.number_if(std, "dmos_std")?)?;
        Ok(Entry { reference, step: Some(step), distortion, ..entry })
    };
    let entries = table.rows.iter().map(entry).collect::<Result<_, _>>()?;
    Ok(Labels::published(entries, RANGE, Direction::Lower))
}

/// How the files' names write a type.
fn in_file_names(kind: &str) -> &str {
    match kind {
        "noise" | "awgn" => "AWGN",
        "jpeg" => "JPEG",
        "blur" => "BLUR",
        other => other,
    }
}
