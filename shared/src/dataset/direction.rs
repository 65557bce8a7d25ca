//! Whether the direction of labels was understood, asked of the labels themselves.

use std::collections::HashMap;

use super::{Direction, Entry};
use crate::stats;

/// What speaks for the direction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Evidence {
    /// Nothing in the file can tell.
    None,
    /// Pairs of images of one reference and one kind of distortion but of different levels: in how many
    /// the stronger one has the lower label, and in how many the higher.
    ///
    /// Opinions are noisy and some kinds (KADID-10k's mean shift and contrast change) are not ordered by
    /// strength, so single pairs may rise; most must not.
    Levels { falling: usize, rising: usize },
    /// SRCC of the labels with the mean of the published votes.
    Votes { srcc: f64 },
}

/// The labels run the other way.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum UpsideDown {
    #[error(
        "read as \"{direction}\", quality rises with the level of distortion in {rising} pairs of images and \
         falls in {falling}: the direction is the other one, or the file is no such dataset"
    )]
    Levels { direction: Direction, falling: usize, rising: usize },
    #[error(
        "read as \"{direction}\", labels and published votes disagree (SRCC {srcc:.2}): the file is damaged"
    )]
    Votes { direction: Direction, srcc: f64 },
}

/// Compares labels, already on 1 to 5, with what else is known of their images.
///
/// # Errors
/// When most of it contradicts the direction.
pub fn evidence(entries: &[Entry], labels: &[f64], direction: Direction) -> Result<Evidence, UpsideDown> {
    let known = entries.iter().zip(labels);
    let votes: Option<Vec<f64>> = entries.iter().map(|entry| entry.mean_vote).collect();
    if let Some(srcc) = votes.and_then(|votes| stats::srcc(&votes, labels)) {
        return if srcc < 0.0 {
            Err(UpsideDown::Votes { direction, srcc })
        } else {
            Ok(Evidence::Votes { srcc })
        };
    }
    let mut series: HashMap<(&str, &str), Vec<(u8, f64)>> = HashMap::new();
    for (entry, label) in known {
        if let Some(step) = &entry.step {
            series.entry((&entry.reference, &step.kind)).or_default().push((step.level, *label));
        }
    }
    let (mut falling, mut rising) = (0, 0);
    for steps in series.values() {
        for (index, (level, label)) in steps.iter().enumerate() {
            for (other_level, other_label) in &steps[index + 1..] {
                let stronger = f64::from(*level) - f64::from(*other_level);
                let better = label - other_label;
                falling += usize::from(stronger * better < 0.0);
                rising += usize::from(stronger * better > 0.0);
            }
        }
    }
    match (falling, rising) {
        (0, 0) => Ok(Evidence::None),
        _ if rising > falling => Err(UpsideDown::Levels { direction, falling, rising }),
        _ => Ok(Evidence::Levels { falling, rising }),
    }
}
