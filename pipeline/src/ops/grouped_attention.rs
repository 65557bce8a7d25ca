//! Attention over packed sequences as a few large products: what devices other than the CPU run.
//!
//! Segments of equal size, such as the windows of an image or the sequences of a decoding step, are
//! attended to together. Where there are many sizes, they are filled up to a few: every size costs a launch of
//! each operation.

use std::collections::BTreeMap;
use std::ops::Range;

use candle_core::{D, DType, Device, Result, Tensor};

use super::rows::{ZEROS, rows};
use super::{Segment, fused};

/// Sizes that are attended to as they are; where there are more, all are filled up.
const MOST_SIZES: usize = 8;
/// What sizes are filled up to multiples of.
const STEP: usize = 32;

/// See [`super::attention`]. Weights are computed in f32, as the reference implementation does.
pub fn grouped_attention(q: &Tensor, k: &Tensor, v: &Tensor, segments: &[Segment]) -> Result<Tensor> {
    let tokens = q.dim(0)?;
    let groups = groups(segments);
    let mut parts = Vec::with_capacity(groups.len());
    // For each query, its row of the joined parts.
    let mut places = vec![ZEROS; tokens];
    let mut next = 0;
    for group in &groups {
        let own = group.queries().take(q)?;
        let keys = group.keys();
        parts.push(group.attend(&own, &keys.take(k)?, &keys.take(v)?)?);
        for segment in &group.segments {
            for (index, query) in segment.queries.clone().enumerate() {
                places[query] = next + index as u32;
            }
            next += group.size.0 as u32;
        }
    }
    if parts.len() == 1 && places.iter().enumerate().all(|(row, place)| *place == row as u32) {
        return Ok(parts.remove(0));
    }
    if parts.is_empty() {
        return q.zeros_like();
    }
    rows(&Tensor::cat(&parts, 0)?, &places)
}

/// Segments that are attended to together.
struct Group<'a> {
    segments: Vec<&'a Segment>,
    /// Queries and keys of each segment, with those that fill it up.
    size: (usize, usize),
}

/// Sorts segments by size.
fn groups(segments: &[Segment]) -> Vec<Group<'_>> {
    let mut exact: BTreeMap<(usize, usize, bool), Vec<&Segment>> = BTreeMap::new();
    for segment in segments.iter().filter(|segment| !segment.queries.is_empty()) {
        let size = (segment.queries.len(), segment.keys.len(), segment.causal);
        exact.entry(size).or_default().push(segment);
    }
    if exact.len() <= MOST_SIZES {
        let group = |((queries, keys, _), segments)| Group { segments, size: (queries, keys) };
        return exact.into_iter().map(group).collect();
    }
    // A single query needs no company.
    let filled = |length: usize| if length == 1 { 1 } else { length.next_multiple_of(STEP) };
    let mut few: BTreeMap<(usize, usize), Vec<&Segment>> = BTreeMap::new();
    for ((queries, keys, _), segments) in exact {
        few.entry((filled(queries), keys.next_multiple_of(STEP))).or_default().extend(segments);
    }
    few.into_iter().map(|(size, segments)| Group { segments, size }).collect()
}

/// Rows of a tensor, in the order of some segments.
enum Rows {
    /// They lie one after the other.
    Together(Range<usize>),
    Apart(Vec<u32>),
}

impl Rows {
    /// Ranges that are each filled up to a length.
    fn of<'a>(ranges: impl Iterator<Item = &'a Range<usize>> + Clone, length: usize) -> Self {
        let first = ranges.clone().next().map_or(0, |range| range.start);
        let mut end = first;
        for range in ranges.clone() {
            if range.start != end || range.len() != length {
                let filled = |range: &Range<usize>| {
                    let filling = std::iter::repeat_n(ZEROS, length - range.len());
                    (range.start as u32..range.end as u32).chain(filling)
                };
                return Self::Apart(ranges.flat_map(filled).collect());
            }
            end = range.end;
        }
        Self::Together(first..end)
    }

    fn take(&self, tensor: &Tensor) -> Result<Tensor> {
        match self {
            Self::Together(range) => tensor.narrow(0, range.start, range.len()),
            Self::Apart(places) => rows(tensor, places),
        }
    }
}

