//! From labels to rows, before any image is looked for.

use qponder_shared::dataset::{Direction, Evidence, Labels, Place, Range, evidence, leaks};
use qponder_shared::manifest::{Label, Row};

use super::split;
use super::{Fractions, ImportError, UsedScale, UsedSplit};

/// How labels are understood.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reading {
    /// Instead of what the format says, or where it says nothing.
    pub direction: Option<Direction>,
    /// Instead of the published range, or where there is none.
    pub range: Option<Range>,
    /// Instead of the official split, or where there is none.
    pub split: Option<Fractions>,
    /// Decides the split where it is not the official one.
    pub seed: u64,
    /// Leave the standard deviations out.
    pub ignore_std: bool,
}

/// A row, and where it stands in the label file. Its image is what the label file calls it.
#[derive(Clone, Debug)]
pub struct Planned {
    pub place: Place,
    pub row: Row,
}

/// What a label file says.
#[derive(Clone, Debug)]
pub struct Plan {
    pub rows: Vec<Planned>,
    pub scale: UsedScale,
    pub evidence: Evidence,
    pub split: UsedSplit,
}

/// Brings labels to 1 to 5 and gives each image its split. `source` is the dataset's name.
///
/// # Errors
/// When labels do not fit their scale, go the other way than they should, or a reference would be in two
/// splits.
pub fn plan(labels: Labels, source: &str, reading: &Reading) -> Result<Plan, ImportError> {
    let scale = UsedScale::new(&labels, reading.direction, reading.range)?;
    let opinions = scale.opinions(&labels, reading.ignore_std)?;
    let scores: Vec<f64> = opinions.iter().map(|opinion| opinion.mos).collect();
    let evidence = evidence(&labels.entries, &scores, scale.scale.direction)?;
    let (used_split, splits) = split::assign(&labels.entries, reading.split, reading.seed);
    let references = labels.entries.iter().zip(&splits);
    let references = references.map(|(entry, split)| (&entry.reference, *split, entry.image.clone()));
    if let Some(leak) = leaks(references).first() {
        return Err(ImportError::Reference { reference: leak.key.clone(), bearers: leak.bearers() });
    }
    let rows =
        labels.entries.into_iter().zip(opinions).zip(splits).map(|((entry, opinion), split)| Planned {
            place: entry.place,
            row: Row {
                id: format!("{source}/{}", entry.image),
                label: Label::Mos(opinion.mos),
                mos_std: opinion.std,
                reference: format!("{source}/{}", entry.reference),
                distortions: entry.distortion.into_iter().collect(),
                split,
                source: source.to_owned(),
                metrics: None,
                answer: None,
                image: entry.image,
            },
        });
    Ok(Plan { rows: rows.collect(), scale, evidence, split: used_split })
}
