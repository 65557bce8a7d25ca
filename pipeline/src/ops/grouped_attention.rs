//! Attention over packed sequences as a few large products: what devices other than the CPU run.
//!
//! Segments of equal size, such as the windows of an image or the sequences of a decoding step, are
//! attended to together. Every size costs a launch of each operation, so sizes are filled up to larger ones
//! as long as that costs less than the launches it saves.

use std::collections::BTreeMap;
use std::ops::Range;

use candle_core::{D, DType, Device, Result, Tensor};

use super::rows::{ZEROS, rows};
use super::{Segment, fused};

/// Scores, of all heads, that take about as long as the launches of another size. The operations on them move
/// some 30 bytes a score without gradients and 100 with them at 3 TB/s; their 20 and 60 launches take 10 µs
/// each (`docs/benchmarks/cuda.md`).
const LAUNCHES: usize = 20 << 20;

/// See [`super::attention`]. Weights are computed in f32, as the reference implementation does.
pub fn grouped_attention(q: &Tensor, k: &Tensor, v: &Tensor, segments: &[Segment]) -> Result<Tensor> {
    over(q, k, v, &groups(segments, LAUNCHES / q.dim(1)?.max(1)))
}

/// Attention with the segments in some groups.
fn over(q: &Tensor, k: &Tensor, v: &Tensor, groups: &[Group]) -> Result<Tensor> {
    let tokens = q.dim(0)?;
    let mut parts = Vec::with_capacity(groups.len());
    // For each query, its row of the joined parts.
    let mut places = vec![ZEROS; tokens];
    let mut next = 0;
    for group in groups {
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

impl<'a> Group<'a> {
    /// Scores of a head.
    fn cost(&self) -> usize {
        self.segments.len() * self.size.0 * self.size.1
    }

    /// Size of a group of the segments of both.
    fn size_with(&self, other: &Self) -> (usize, usize) {
        (self.size.0.max(other.size.0), self.size.1.max(other.size.1))
    }

    /// Scores of a head that are computed for nothing if both are one group.
    fn filling(&self, other: &Self) -> usize {
        let (queries, keys) = self.size_with(other);
        (self.segments.len() + other.segments.len()) * queries * keys - self.cost() - other.cost()
    }

    fn join(&mut self, other: Self) {
        self.size = self.size_with(&other);
        self.segments.extend(other.segments);
    }
}

/// Sorts segments by size, and puts sizes together while that adds fewer than `launches` scores to a head.
fn groups(segments: &[Segment], launches: usize) -> Vec<Group<'_>> {
    let mut exact: BTreeMap<(usize, usize), Vec<&Segment>> = BTreeMap::new();
    for segment in segments.iter().filter(|segment| !segment.queries.is_empty()) {
        exact.entry((segment.queries.len(), segment.keys.len())).or_default().push(segment);
    }
    let mut groups: Vec<Group> = exact.into_iter().map(|(size, segments)| Group { segments, size }).collect();
    // Neighbours have about the same number of queries. The cheapest two go together first.
    let mut fillings: Vec<usize> = groups.windows(2).map(|pair| pair[0].filling(&pair[1])).collect();
    // However many sizes there are, memory for scores at most doubles, or grows by a few launches' worth.
    let mut spare = groups.iter().map(Group::cost).sum::<usize>().max(launches.saturating_mul(4));
    while let Some((at, filling)) = fillings.iter().copied().enumerate().min_by_key(|&(_, filling)| filling)
        && filling < launches.min(spare)
    {
        spare -= filling;
        let next = groups.remove(at + 1);
        groups[at].join(next);
        fillings.remove(at);
        for at in at.saturating_sub(1)..=at {
            if let (Some(filling), Some(next)) = (fillings.get_mut(at), groups.get(at + 1)) {
                *filling = groups[at].filling(next);
            }
        }
    }
    groups
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

#[cfg(test)]
mod tests {
    use candle_core::Var;

    use super::*;

    #[test]
    fn sizes_go_together_where_that_is_cheap() {
        let sizes = |launches| {
            let segments = Segment::consecutive([4, 64, 6, 64, 60, 20], false);
            groups(&segments, launches).iter().map(|g| (g.size.0, g.segments.len())).collect::<Vec<_>>()
        };
        assert_eq!(sizes(0), [(4, 1), (6, 1), (20, 1), (60, 1), (64, 2)]);
        // 20 scores for 4 and 6, 496 for 60 and 64; 20 and the two small ones would cost 748.
        assert_eq!(sizes(500), [(6, 2), (20, 1), (64, 3)]);
        assert_eq!(sizes(usize::MAX), [(64, 6)]);
    }

    #[test]
    fn groups_change_nothing_but_rounding() -> Result<()> {
        let segments = Segment::consecutive([3, 1, 8, 8, 5, 2], true);
        let numbers = |dims: (usize, usize, usize), seed: usize| {
            let count = dims.0 * dims.1 * dims.2;
            let values: Vec<f32> = (0..count).map(|i| ((i * 37 + seed) % 101) as f32 / 50.0 - 1.0).collect();
            Var::from_tensor(&Tensor::from_vec(values, dims, &Device::Cpu)?)
        };
        let (q, k, v) = (numbers((27, 4, 6), 1)?, numbers((27, 2, 6), 2)?, numbers((27, 2, 6), 3)?);
        let results = |launches| -> Result<Vec<f32>> {
            let result = over(&q, &k, &v, &groups(&segments, launches))?;
            let store = result.sqr()?.sum_all()?.backward()?;
            let mut all: Vec<f32> = result.flatten_all()?.to_vec1()?;
            for variable in [&q, &k, &v] {
                let gradient = store.get(variable).map(|g| g.flatten_all()?.to_vec1::<f32>());
                all.extend(gradient.transpose()?.unwrap_or_default());
            }
            Ok(all)
        };
        let apart = results(0)?;
        assert_eq!(apart.len(), 2 * (27 * 24 + 27 * 12));
        for launches in [30, usize::MAX] {
            let together = results(launches)?;
            assert!(apart.iter().zip(&together).all(|(a, b)| (a - b).abs() < 1e-5), "{launches}");
        }
        Ok(())
    }
}
