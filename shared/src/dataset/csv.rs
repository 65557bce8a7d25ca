//! Any table of labels: a column for the image, one for its label, perhaps deviations and a split.
//!
//! Labels are taken to be MOS from 1 to 5 unless something else is said, so that a file on another scale is
//! refused rather than squeezed.

use super::table::{Record, Table};
use super::{Direction, Entry, Labels, ParseError, Range};
use crate::manifest::Split;

const IMAGE: [&str; 7] = ["image", "image_name", "img_name", "filename", "file", "name", "img"];
const LABEL: [&str; 5] = ["mos", "label", "score", "gt_score", "opinion"];
const STD: [&str; 4] = ["std", "sd", "mos_std", "deviation"];
const REFERENCE: [&str; 3] = ["reference", "ref", "ref_image"];

pub(super) fn parse(text: &str) -> Result<Labels, ParseError> {
    let table = Table::parse(text)?;
    // The hash names an image better than any name does.
    let image = table.find(&["sha256"]).map_or_else(|| table.column(&IMAGE), Ok)?;
    let mos = table.only_column(&LABEL)?;
    let (std, reference, split) = (table.find(&STD), table.find(&REFERENCE), table.find(&["split"]));
    let entry = |row: &Record| {
        let mut entry = Entry::new(row.place, row.text(image), row.number(mos, "the label")?)?;
        if let Some(reference) = reference.map(|column| row.text(column)).filter(|text| !text.is_empty()) {
            entry.reference = reference.to_owned();
        }
        entry.split = split.map(|column| read_split(row, row.text(column))).transpose()?;
        let is_given = |column: &usize| !row.text(*column).is_empty();
        entry.with_std(row.number_if(std.filter(is_given), "the standard deviation")?)
    };
    let entries = table.rows.iter().map(entry).collect::<Result<_, _>>()?;
    Ok(Labels::published(entries, Range::ACR, Direction::Higher))
}

fn read_split(row: &Record, text: &str) -> Result<Split, ParseError> {
    match text.to_ascii_lowercase().as_str() {
        "train" | "training" => Ok(Split::Train),
        "val" | "validation" => Ok(Split::Val),
        "test" => Ok(Split::Test),
        _ => Err(ParseError::value(row.place, "the split", text, "it must be train, val or test")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_have_many_names_and_some_may_be_missing() {
        let labels = parse("Name;MOS;SD;Split\na.png;3,5;;\n");
        assert!(labels.is_err(), "a decimal comma is no number");
        let labels = parse("filename,score,sd,split\na.png,3.5,0.5,val\nb.png,2,,train\n").expect("a table");
        let rows: Vec<_> =
            labels.entries.iter().map(|e| (e.image.as_str(), e.label, e.std, e.split)).collect();
        assert_eq!(
            rows,
            [("a.png", 3.5, Some(0.5), Some(Split::Val)), ("b.png", 2.0, None, Some(Split::Train))]
        );
        assert_eq!((labels.range, labels.direction), (Some(Range::ACR), Some(Direction::Higher)));
        let error = parse("image,label,mos\na.png,1,3.5\n").expect_err("two labels").to_string();
        assert!(error.contains("both columns `label` and `mos`"), "{error}");
        let error = parse("image,mos,split\na.png,3,dev\n").expect_err("a split").to_string();
        assert!(error.contains("train, val or test"), "{error}");
    }
}
