//! Meta files of pyiqa (`pyiqa/data/meta_info/meta_info_*.csv`).
//!
//! Columns differ between datasets: `ref_name` or `hq_name` where there are references, `dist_name`,
//! `img_name` or `Image name`; `mos`, `dmos` or `elo_score`; perhaps `std` and `split`. The label's name does
//! not tell its direction (that of KADID-10k is called `dmos` and higher is better), so the user must.

use super::koniq::split;
use super::naming::without_extension;
use super::table::{Record, Table};
use super::{Entry, Labels, ParseError, StdScale};

pub(super) fn parse(text: &str) -> Result<Labels, ParseError> {
    let table = Table::parse(text)?;
    let image = table.column(&["dist_name", "img_name", "Image name"])?;
    let label = table.column(&["mos", "dmos", "elo_score"])?;
    let reference = table.find(&["ref_name", "hq_name"]);
    let std = table.find(&["std"]);
    let set = table.find(&["split"]);
    // The meta file of KonIQ-10k has its authors' deviations, of votes from 1 to 5, beside MOS up to 100.
    let votes = ["c1", "c2", "c3", "c4", "c5"].iter().all(|vote| table.find(&[vote]).is_some());
    let entry = |row: &Record| {
        let entry = Entry::new(row.place, row.text(image), row.number(label, "the label")?)?;
        let mut entry = entry.with_std(row.number_if(std, "std")?)?;
        if let Some(reference) = reference.map(|column| row.text(column)).filter(|name| !name.is_empty()) {
            entry.reference = without_extension(reference).to_owned();
        }
        entry.split = set.map(|set| split(row, set)).transpose()?;
        Ok(entry)
    };
    let entries = table.rows.iter().map(entry).collect::<Result<_, _>>()?;
    let std_scale = if votes { StdScale::Acr } else { StdScale::Labels };
    Ok(Labels { entries, range: None, direction: None, std_scale })
}
