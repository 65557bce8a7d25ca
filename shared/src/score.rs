//! The ACR scale: scores from 1.00 to 5.00 and the five level words.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A quality score on the ACR scale, 1.00 (bad) to 5.00 (excellent); higher is better.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(try_from = "f64", into = "f64")]
pub struct Score(f64);

/// A number that is no score.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("score {0} is outside 1.00 to 5.00")]
pub struct OutOfScale(pub f64);

impl Score {
    /// The worst score.
    pub const MIN: Score = Score(1.0);
    /// The best score.
    pub const MAX: Score = Score(5.0);

    /// A score from a number in `1.0..=5.0`.
    ///
    /// # Errors
    /// When the number is outside the scale or not a number.
    pub fn new(value: f64) -> Result<Self, OutOfScale> {
        if (1.0..=5.0).contains(&value) { Ok(Self(value)) } else { Err(OutOfScale(value)) }
    }

    /// The nearest score to `value`; `None` when it is not a number.
    #[must_use]
    pub fn clamped(value: f64) -> Option<Self> {
        (!value.is_nan()).then(|| Self(value.clamp(1.0, 5.0)))
    }

    /// The score as a number, `1.0..=5.0`.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }

    /// The level word nearest to this score.
    #[must_use]
    pub fn level(self) -> Level {
        Level::ALL[(self.0.round() as usize).clamp(1, 5) - 1]
    }
}

impl TryFrom<f64> for Score {
    type Error = OutOfScale;

    fn try_from(value: f64) -> Result<Self, OutOfScale> {
        Self::new(value)
    }
}

impl From<Score> for f64 {
    fn from(score: Score) -> f64 {
        score.0
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2}", self.0)
    }
}

/// The five words of the ACR scale (ITU-T P.910), worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Bad,
    Poor,
    Fair,
    Good,
    Excellent,
}

impl Level {
    /// All levels, worst first; the index plus one is the score of the level.
    pub const ALL: [Level; 5] = [Level::Bad, Level::Poor, Level::Fair, Level::Good, Level::Excellent];

    /// The word of the response grammar.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Level::Bad => "bad",
            Level::Poor => "poor",
            Level::Fair => "fair",
            Level::Good => "good",
            Level::Excellent => "excellent",
        }
    }

    /// 1 for bad to 5 for excellent.
    #[must_use]
    pub fn value(self) -> f64 {
        self as usize as f64 + 1.0
    }

    /// The expectation of the score over the five levels' probabilities, worst first, as Q-Align
    /// defines it. The probabilities need not sum to one; `None` when they sum to nothing.
    #[must_use]
    pub fn expectation(probabilities: [f64; 5]) -> Option<Score> {
        let total: f64 = probabilities.iter().sum();
        let weighted: f64 = Level::ALL.iter().zip(probabilities).map(|(level, p)| level.value() * p).sum();
        if total > 0.0 { Score::clamped(weighted / total) } else { None }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Level {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Level::ALL.into_iter().find(|level| level.word().eq_ignore_ascii_case(text)).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_outside_the_scale_are_refused() {
        for value in [0.99, 5.01, f64::NAN, f64::INFINITY] {
            assert!(Score::new(value).is_err(), "{value}");
        }
        assert_eq!(Score::new(2.414).map(|s| s.to_string()), Ok("2.41".to_owned()));
    }

    #[test]
    fn expectation_is_the_weighted_mean_of_the_levels() {
        assert_eq!(Level::expectation([0.0, 0.0, 0.0, 0.5, 0.5]).map(Score::get), Some(4.5));
        assert_eq!(Level::expectation([2.0, 0.0, 0.0, 0.0, 2.0]).map(Score::get), Some(3.0));
        assert_eq!(Level::expectation([0.0; 5]), None);
    }

    #[test]
    fn the_level_is_the_nearest_word() {
        for (value, level) in
            [(1.0, Level::Bad), (1.49, Level::Bad), (2.6, Level::Fair), (4.5, Level::Excellent)]
        {
            assert_eq!(Score::new(value).map(Score::level), Ok(level), "{value}");
        }
    }
}
