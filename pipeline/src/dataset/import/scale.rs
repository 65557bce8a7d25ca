//! The labels on 1 to 5, and where their scale was taken from.

use qponder_shared::dataset::{Direction, Entry, Labels, OutOfRange, Range, Scale, StdScale};

use super::ImportError;

/// Who said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The user.
    Given,
    /// The dataset's authors, as the format knows.
    Published,
    /// The extremes of the file.
    Extremes,
}

/// A scale with its origins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UsedScale {
    pub scale: Scale,
    pub range_from: Origin,
    pub direction_from: Origin,
}

/// A label on 1 to 5.
pub(super) struct Opinion {
    pub mos: f64,
    pub std: Option<f64>,
}

impl UsedScale {
    /// The scale of labels: what the user gave, or else what the format says, or else their extremes.
    pub(super) fn new(
        labels: &Labels,
        direction: Option<Direction>,
        range: Option<Range>,
    ) -> Result<Self, ImportError> {
        let (direction, direction_from) = match (direction, labels.direction) {
            (Some(given), _) => (given, Origin::Given),
            (None, Some(published)) => (published, Origin::Published),
            (None, None) => return Err(ImportError::NoDirection),
        };
        let (range, range_from) = match (range, labels.range) {
            (Some(given), _) => (given, Origin::Given),
            (None, Some(published)) => (published, Origin::Published),
            (None, None) => (Range::of(labels.entries.iter().map(|entry| entry.label))?, Origin::Extremes),
        };
        Ok(Self { scale: Scale { range, direction }, range_from, direction_from })
    }

    /// All labels on 1 to 5.
    pub(super) fn opinions(&self, labels: &Labels, ignore_std: bool) -> Result<Vec<Opinion>, ImportError> {
        let of_std = match labels.std_scale {
            StdScale::Labels => self.scale,
            StdScale::Acr => Scale { range: Range::ACR, ..self.scale },
        };
        let opinion = |entry: &Entry| -> Result<Opinion, OutOfRange> {
            let std = entry.std.filter(|_| !ignore_std).map(|std| of_std.std(std)).transpose()?;
            Ok(Opinion { mos: self.scale.label(entry.label)?, std })
        };
        let named = |entry: &Entry| {
            opinion(entry).map_err(|source| {
                let (place, image) = (entry.place, entry.image.clone());
                ImportError::Scale { place, image, source }
            })
        };
        labels.entries.iter().map(named).collect()
    }
}
