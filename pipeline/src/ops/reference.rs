//! Each operation as a composition of candle's differentiable operations.
//!
//! What the CPU kernels are tested against, and what other devices and narrower numbers run. Plain rather
//! than fast. Parameters in training are f32 whatever the activations are; they are brought to the
//! activations' type where they are used, and their gradients come back as f32.

use candle_core::{D, DType, Result, Tensor};

use super::{Rotation, Segment, given};

/// See [`super::linear`].
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let weight = weight.to_dtype(x.dtype())?;
    let y = if weight.track_op() || !x.track_op() {
        x.matmul(&weight.t()?)?
    } else {
        // candle would also compute the gradient of the frozen weight, and then drop it.
        let y = x.detach().matmul(&weight.t()?)?;
        given(x, y, move |grad| grad.matmul(&weight))?
    };
    match bias {
        Some(bias) => y.broadcast_add(&bias.to_dtype(y.dtype())?),
        None => Ok(y),
    }
}

/// See [`super::dropout`].
pub fn dropout(x: &Tensor, rate: f32, seed: u64) -> Result<Tensor> {
    let (tokens, width) = x.dims2()?;
    let factors: Vec<f32> =
        (0..tokens).flat_map(|row| super::dropout::factors(rate, seed, row).take(width)).collect();
    x * Tensor::from_vec(factors, (tokens, width), x.device())?.to_dtype(x.dtype())?
}

/// See [`super::rms_norm`]; the mean is taken in f32, as the reference implementation does.
pub fn rms_norm(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    let dtype = x.dtype();
    let x = x.to_dtype(DType::F32)?;
    let rms = (x.sqr()?.mean_keepdim(D::Minus1)? + eps)?.sqrt()?;
    x.broadcast_div(&rms)?.to_dtype(dtype)?.broadcast_mul(&weight.to_dtype(dtype)?)
}

/// See [`super::rope`].
pub fn rope(x: &Tensor, rotation: &Rotation) -> Result<Tensor> {
    let angles = rotation.on_device(x)?;
    let (cos, sin) = (angles.cos.unsqueeze(1)?, angles.sin.unsqueeze(1)?);
    let half = x.dim(2)? / 2;
    let (x1, x2) = (x.narrow(2, 0, half)?, x.narrow(2, half, half)?);
    let y1 = (x1.broadcast_mul(&cos)? - x2.broadcast_mul(&sin)?)?;
    let y2 = (x2.broadcast_mul(&cos)? + x1.broadcast_mul(&sin)?)?;
    Tensor::cat(&[&y1, &y2], 2)
}

/// See [`super::swiglu`].
pub fn swiglu(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    gate.silu()? * up
}

/// See [`super::negative_log_likelihood`].
pub fn negative_log_likelihood(logits: &Tensor, targets: &[u32]) -> Result<Tensor> {
    let logits = logits.to_dtype(DType::F32)?;
    let largest = logits.max_keepdim(1)?.detach();
    let shifted = logits.broadcast_sub(&largest)?;
    let log_sum = shifted.exp()?.sum_keepdim(1)?.log()?;
    let targets = Tensor::from_slice(targets, (targets.len(), 1), logits.device())?;
    (log_sum - shifted.gather(&targets, 1)?)?.squeeze(1)
}

/// See [`super::entropy`].
pub fn entropy(logits: &Tensor) -> Result<Tensor> {
    let logits = logits.to_dtype(DType::F32)?;
    let shifted = logits.broadcast_sub(&logits.max_keepdim(1)?)?;
    let powers = shifted.exp()?;
    let sum = powers.sum_keepdim(1)?;
    (sum.log()? - ((shifted * powers)?.sum_keepdim(1)? / sum)?)?.squeeze(1)
}

/// See [`super::attention`].
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, segments: &[Segment]) -> Result<Tensor> {
    let (tokens, heads, head_dim) = q.dims3()?;
    let kv_heads = k.dim(1)?;
    let group = heads / kv_heads;
    let mut parts = Vec::with_capacity(segments.len());
    let mut covered = 0;
    for segment in segments {
        if segment.queries.start != covered {
            candle_core::bail!("attention: segments must cover the queries in order");
        }
        covered = segment.queries.end;
        let (queries, keys) = (segment.queries.len(), segment.keys.len());
        let part_of = |t: &Tensor| t.narrow(0, segment.keys.start, keys)?.transpose(0, 1)?.contiguous();
        let repeat = |t: Tensor| -> Result<Tensor> {
            t.unsqueeze(1)?.broadcast_as((kv_heads, group, keys, head_dim))?.reshape((heads, keys, head_dim))
        };
        let q = q.narrow(0, segment.queries.start, queries)?.transpose(0, 1)?.contiguous()?;
        let (k, v) = (repeat(part_of(k)?)?, repeat(part_of(v)?)?);
        let mut scores = (q.matmul(&k.transpose(1, 2)?.contiguous()?)? / (head_dim as f64).sqrt())?;
        if segment.causal {
            let hidden = |i: usize, j: usize| if j + queries > i + keys { f32::NEG_INFINITY } else { 0.0 };
            let mask: Vec<f32> = (0..queries).flat_map(|i| (0..keys).map(move |j| hidden(i, j))).collect();
            let mask = Tensor::from_vec(mask, (1, queries, keys), q.device())?.to_dtype(scores.dtype())?;
            scores = scores.broadcast_add(&mask)?;
        }
        let largest = scores.max_keepdim(2)?.detach();
        let raised = scores.broadcast_sub(&largest)?.exp()?;
        let weights = raised.broadcast_div(&raised.sum_keepdim(2)?)?;
        parts.push(weights.matmul(&v)?.transpose(0, 1)?.contiguous()?);
    }
    if covered != tokens {
        candle_core::bail!("attention: segments cover {covered} of {tokens} queries");
    }
    Tensor::cat(&parts, 0)
}
