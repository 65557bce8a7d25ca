//! Attention over packed sequences: full, causal, windowed and cached, with grouped query heads.

use std::ops::Range;
use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::math::{dot, softmax};
use super::{MatrixView, grouped_attention, matmul, slices, worth_splitting};

/// Queries that see the same keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Rows of the query tensor.
    pub queries: Range<usize>,
    /// Rows of the key and value tensors.
    pub keys: Range<usize>,
    /// The last query sees all keys, the one before all but the last, and so on.
    pub causal: bool,
}

impl Segment {
    /// How many of the keys the query at `index` in the segment sees.
    pub(super) fn visible(&self, index: usize) -> usize {
        if self.causal { self.keys.len() - (self.queries.len() - 1 - index) } else { self.keys.len() }
    }

    /// Non-causal segments of the given lengths, one after the other, each seeing itself alone.
    #[must_use]
    pub fn consecutive(lengths: impl IntoIterator<Item = usize>, causal: bool) -> Arc<[Segment]> {
        let mut start = 0;
        let segment = |length| {
            let rows = start..start + length;
            start += length;
            Segment { queries: rows.clone(), keys: rows, causal }
        };
        lengths.into_iter().map(segment).collect()
    }
}

/// `softmax(q·kᵀ / √head_dim)·v` within each segment.
///
/// `q` is `(tokens, heads, head_dim)`, `k` and `v` are `(keys, kv_heads, head_dim)`; consecutive
/// query heads share a key head. Query rows in no segment give zeros.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, segments: &Arc<[Segment]>) -> Result<Tensor> {
    let (tokens, heads, head_dim) = q.dims3()?;
    let (keys, kv_heads, _) = k.dims3()?;
    let fits = |s: &Segment| {
        s.queries.end <= tokens && s.keys.end <= keys && (!s.causal || s.queries.len() <= s.keys.len())
    };
    if k.dims() != v.dims() || k.dim(2)? != head_dim || heads % kv_heads != 0 || !segments.iter().all(fits) {
        candle_core::bail!("attention of q {:?}, k {:?}, v {:?}", q.shape(), k.shape(), v.shape());
    }
    if !slices::is_cpu_f32(q) {
        return grouped_attention(q, k, v, segments);
    }
    q.contiguous()?.apply_op3(&k.contiguous()?, &v.contiguous()?, Attention { segments: segments.clone() })
}

struct Attention {
    segments: Arc<[Segment]>,
}

#[derive(Clone, Copy)]
struct Dims {
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
}

impl Dims {
    fn scale(self) -> f32 {
        1.0 / (self.head_dim as f32).sqrt()
    }

    /// One query head of some rows.
    fn query_head<'a>(self, data: &'a [f32], rows: &Range<usize>, head: usize) -> MatrixView<'a> {
        let stride = self.heads * self.head_dim;
        MatrixView::with_stride(
            &data[rows.start * stride + head * self.head_dim..],
            rows.len(),
            self.head_dim,
            stride,
        )
    }

    /// The key or value head that a query head uses.
    fn key_head<'a>(self, data: &'a [f32], rows: &Range<usize>, head: usize) -> MatrixView<'a> {
        let stride = self.kv_heads * self.head_dim;
        let kv_head = head / (self.heads / self.kv_heads);
        let start = rows.start * stride + kv_head * self.head_dim;
        MatrixView::with_stride(&data[start..], rows.len(), self.head_dim, stride)
    }
}

/// Attention weights of one head in one segment, `(queries, keys)`.
fn weights(dims: Dims, segment: &Segment, head: usize, q: &[f32], k: &[f32]) -> Vec<f32> {
    let keys = segment.keys.len();
    let mut weights = vec![0.0; segment.queries.len() * keys];
    let q = dims.query_head(q, &segment.queries, head);
    let k = dims.key_head(k, &segment.keys, head);
    if segment.queries.len() == 1 {
        for (weight, key) in weights.iter_mut().zip(k.data.chunks(k.row_stride)) {
            *weight = dims.scale() * dot(&q.data[..dims.head_dim], &key[..dims.head_dim]);
        }
    } else {
        matmul(&mut weights, keys, q, k.t(), dims.scale(), false);
    }
    for (index, row) in weights.chunks_exact_mut(keys.max(1)).enumerate() {
        let (seen, hidden) = row.split_at_mut(segment.visible(index));
        softmax(seen);
        hidden.fill(0.0);
    }
    weights
}

/// Runs `work` for every head of every segment and hands the results to `gather` in order.
fn for_each_head<T: Send>(
    segments: &[Segment],
    dims: Dims,
    work: impl Fn(&Segment, usize) -> T + Sync,
    mut gather: impl FnMut(&Segment, usize, T),
) {
    let pairs: Vec<_> = segments.iter().flat_map(|s| (0..dims.heads).map(move |head| (s, head))).collect();
    let cost: usize = segments.iter().map(|s| s.queries.len() * s.keys.len() * dims.heads).sum();
    if worth_splitting(cost) {
        // In rounds, so that the buffers of a round are the only ones alive.
        for round in pairs.chunks(4 * rayon::current_num_threads()) {
            let results: Vec<_> = round.par_iter().map(|&(segment, head)| work(segment, head)).collect();
            for (&(segment, head), result) in round.iter().zip(results) {
                gather(segment, head, result);
            }
        }
    } else {
        for (segment, head) in pairs {
            gather(segment, head, work(segment, head));
        }
    }
}

