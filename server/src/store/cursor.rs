//! Positions in listings that can be sorted in several orders.

use std::fmt::Debug;

use uuid::Uuid;

/// The orders of a listing.
pub trait Order: Copy + Debug + PartialEq + 'static {
    /// All of them, with their names in cursors.
    const NAMES: &'static [(Self, &'static str)];
}

impl Order for qponder_shared::study::QueueSort {
    const NAMES: &'static [(Self, &'static str)] =
        &[(Self::Disagreement, "disagreement"), (Self::Confidence, "confidence"), (Self::Age, "age")];
}

/// A position: the sort key and the id of the last thing seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cursor<O> {
    /// The order that the position belongs to.
    pub order: O,
    /// By what it was placed; meaningless in the orders by time.
    pub key: f64,
    /// Breaks ties.
    pub id: Uuid,
}

impl<O: Order> Cursor<O> {
    /// Reads what [`Cursor::write`] wrote in the same order; `None` for anything else.
    pub fn read(text: &str, order: O) -> Option<Self> {
        let mut parts = text.splitn(3, '.');
        let name = parts.next()?;
        O::NAMES.iter().find(|(known, known_name)| *known == order && *known_name == name)?;
        let key = f64::from_bits(u64::from_str_radix(parts.next()?, 16).ok()?);
        let id = parts.next()?.parse().ok()?;
        key.is_finite().then_some(Self { order, key, id })
    }

    /// The cursor as text; the key keeps every bit, or things of equal key could be skipped.
    pub fn write(&self) -> String {
        let name = O::NAMES.iter().find(|(known, _)| *known == self.order).map_or("", |(_, name)| name);
        format!("{name}.{:x}.{}", self.key.to_bits(), self.id)
    }
}

#[cfg(test)]
mod tests {
    use qponder_shared::study::QueueSort;

    use super::*;

    #[test]
    fn a_cursor_reads_back_exactly_in_its_order_alone() {
        for (order, _) in QueueSort::NAMES {
            let cursor = Cursor { order: *order, key: 0.1 + 0.2, id: Uuid::now_v7() };
            for (other, _) in QueueSort::NAMES {
                let expected = Some(cursor).filter(|_| order == other);
                assert_eq!(Cursor::read(&cursor.write(), *other), expected);
            }
        }
    }

    #[test]
    fn other_text_is_no_cursor() {
        for text in [
            "",
            "age",
            "age.0",
            "age.0.x",
            "age.7ff8000000000000.018f0000-0000-7000-8000-000000000000",
            "odd.0.018f0000-0000-7000-8000-000000000000",
        ] {
            assert_eq!(Cursor::read(text, QueueSort::Age), None, "{text}");
        }
    }
}
