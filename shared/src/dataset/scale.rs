//! From a dataset's scale to 1–5, higher is better.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Decimals that are kept of a label: what rounding in floating point would add is no opinion.
const DECIMALS: f64 = 1e6;

/// Whether a higher label says better quality (MOS) or worse (DMOS).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Higher is better, as MOS is.
    Higher,
    /// Lower is better, as DMOS is.
    Lower,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Direction::Higher => "higher is better",
            Direction::Lower => "lower is better",
        })
    }
}

/// The two ends of a dataset's scale.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Range {
    low: f64,
    high: f64,
}

/// Two numbers that are no range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no range: write the lowest and the highest label, such as 0,100")]
pub struct NoRange(pub String);

impl Range {
    /// 1 to 5, on which nothing needs to be changed.
    pub const ACR: Range = Range { low: 1.0, high: 5.0 };

    /// A range known to be one; for the published ones.
    pub(super) const fn published(low: f64, high: f64) -> Self {
        Self { low, high }
    }

    /// A range of two finite numbers, the lower first.
    ///
    /// # Errors
    /// When they are not that.
    pub fn new(low: f64, high: f64) -> Result<Self, NoRange> {
        let valid = (high - low).is_finite() && low < high;
        if valid { Ok(Self { low, high }) } else { Err(NoRange(format!("{low},{high}"))) }
    }

    /// The extremes of some numbers.
    ///
    /// # Errors
    /// When they are fewer than two different ones.
    pub fn of(numbers: impl IntoIterator<Item = f64>) -> Result<Self, NoRange> {
        let ends = |(low, high): (f64, f64), number: f64| (low.min(number), high.max(number));
        let (low, high) = numbers.into_iter().fold((f64::INFINITY, f64::NEG_INFINITY), ends);
        Self::new(low, high)
    }

    /// Lowest label.
    #[must_use]
    pub fn low(self) -> f64 {
        self.low
    }

    /// Highest label.
    #[must_use]
    pub fn high(self) -> f64 {
        self.high
    }

    fn width(self) -> f64 {
        self.high - self.low
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.low, self.high)
    }
}

impl FromStr for Range {
    type Err = NoRange;

    /// `LOW,HIGH`.
    fn from_str(text: &str) -> Result<Self, NoRange> {
        let refused = || NoRange(text.to_owned());
        let (low, high) = text.split_once(',').ok_or_else(refused)?;
        let number = |text: &str| text.trim().parse().map_err(|_| refused());
        Self::new(number(low)?, number(high)?).map_err(|_| refused())
    }
}

/// A number that a scale has no place for.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum OutOfRange {
    #[error("the label {label} is outside {range}: give the true ends with --range LOW,HIGH")]
    Label { label: f64, range: Range },
    #[error(
        "the standard deviation {std} is larger than a scale from {range} allows, so it is on another one: leave \
         it out with --ignore-std"
    )]
    Std { std: f64, range: Range },
}

/// A dataset's scale.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Scale {
    pub range: Range,
    pub direction: Direction,
}

impl Scale {
    /// The label on 1 to 5, higher is better: linear between the ends of the range, reversed for DMOS.
    ///
    /// # Errors
    /// When it is outside the range.
    pub fn label(self, label: f64) -> Result<f64, OutOfRange> {
        let Scale { range, direction } = self;
        if !(range.low..=range.high).contains(&label) {
            return Err(OutOfRange::Label { label, range });
        }
        let share = match direction {
            Direction::Higher => (label - range.low) / range.width(),
            Direction::Lower => (range.high - label) / range.width(),
        };
        Ok(rounded(1.0 + 4.0 * share).clamp(1.0, 5.0))
    }

    /// A standard deviation on this scale, on 1 to 5.
    ///
    /// # Errors
    /// When it is wider than the whole range, which no set of votes can be.
    pub fn std(self, std: f64) -> Result<f64, OutOfRange> {
        if std > self.range.width() {
            return Err(OutOfRange::Std { std, range: self.range });
        }
        Ok(rounded(4.0 * std / self.range.width()))
    }
}

fn rounded(value: f64) -> f64 {
    (value * DECIMALS).round() / DECIMALS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_deviations_move_to_one_to_five() {
        for (range, direction, label, expected) in [
            (Range::ACR, Direction::Higher, 4.57, 4.57),
            (Range::published(0.0, 100.0), Direction::Higher, 0.0, 1.0),
            (Range::published(0.0, 100.0), Direction::Higher, 62.5, 3.5),
            (Range::published(0.0, 1.0), Direction::Lower, 0.0, 5.0),
            (Range::published(0.0, 1.0), Direction::Lower, 0.25, 4.0),
        ] {
            assert_eq!(Scale { range, direction }.label(label), Ok(expected), "{label} on {range}");
        }
        let percent = Scale { range: Range::published(0.0, 100.0), direction: Direction::Lower };
        assert_eq!(percent.std(20.0), Ok(0.8));
        assert!(
            percent.label(100.5).is_err_and(|error| error.to_string().contains("100.5 is outside 0 to 100"))
        );
        assert!(percent.std(101.0).is_err());
    }

    #[test]
    fn ranges_have_two_ends() {
        assert_eq!("0, 100".parse(), Ok(Range::published(0.0, 100.0)));
        for text in ["", "1", "5,1", "1,1", "a,b", "NaN,1", "0,inf"] {
            assert!(text.parse::<Range>().is_err(), "{text}");
        }
        assert_eq!(Range::of([2.0, -1.0, 3.0]), Ok(Range::published(-1.0, 3.0)));
        assert!(Range::of([2.0, 2.0]).is_err() && Range::of([]).is_err());
    }
}