/// Adds `(rows, head_dim)` numbers to one head of a `(tokens, heads, head_dim)` buffer.
fn add_head(
    buffer: &mut [f32],
    heads: usize,
    head_dim: usize,
    rows: &Range<usize>,
    head: usize,
    values: &[f32],
) {
    for (row, values) in rows.clone().zip(values.chunks_exact(head_dim)) {
        let target = &mut buffer[(row * heads + head) * head_dim..][..head_dim];
        target.iter_mut().zip(values).for_each(|(t, v)| *t += v);
    }
}

impl CustomOp3 for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        lq: &Layout,
        k: &CpuStorage,
        lk: &Layout,
        v: &CpuStorage,
        lv: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (_, heads, head_dim) = lq.shape().dims3()?;
        let dims = Dims { heads, kv_heads: lk.dims()[1], head_dim };
        let (q, k, v) = (
            slices::of(q, lq, "attention")?,
            slices::of(k, lk, "attention")?,
            slices::of(v, lv, "attention")?,
        );
        let mut out = vec![0.0; q.len()];
        let work = |segment: &Segment, head| {
            let queries = segment.queries.len();
            let weights = weights(dims, segment, head, q, k);
            let mut result = vec![0.0; queries * head_dim];
            let v = dims.key_head(v, &segment.keys, head);
            if queries == 1 {
                for (weight, value) in weights.iter().zip(v.data.chunks(v.row_stride)) {
                    result.iter_mut().zip(value).for_each(|(r, v)| *r += weight * v);
                }
            } else {
                matmul(
                    &mut result,
                    head_dim,
                    MatrixView::new(&weights, queries, segment.keys.len()),
                    v,
                    1.0,
                    false,
                );
            }
            result
        };
        for_each_head(&self.segments, dims, work, |segment, head, result| {
            add_head(&mut out, heads, head_dim, &segment.queries, head, &result);
        });
        Ok((CpuStorage::F32(out), lq.shape().clone()))
    }

    /// The weights P are computed again rather than kept: dV = Pᵀ·G, dP = G·Vᵀ,
    /// dS = P ∘ (dP − rowsum(P ∘ dP)) / √head_dim, dQ = dS·K, dK = dSᵀ·Q.
    fn bwd(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (_, heads, head_dim) = q.dims3()?;
        let dims = Dims { heads, kv_heads: k.dim(1)?, head_dim };
        let (dq, dk, dv) = slices::with([q, k, v, grad], "attention", |[q, k, v, g]| {
            let (mut dq, mut dk, mut dv) = (vec![0.0; q.len()], vec![0.0; k.len()], vec![0.0; v.len()]);
            let work = |segment: &Segment, head| {
                let (queries, keys) = (segment.queries.len(), segment.keys.len());
                let weights = weights(dims, segment, head, q, k);
                let p = MatrixView::new(&weights, queries, keys);
                let g = dims.query_head(g, &segment.queries, head);
                let mut dv = vec![0.0; keys * head_dim];
                matmul(&mut dv, head_dim, p.t(), g, 1.0, false);
                let mut ds = vec![0.0; queries * keys];
                matmul(&mut ds, keys, g, dims.key_head(v, &segment.keys, head).t(), 1.0, false);
                for (ds, p) in ds.chunks_exact_mut(keys).zip(weights.chunks_exact(keys)) {
                    let pull = dot(ds, p);
                    ds.iter_mut().zip(p).for_each(|(d, p)| *d = p * (*d - pull));
                }
                let ds = MatrixView::new(&ds, queries, keys);
                let mut dq = vec![0.0; queries * head_dim];
                matmul(&mut dq, head_dim, ds, dims.key_head(k, &segment.keys, head), dims.scale(), false);
                let mut dk = vec![0.0; keys * head_dim];
                matmul(
                    &mut dk,
                    head_dim,
                    ds.t(),
                    dims.query_head(q, &segment.queries, head),
                    dims.scale(),
                    false,
                );
                (dq, dk, dv)
            };
            for_each_head(&self.segments, dims, work, |segment, head, (q, k, v)| {
                let kv_head = head / (dims.heads / dims.kv_heads);
                add_head(&mut dq, heads, head_dim, &segment.queries, head, &q);
                add_head(&mut dk, dims.kv_heads, head_dim, &segment.keys, kv_head, &k);
                add_head(&mut dv, dims.kv_heads, head_dim, &segment.keys, kv_head, &v);
            });
            Ok((dq, dk, dv))
        })?;
        let device = q.device();
        Ok((
            Some(Tensor::from_vec(dq, q.shape(), device)?),
            Some(Tensor::from_vec(dk, k.shape(), device)?),
            Some(Tensor::from_vec(dv, v.shape(), device)?),
        ))
    }
}
