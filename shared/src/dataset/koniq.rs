//! KonIQ-10k (Hosu et al., 2020), in the two files that its authors publish.
//!
//! * `koniq10k_distributions_sets.csv`: `image_name,c1..c5,c_total,MOS,SD,set` with MOS from 1 to 100 and
//!   the official split.
//! * `koniq10k_scores_and_distributions.csv`: `image_name,c1..c5,c_total,MOS,SD,MOS_zscore` with MOS from
//!   1 to 5 and no split.
//!
//! `SD` is that of votes from 1 to 5 in both. The vote shares `c1` to `c5` show which way MOS runs.

use super::table::{Record, Table};
use super::{Direction, Entry, Labels, ParseError, Range, StdScale};
use crate::manifest::Split;

const SETS: Range = Range::published(1.0, 100.0);
const EXPECTED_SPLIT: &str = "known are training, validation and test";

pub(super) fn parse(text: &str) -> Result<Labels, ParseError> {
    let table = Table::parse(text)?;
    let image = table.column(&["image_name"])?;
    let mos = table.column(&["MOS"])?;
    let std = table.find(&["SD"]);
    let set = table.find(&["set"]);
    let votes = [
        table.column(&["c1"])?,
        table.column(&["c2"])?,
        table.column(&["c3"])?,
        table.column(&["c4"])?,
        table.column(&["c5"])?,
    ];
    let entry = |row: &Record| {
        let entry = Entry::new(row.place, row.text(image), row.number(mos, "MOS")?)?;
        let mut entry = entry.with_std(row.number_if(std, "SD")?)?;
        entry.split = set.map(|set| split(row, set)).transpose()?;
        entry.mean_vote = mean_vote(row, votes)?;
        Ok(entry)
    };
    let entries = table.rows.iter().map(entry).collect::<Result<_, _>>()?;
    let range = if table.find(&["MOS_zscore"]).is_some() { Range::ACR } else { SETS };
    let std_scale = StdScale::Acr;
    Ok(Labels { std_scale, ..Labels::published(entries, range, Direction::Higher) })
}

/// The split that a cell names: `training`, `validation` and `test`, or our own words.
pub(super) fn split(row: &Record, column: usize) -> Result<Split, ParseError> {
    match row.text(column).to_ascii_lowercase().as_str() {
        "training" | "train" => Ok(Split::Train),
        "validation" | "val" => Ok(Split::Val),
        "test" => Ok(Split::Test),
        other => Err(ParseError::value(row.place, "the split", other, EXPECTED_SPLIT)),
    }
}

fn mean_vote(row: &Record, votes: [usize; 5]) -> Result<Option<f64>, ParseError> {
    let (mut sum, mut weighted) = (0.0, 0.0);
    for (vote, column) in (1_u8..).zip(votes) {
        let share = row.number(column, "the share of a vote")?;
        sum += share;
        weighted += share * f64::from(vote);
    }
    Ok((sum > 0.0).then(|| weighted / sum))
}
