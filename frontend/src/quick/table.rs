//! Photos as a table: their order, and the table as CSV.

use std::cmp::Ordering;

use leptos::prelude::{Read as _, ReadUntracked as _};
use qponder_shared::Level;

use super::{Photo, PhotoState};

/// A column that the table can be sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    Photo,
    Score,
    Pixels,
    Time,
}

impl Column {
    /// All, with what they are called.
    pub const ALL: [(Column, &str); 4] = [
        (Column::Photo, "Photo"),
        (Column::Score, "Score"),
        (Column::Pixels, "Pixels"),
        (Column::Time, "Time"),
    ];

    /// The number in this column; `None` where there is none yet, and of names.
    fn number(self, photo: &Photo) -> Option<f64> {
        let state = photo.state.read();
        let PhotoState::Scored(scored) = &*state else { return None };
        match self {
            Column::Photo => None,
            Column::Score => Level::expectation(scored.probabilities).map(|score| score.get()),
            Column::Pixels => Some(scored.width as f64 * scored.height as f64),
            Column::Time => Some(scored.ms),
        }
    }
}

/// What the table is sorted by: as the photos came, or by a column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Order {
    by: Option<Column>,
    is_descending: bool,
}

impl Order {
    /// After the heading of a column was pressed: upwards, then downwards, then as they came.
    #[must_use]
    pub fn pressed(self, column: Column) -> Self {
        match self {
            Order { by: Some(by), is_descending } if by == column => {
                Order { by: Some(column).filter(|_| !is_descending), is_descending: !is_descending }
            }
            _ => Order { by: Some(column), is_descending: false },
        }
    }

    /// The value of `aria-sort` of a column's heading.
    #[must_use]
    pub fn aria(self, column: Column) -> &'static str {
        match self {
            Order { by: Some(by), is_descending } if by == column => {
                if is_descending {
                    "descending"
                } else {
                    "ascending"
                }
            }
            _ => "none",
        }
    }

    /// Sorts; photos that have nothing in the column come last.
    pub fn sort(self, photos: &mut [Photo]) {
        let turned = |order: Ordering| if self.is_descending { order.reverse() } else { order };
        match self.by {
            None => {}
            Some(Column::Photo) => photos.sort_by(|a, b| turned(a.name.cmp(&b.name))),
            Some(column) => {
                let sign = if self.is_descending { -1.0 } else { 1.0 };
                let mut keyed: Vec<(f64, Photo)> = photos
                    .iter()
                    .map(|photo| (column.number(photo).map_or(f64::INFINITY, |n| sign * n), photo.clone()))
                    .collect();
                keyed.sort_by(|(a, _), (b, _)| a.total_cmp(b));
                photos.iter_mut().zip(keyed).for_each(|(place, (_, photo))| *place = photo);
            }
        }
    }
}

/// A line for each photo, those without a score with the reason.
pub fn csv(photos: &[Photo]) -> String {
    let mut lines = String::from("file,score,level");
    Level::ALL.iter().for_each(|level| lines.push_str(&format!(",p_{}", level.word())));
    lines.push_str(",width,height,milliseconds,error\r\n");
    for photo in photos {
        let name = quoted(&photo.name);
        match &*photo.state.read_untracked() {
            PhotoState::Scored(scored) => {
                let score = Level::expectation(scored.probabilities);
                let number = score.map(|score| format!("{:.4}", score.get())).unwrap_or_default();
                let word = score.map_or("", |score| score.level().word());
                lines.push_str(&format!("{name},{number},{word}"));
                scored.probabilities.iter().for_each(|p| lines.push_str(&format!(",{p:.6}")));
                lines.push_str(&format!(",{},{},{:.0},\r\n", scored.width, scored.height, scored.ms));
            }
            PhotoState::Failed(reason) => lines.push_str(&format!("{name},,,,,,,,,,,{}\r\n", quoted(reason))),
            PhotoState::Waiting | PhotoState::Working => {
                lines.push_str(&format!("{name},,,,,,,,,,,not scored yet\r\n"));
            }
        }
    }
    lines
}

/// A field that programs for tables read as text: quoted, and never a formula.
fn quoted(text: &str) -> String {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    format!("\"{}{}\"", if is_formula { "'" } else { "" }, text.replace('"', "\"\""))
}
