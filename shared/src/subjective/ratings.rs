//! Votes, checked once so that the statistics need not check again, and where to find an item's or a
//! subject's.

use serde::{Deserialize, Serialize};

/// One vote. Several by one subject on one item are repeats; a vote that is missing is simply absent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Rating {
    /// Index into the caller's list of items.
    pub item: usize,
    /// Index into the caller's list of subjects.
    pub subject: usize,
    /// On the study's scale; higher is better.
    pub score: f64,
}

/// The ends of the scale that votes are given on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Scale {
    /// The worst vote.
    pub low: f64,
    /// The best vote.
    pub high: f64,
}

impl Scale {
    /// Absolute category rating of ITU-T P.910: bad 1 to excellent 5.
    pub const ACR: Self = Self { low: 1.0, high: 5.0 };
}

impl Default for Scale {
    fn default() -> Self {
        Self::ACR
    }
}

/// Votes that no statistic can be made of.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum BadRating {
    #[error(
        "the scale goes from {low} to {high}; its low end must be below its high end, and both within ±1e6"
    )]
    Scale { low: f64, high: f64 },
    #[error("rating {at} names item {item}, but there are {items} items; count from 0")]
    Item { at: usize, item: usize, items: usize },
    #[error("rating {at} names subject {subject}, but there are {subjects} subjects; count from 0")]
    Subject { at: usize, subject: usize, subjects: usize },
    #[error("rating {at} is {score}; the scale goes from {low} to {high}")]
    Score { at: usize, score: f64, low: f64, high: f64 },
}

/// Votes whose indices are in range and whose scores are on the scale, in the order they were given.
#[derive(Clone, Debug, PartialEq)]
pub struct Ratings {
    list: Vec<Rating>,
    scale: Scale,
    by_item: Groups,
    by_subject: Groups,
}

impl Ratings {
    /// Takes the votes on `items` items by `subjects` subjects.
    ///
    /// # Errors
    /// Names the first rating that is out of range, or a scale without extent.
    pub fn new(list: Vec<Rating>, items: usize, subjects: usize, scale: Scale) -> Result<Self, BadRating> {
        let Scale { low, high } = scale;
        let sound = low < high && low.abs() <= 1e6 && high.abs() <= 1e6;
        if !sound {
            return Err(BadRating::Scale { low, high });
        }
        for (at, &Rating { item, subject, score }) in list.iter().enumerate() {
            if item >= items {
                return Err(BadRating::Item { at, item, items });
            }
            if subject >= subjects {
                return Err(BadRating::Subject { at, subject, subjects });
            }
            if !(low..=high).contains(&score) {
                return Err(BadRating::Score { at, score, low, high });
            }
        }
        Ok(Self::index(list, items, subjects, scale))
    }

    fn index(list: Vec<Rating>, items: usize, subjects: usize, scale: Scale) -> Self {
        let by_item = Groups::new(items, list.iter().map(|rating| rating.item));
        let by_subject = Groups::new(subjects, list.iter().map(|rating| rating.subject));
        Self { list, scale, by_item, by_subject }
    }

    /// The same study without the votes of some subjects; indices stay as they are.
    #[must_use]
    pub fn without(&self, left_out: impl Fn(usize) -> bool) -> Self {
        let list = self.list.iter().filter(|rating| !left_out(rating.subject)).copied().collect();
        Self::index(list, self.items(), self.subjects(), self.scale)
    }

    /// Every vote, in the order given.
    #[must_use]
    pub fn all(&self) -> &[Rating] {
        &self.list
    }

    #[must_use]
    pub fn scale(&self) -> Scale {
        self.scale
    }

    /// Number of items, those without a vote included.
    #[must_use]
    pub fn items(&self) -> usize {
        self.by_item.len()
    }

    /// Number of subjects, those without a vote included.
    #[must_use]
    pub fn subjects(&self) -> usize {
        self.by_subject.len()
    }

    /// An item's votes, in the order given.
    pub fn of_item(&self, item: usize) -> impl ExactSizeIterator<Item = Rating> + Clone + '_ {
        self.by_item.members(item).iter().map(|&at| self.list[at])
    }

    /// A subject's votes, in the order given.
    pub fn of_subject(&self, subject: usize) -> impl ExactSizeIterator<Item = Rating> + Clone + '_ {
        self.by_subject.members(subject).iter().map(|&at| self.list[at])
    }

    /// A subject's items with the mean of the votes on each, by item.
    #[must_use]
    pub fn means_of_subject(&self, subject: usize) -> Vec<(usize, f64)> {
        let mut votes: Vec<(usize, f64)> = self.of_subject(subject).map(|r| (r.item, r.score)).collect();
        votes.sort_by_key(|vote| vote.0);
        let mean = |votes: &[(usize, f64)]| {
            (votes[0].0, votes.iter().map(|vote| vote.1).sum::<f64>() / votes.len() as f64)
        };
        votes.chunk_by(|a, b| a.0 == b.0).map(mean).collect()
    }
}

/// Positions in a list, grouped by a key below a known bound.
#[derive(Clone, Debug, PartialEq)]
struct Groups {
    /// `starts[key]..starts[key + 1]` is a key's range in `positions`.
    starts: Vec<usize>,
    positions: Vec<usize>,
}

impl Groups {
    fn new(bound: usize, keys: impl ExactSizeIterator<Item = usize> + Clone) -> Self {
        let mut starts = vec![0; bound + 1];
        keys.clone().for_each(|key| starts[key + 1] += 1);
        for key in 0..bound {
            starts[key + 1] += starts[key];
        }
        let mut next = starts.clone();
        let mut positions = vec![0; keys.len()];
        for (at, key) in keys.enumerate() {
            positions[next[key]] = at;
            next[key] += 1;
        }
        Self { starts, positions }
    }

    fn len(&self) -> usize {
        self.starts.len() - 1
    }

    fn members(&self, key: usize) -> &[usize] {
        &self.positions[self.starts[key]..self.starts[key + 1]]
    }
}
