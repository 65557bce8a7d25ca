//! What manifests hold, counted.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::manifest::{Label, Row, Split};

/// Bins of the histogram: 0.5 wide from 1 to 5.
const BINS: usize = 8;

/// Counts over rows.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Counts {
    pub images: usize,
    /// Different references.
    pub references: usize,
    /// Rows with a teacher's answer.
    pub answers: usize,
    /// Rows labelled by people.
    pub mos: usize,
    /// Rows labelled from their reference.
    pub proxy: usize,
    /// Rows by source, then by split.
    pub sources: BTreeMap<String, BTreeMap<&'static str, usize>>,
    /// Rows by split.
    pub splits: BTreeMap<&'static str, usize>,
    /// Rows by distortion, then by level, the weakest first. A row with several counts in each.
    pub distortions: BTreeMap<&'static str, [usize; 5]>,
    /// Rows that list no distortion.
    pub without_distortion: usize,
    /// Labels in bins 0.5 wide; the first begins at 1, the last includes 5.
    pub histogram: [usize; BINS],
    /// Labels outside 1 to 5, which a sound manifest has none of.
    pub outside: usize,
}

impl Counts {
    /// Counts rows.
    #[must_use]
    pub fn of<'a>(rows: impl IntoIterator<Item = &'a Row>) -> Self {
        let mut counts = Self::default();
        for split in [Split::Train, Split::Val, Split::Test] {
            counts.splits.insert(split.name(), 0);
        }
        let mut references = BTreeSet::new();
        for row in rows {
            counts.add(row);
            references.insert(&row.reference);
        }
        counts.references = references.len();
        counts
    }

    fn add(&mut self, row: &Row) {
        let split = row.split.name();
        self.images += 1;
        self.answers += usize::from(row.answer.is_some());
        match row.label {
            Label::Mos(_) => self.mos += 1,
            Label::Proxy(_) => self.proxy += 1,
        }
        *self.splits.entry(split).or_default() += 1;
        *self.sources.entry(row.source.clone()).or_default().entry(split).or_default() += 1;
        for distortion in &row.distortions {
            self.distortions.entry(distortion.kind.name()).or_default()[distortion.level.index()] += 1;
        }
        self.without_distortion += usize::from(row.distortions.is_empty());
        match bin(row.label.value()) {
            Some(bin) => self.histogram[bin] += 1,
            None => self.outside += 1,
        }
    }

    /// The bins with their lower ends.
    pub fn bins(&self) -> impl Iterator<Item = (f64, usize)> {
        self.histogram.iter().enumerate().map(|(bin, count)| (1.0 + 0.5 * bin as f64, *count))
    }
}

fn bin(label: f64) -> Option<usize> {
    (1.0..=5.0).contains(&label).then(|| (((label - 1.0) * 2.0) as usize).min(BINS - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_are_half_a_level_wide_and_the_last_is_closed() {
        for (label, expected) in
            [(1.0, Some(0)), (1.49, Some(0)), (1.5, Some(1)), (4.99, Some(7)), (5.0, Some(7)), (5.01, None)]
        {
            assert_eq!(bin(label), expected, "{label}");
        }
        assert_eq!(bin(f64::NAN), None);
    }
}
