//! What a label file says of one image, before any scale is changed.

use std::fmt;

use super::naming::Name;
use super::{Direction, ParseError, Range};
use crate::Distortion;
use crate::manifest::Split;

/// Where in a label file something stands, counted from one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A line of a table or of JSON lines.
    Line(usize),
    /// An element of a JSON array.
    Item(usize),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Line(number) => write!(f, "line {number}"),
            Place::Item(number) => write!(f, "item {number}"),
        }
    }
}

/// One of several strengths of one distortion, in the dataset's own terms.
///
/// Whether labels fall as the level rises tells whether the label's direction was understood; for that the
/// distortion need not be one of our 25.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The dataset's name or number of the distortion.
    pub kind: String,
    /// 1 is the weakest.
    pub level: u8,
}

/// One image of a label file.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Where it stands, for messages.
    pub place: Place,
    /// The image as the file names it, perhaps with folders.
    pub image: String,
    /// What the image was made from; images that share it never part in a split. The image's own name
    /// where the dataset has no references.
    pub reference: String,
    /// The opinion on the dataset's scale.
    pub label: f64,
    /// Standard deviation of the opinions, on the scale that [`Labels::std_scale`] says.
    pub std: Option<f64>,
    /// The split that the dataset's authors gave it.
    pub split: Option<Split>,
    /// What was done to the image, where it is one of our 25 kinds. The level is the dataset's own.
    pub distortion: Option<Distortion>,
    /// See [`Step`].
    pub step: Option<Step>,
    /// Mean of the published votes, where there are any: 1 to 5, higher is better.
    pub mean_vote: Option<f64>,
}

impl Entry {
    /// An entry with what the image's name alone says (see [`Name`]).
    ///
    /// # Errors
    /// When there is no name or the label is not a finite number.
    pub(super) fn new(place: Place, image: &str, label: f64) -> Result<Self, ParseError> {
        let image = image.trim();
        if image.is_empty() {
            return Err(ParseError::Missing { place, what: "the image's name" });
        }
        if !label.is_finite() {
            return Err(ParseError::number(place, "the label", &label.to_string()));
        }
        let Name { reference, step, distortion } = Name::of(image);
        let image = image.to_owned();
        Ok(Self { place, image, reference, label, std: None, split: None, distortion, step, mean_vote: None })
    }

    /// The same with a standard deviation.
    ///
    /// # Errors
    /// When it is negative or not a number.
    pub(super) fn with_std(mut self, std: Option<f64>) -> Result<Self, ParseError> {
        if let Some(std) = std.filter(|std| !(std.is_finite() && *std >= 0.0)) {
            return Err(ParseError::number(self.place, "the standard deviation", &std.to_string()));
        }
        self.std = std;
        Ok(self)
    }
}

/// On which scale a file's standard deviations are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StdScale {
    /// On that of the labels, so that they shrink with it.
    #[default]
    Labels,
    /// On 1 to 5 already, whatever the labels are on.
    Acr,
}

/// What a label file holds, and what its format says of the scale.
#[derive(Clone, Debug, PartialEq)]
pub struct Labels {
    /// In the file's order; at least one.
    pub entries: Vec<Entry>,
    /// The range that the dataset's authors publish; without one the file's own extremes decide.
    pub range: Option<Range>,
    /// Whether a higher label is better; `None` where the format leaves it to the dataset.
    pub direction: Option<Direction>,
    /// See [`StdScale`].
    pub std_scale: StdScale,
}

impl Labels {
    /// Labels on a published scale.
    pub(super) fn published(entries: Vec<Entry>, range: Range, direction: Direction) -> Self {
        let (range, direction) = (Some(range), Some(direction));
        Self { entries, range, direction, std_scale: StdScale::Labels }
    }
}
