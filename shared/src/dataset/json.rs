//! JSON lists of images: DeQA-Score, Q-Insight (which trains on DeQA-Score's files) and Q-Align.
//!
//! An element is an object with `image` or `img_path` and `gt_score`; DeQA-Score adds `gt_score_norm`, the
//! label on 1 to 5, with `std` and perhaps `std_norm`. Conversations in it are templates around a level
//! word and say nothing more, so they are not read. References come from the names (see
//! [`super::naming`]).

use serde_json::{Map, Value, json};

use crate::manifest::Row;

use super::{Direction, Entry, Labels, ParseError, Place, Range, StdScale};

/// An object of the list and where it stands.
type Item = (Place, Map<String, Value>);

/// DeQA-Score: labels on 1 to 5, whose direction its authors have already turned.
pub(super) fn deqa(text: &str) -> Result<Labels, ParseError> {
    let items = items(text)?;
    let factor = std_factor(&items);
    let entry = |(place, item): &Item| {
        let entry = Entry::new(*place, image(*place, item)?, required(*place, item, "gt_score_norm")?)?;
        let std = match (optional(*place, item, "std_norm")?, optional(*place, item, "std")?, factor) {
            (Some(norm), ..) => Some(norm),
            (None, Some(std), Some(factor)) => Some(std * factor),
            (None, Some(_), None) => {
                return Err(ParseError::Missing {
                    place: *place,
                    what: "`gt_score`, which the scale of `std` needs,",
                });
            }
            (None, None, _) => None,
        };
        entry.with_std(std)
    };
    let entries = items.iter().map(entry).collect::<Result<_, _>>()?;
    Ok(Labels::published(entries, Range::ACR, Direction::Higher))
}

/// A row as an element of DeQA-Score's lists. Its conversations are templates that its trainer makes, so there
/// are none.
#[must_use]
pub fn deqa_item(row: &Row) -> Value {
    let (label, std) = (row.label.value(), row.mos_std);
    json!({
        "id": row.id, "image": row.image, "gt_score": label, "gt_score_norm": label,
        "std": std, "std_norm": std, "split": row.split,
    })
}

/// Q-Align: labels as the dataset has them; DMOS for some.
pub(super) fn q_align(text: &str) -> Result<Labels, ParseError> {
    let entry = |(place, item): &Item| {
        let entry = Entry::new(*place, image(*place, item)?, required(*place, item, "gt_score")?)?;
        entry.with_std(optional(*place, item, "std")?)
    };
    let entries = items(text)?.iter().map(entry).collect::<Result<_, _>>()?;
    Ok(Labels { entries, range: None, direction: None, std_scale: StdScale::Labels })
}

/// What makes a `std` one on 1 to 5: how far `gt_score_norm` moves for each unit of `gt_score`.
fn std_factor(items: &[Item]) -> Option<f64> {
    let number = |item: &Map<String, Value>, key| item.get(key).and_then(Value::as_f64);
    let pairs = items.iter().filter_map(|(_, i)| Some((number(i, "gt_score")?, number(i, "gt_score_norm")?)));
    let pairs: Vec<_> = pairs.collect();
    let low = pairs.iter().min_by(|a, b| a.0.total_cmp(&b.0))?;
    let high = pairs.iter().max_by(|a, b| a.0.total_cmp(&b.0))?;
    let factor = ((high.1 - low.1) / (high.0 - low.0)).abs();
    factor.is_finite().then_some(factor)
}

fn items(text: &str) -> Result<Vec<Item>, ParseError> {
    let text = text.trim_start_matches('\u{feff}');
    let items: Vec<Map<String, Value>> =
        serde_json::from_str(text).map_err(|error| ParseError::Json { reason: error.to_string() })?;
    Ok((1..).map(Place::Item).zip(items).collect())
}

fn image(place: Place, item: &Map<String, Value>) -> Result<&str, ParseError> {
    let name = ["image", "img_path"].into_iter().find_map(|key| item.get(key)?.as_str());
    name.ok_or(ParseError::Missing { place, what: "the text `image` or `img_path`" })
}

fn required(place: Place, item: &Map<String, Value>, key: &'static str) -> Result<f64, ParseError> {
    optional(place, item, key)?.ok_or(ParseError::Missing { place, what: key })
}

/// The number under a key. Some files write numbers as text.
fn optional(place: Place, item: &Map<String, Value>, key: &'static str) -> Result<Option<f64>, ParseError> {
    number(place, key, item.get(key).unwrap_or(&Value::Null))
}

/// A number, or text that is one; `None` for null.
pub(super) fn number(place: Place, what: &'static str, value: &Value) -> Result<Option<f64>, ParseError> {
    let found = match value {
        Value::Null => return Ok(None),
        Value::String(text) => text.trim().parse().ok(),
        other => other.as_f64(),
    };
    found.map(Some).ok_or_else(|| ParseError::number(place, what, &value.to_string()))
}