impl Group<'_> {
    fn queries(&self) -> Rows {
        Rows::of(self.segments.iter().map(|segment| &segment.queries), self.size.0)
    }

    fn keys(&self) -> Rows {
        Rows::of(self.segments.iter().map(|segment| &segment.keys), self.size.1)
    }

    /// `q` is `(segments * queries, heads, head_dim)`, and so is the result; `k` and `v` are
    /// `(segments * keys, kv_heads, head_dim)`.
    fn attend(&self, q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
        let (segments, (queries, keys)) = (self.segments.len(), self.size);
        let (_, heads, head_dim) = q.dims3()?;
        let kv_heads = k.dim(1)?;
        let group = heads / kv_heads;
        // (segments, kv_heads, group * queries, head_dim): the query heads of a key head lie together,
        // so that keys and values need not be repeated.
        let q = q.reshape((segments, queries, kv_heads, group, head_dim))?.permute((0, 2, 3, 1, 4))?;
        let q = q.contiguous()?.reshape((segments, kv_heads, group * queries, head_dim))?;
        let by_head =
            |t: &Tensor| t.reshape((segments, keys, kv_heads, head_dim))?.transpose(1, 2)?.contiguous();
        let (k, v) = (by_head(k)?, by_head(v)?);
        let scores = q.matmul(&k.transpose(2, 3)?.contiguous()?)?.to_dtype(DType::F32)?;
        let mut scores = (scores / (head_dim as f64).sqrt())?;
        if let Some(hidden) = self.hidden(q.device())? {
            let hidden = hidden.unsqueeze(1)?.unsqueeze(1)?;
            let hidden = hidden.broadcast_as((segments, kv_heads, group, queries, keys))?;
            let hidden = hidden.reshape((segments, kv_heads, group * queries, keys))?;
            let never = Tensor::new(f32::NEG_INFINITY, q.device())?.broadcast_as(scores.shape())?;
            scores = hidden.where_cond(&never, &scores)?;
        }
        let weights = if fused::fits(&[&scores]) {
            fused::softmax(&scores)?
        } else {
            let raised = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?.detach())?.exp()?;
            raised.broadcast_div(&raised.sum_keepdim(D::Minus1)?)?
        };
        let mixed = weights
            .to_dtype(v.dtype())?
            .matmul(&v)?
            .reshape((segments, kv_heads, group, queries, head_dim))?;
        mixed.permute((0, 3, 1, 2, 4))?.contiguous()?.reshape((segments * queries, heads, head_dim))
    }

    /// Which keys a query does not see, `(segments, queries, keys)`, or `(1, queries, keys)` where all
    /// segments are alike; `None` where all see all.
    fn hidden(&self, device: &Device) -> Result<Option<Tensor>> {
        let (queries, keys) = self.size;
        let last_seen = |segment: &Segment| -> Vec<u32> {
            let own = (0..segment.queries.len()).map(|query| segment.visible(query) as u32 - 1);
            // What fills up sees anything: it is dropped.
            own.chain(std::iter::repeat(keys as u32 - 1)).take(queries).collect()
        };
        let seen: Vec<Vec<u32>> = self.segments.iter().map(|segment| last_seen(segment)).collect();
        if seen.iter().flatten().all(|last| *last as usize == keys - 1) {
            return Ok(None);
        }
        let alike = seen.windows(2).all(|pair| pair[0] == pair[1]);
        let seen = if alike { &seen[..1] } else { &seen };
        let last_seen = Tensor::from_vec(seen.concat(), (seen.len(), queries, 1), device)?;
        let key = Tensor::arange(0, keys as u32, device)?.reshape((1, 1, keys))?;
        key.broadcast_gt(&last_seen).map(Some)
    }
}
