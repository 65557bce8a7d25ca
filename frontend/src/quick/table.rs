//! Photos as a table: their order, and the table as CSV.

use leptos::prelude::ReadUntracked as _;
use qponder_shared::Level;

use super::{Photo, PhotoState};

/// What the table is sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// As they came.
    #[default]
    Added,
    Name,
    Best,
    Worst,
}

impl Order {
    /// All, with what they are called.
    pub const ALL: [(Order, &str); 4] = [
        (Order::Added, "As added"),
        (Order::Worst, "Worst first"),
        (Order::Best, "Best first"),
        (Order::Name, "By name"),
    ];

    /// Sorts; photos without a score come last.
    pub fn sort(self, photos: &mut [Photo]) {
        let key = |photo: &Photo, sign: f64| photo.score().map_or(f64::INFINITY, |score| sign * score.get());
        match self {
            Order::Added => {}
            Order::Name => photos.sort_by(|a, b| a.name.cmp(&b.name)),
            Order::Best => photos.sort_by(|a, b| key(a, -1.0).total_cmp(&key(b, -1.0))),
            Order::Worst => photos.sort_by(|a, b| key(a, 1.0).total_cmp(&key(b, 1.0))),
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
