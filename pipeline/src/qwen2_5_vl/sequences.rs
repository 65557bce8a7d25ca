//! How sequences lie in one packed row of tokens.

use std::sync::Arc;

use candle_core::{Result, Tensor};

use crate::ops::{self, Segment};

/// Sequences in a row, some of which may begin with the same tokens.
#[derive(Clone)]
pub struct Sequences {
    segments: Arc<[Segment]>,
    /// For each row of keys that the segments count, the token that it comes from; `None` where rows are
    /// tokens.
    keys: Option<Arc<[u32]>>,
}

impl Sequences {
    /// Sequences of the given lengths, one after the other.
    #[must_use]
    pub fn separate(lengths: &[usize]) -> Self {
        Self { segments: Segment::consecutive(lengths.iter().copied(), true), keys: None }
    }

    /// Groups of sequences that begin alike. What a group has in common lies in the row once, followed by
    /// the rest of each of its sequences; a group is the lengths of these. The common tokens run through
    /// the layers once; only their keys and values are laid before those of each rest.
    #[must_use]
    pub fn branching(groups: &[(usize, Vec<usize>)]) -> Self {
        if groups.iter().all(|(_, rests)| rests.len() == 1) {
            let lengths: Vec<usize> = groups.iter().map(|(common, rests)| common + rests[0]).collect();
            return Self::separate(&lengths);
        }
        let (mut segments, mut keys) = (Vec::new(), Vec::new());
        let mut start = 0;
        for (common, rests) in groups {
            let shared = start as u32..(start + common) as u32;
            let mut add = |queries: std::ops::Range<usize>, before: std::ops::Range<u32>| {
                let first = keys.len();
                keys.extend(before.chain(queries.start as u32..queries.end as u32));
                if !queries.is_empty() {
                    segments.push(Segment { queries, keys: first..keys.len(), causal: true });
                }
            };
            add(start..start + common, 0..0);
            start += common;
            for &rest in rests {
                add(start..start + rest, shared.clone());
                start += rest;
            }
        }
        Self { segments: segments.into(), keys: Some(keys.into()) }
    }

    /// From the keys and values of the tokens, those that the segments count.
    pub(super) fn seen(&self, k: Tensor, v: Tensor) -> Result<(Tensor, Tensor, Arc<[Segment]>)> {
        let Some(keys) = &self.keys else { return Ok((k, v, self.segments.clone())) };
        Ok((ops::rows(&k, keys)?, ops::rows(&v, keys)?, self.segments.clone()))
    }
}
