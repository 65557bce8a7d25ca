//! Attention over packed sequences as a few large products: what devices other than the CPU run.
//!
//! Segments of equal size, such as the windows of an image or the sequences of a decoding step, are
//! attended to together. A size of their own costs a launch of each operation, so that mixed lengths are
//! right everywhere and fast where most are alike.

use std::collections::BTreeMap;
use std::ops::Range;

use candle_core::{D, DType, Device, Result, Tensor};

use super::Segment;

/// See [`super::attention`]. Weights are computed in f32, as the reference implementation does.
pub fn grouped_attention(q: &Tensor, k: &Tensor, v: &Tensor, segments: &[Segment]) -> Result<Tensor> {
    let (tokens, heads, head_dim) = q.dims3()?;
    let mut groups: BTreeMap<(usize, usize, bool), Vec<&Segment>> = BTreeMap::new();
    for segment in segments.iter().filter(|segment| !segment.queries.is_empty()) {
        let size = (segment.queries.len(), segment.keys.len(), segment.causal);
        groups.entry(size).or_default().push(segment);
    }
    let mut parts = Vec::with_capacity(groups.len() + 1);
    // For each query, the row of the joined parts that it is in; those in no segment share a row of zeros.
    let mut places = vec![None; tokens];
    let mut next = 0;
    for ((queries, keys, causal), group) in groups {
        let own = Rows::of(group.iter().map(|segment| &segment.queries)).take(q)?;
        let seen = Rows::of(group.iter().map(|segment| &segment.keys));
        let size = Size { segments: group.len(), queries, keys, causal };
        parts.push(size.attend(&own, &seen.take(k)?, &seen.take(v)?)?);
        for row in group.iter().flat_map(|segment| segment.queries.clone()) {
            places[row] = Some(next);
            next += 1;
        }
    }
    if parts.len() == 1 && places.iter().enumerate().all(|(row, place)| *place == Some(row as u32)) {
        return Ok(parts.remove(0));
    }
    parts.push(Tensor::zeros((1, heads, head_dim), q.dtype(), q.device())?);
    let places: Vec<u32> = places.into_iter().map(|place| place.unwrap_or(next)).collect();
    Tensor::cat(&parts, 0)?.index_select(&Tensor::from_vec(places, tokens, q.device())?, 0)
}

/// Rows of a tensor, in the order of some segments.
enum Rows {
    /// They lie one after the other.
    Together(Range<usize>),
    Apart(Vec<u32>),
}

impl Rows {
    fn of<'a>(ranges: impl Iterator<Item = &'a Range<usize>> + Clone) -> Self {
        let first = ranges.clone().next().map_or(0, |range| range.start);
        let mut end = first;
        for range in ranges.clone() {
            if range.start != end {
                return Self::Apart(ranges.flat_map(|range| range.start as u32..range.end as u32).collect());
            }
            end = range.end;
        }
        Self::Together(first..end)
    }

    fn take(&self, tensor: &Tensor) -> Result<Tensor> {
        match self {
            Self::Together(rows) => tensor.narrow(0, rows.start, rows.len()),
            Self::Apart(rows) => {
                let rows = Tensor::from_slice(rows, rows.len(), tensor.device())?;
                tensor.contiguous()?.index_select(&rows, 0)
            }
        }
    }
}

/// Segments that are alike.
struct Size {
    segments: usize,
    queries: usize,
    keys: usize,
    causal: bool,
}

impl Size {
    /// `q` is `(segments * queries, heads, head_dim)`, and so is the result; `k` and `v` are
    /// `(segments * keys, kv_heads, head_dim)`.
    fn attend(&self, q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
        let Self { segments, queries, keys, .. } = *self;
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
        if self.causal && queries > 1 {
            let hidden = hidden(queries, keys, q.device())?
                .broadcast_as((segments, kv_heads, group, queries, keys))?;
            let hidden = hidden.reshape((segments, kv_heads, group * queries, keys))?;
            let never = Tensor::new(f32::NEG_INFINITY, q.device())?.broadcast_as(scores.shape())?;
            scores = hidden.where_cond(&never, &scores)?;
        }
        let raised = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?.detach())?.exp()?;
        let weights = raised.broadcast_div(&raised.sum_keepdim(D::Minus1)?)?.to_dtype(v.dtype())?;
        let mixed = weights.matmul(&v)?.reshape((segments, kv_heads, group, queries, head_dim))?;
        mixed.permute((0, 3, 1, 2, 4))?.contiguous()?.reshape((segments * queries, heads, head_dim))
    }
}

/// Which keys a query does not see, `(queries, keys)`: the last sees all, the one before all but the last.
fn hidden(queries: usize, keys: usize, device: &Device) -> Result<Tensor> {
    let last_seen = Tensor::arange((keys - queries) as u32, keys as u32, device)?.unsqueeze(1)?;
    let key = Tensor::arange(0, keys as u32, device)?.unsqueeze(0)?;
    key.broadcast_gt(&last_seen)
}
