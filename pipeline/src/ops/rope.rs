//! Rotary position embeddings in the half-split layout of the Qwen models.

use std::sync::{Arc, OnceLock};

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use super::{each_row, fused, reference, slices};

/// Cosine and sine of every token's rotation angles.
#[derive(Clone)]
pub struct Rotation {
    half: usize,
    /// `(tokens, half)`: the second half of a head repeats the first's angles.
    cos: Arc<[f32]>,
    sin: Arc<[f32]>,
    /// The same on the device of the first tensor that was rotated by it, if that was not the CPU.
    on_device: Arc<OnceLock<Angles>>,
}

/// Cosine and sine of all angles as tensors `(tokens, half)`.
#[derive(Clone)]
pub(super) struct Angles {
    pub cos: Tensor,
    pub sin: Tensor,
}

impl Rotation {
    /// From angles in radians, `(tokens, head_dim / 2)` row by row.
    #[must_use]
    pub fn new(angles: &[f32], half: usize) -> Self {
        let (sin, cos): (Vec<_>, Vec<_>) = angles.iter().map(|angle| angle.sin_cos()).unzip();
        Self { half, cos: cos.into(), sin: sin.into(), on_device: Arc::default() }
    }

    /// The angles on the device and in the type of `x`.
    pub(super) fn on_device(&self, x: &Tensor) -> Result<Angles> {
        if let Some(angles) = self.on_device.get()
            && angles.cos.device().same_device(x.device())
            && angles.cos.dtype() == x.dtype()
        {
            return Ok(angles.clone());
        }
        let tensor = |values: &[f32]| {
            let all = Tensor::from_slice(values, (values.len() / self.half, self.half), x.device())?;
            all.to_dtype(x.dtype())
        };
        let made = Angles { cos: tensor(&self.cos)?, sin: tensor(&self.sin)? };
        let _ = self.on_device.set(made.clone());
        Ok(made)
    }
}

/// Rotates `x` of shape `(tokens, heads, head_dim)`.
pub fn rope(x: &Tensor, rotation: &Rotation) -> Result<Tensor> {
    if !slices::is_cpu_f32(x) {
        return if fused::fits(&[x]) { fused::rope(x, rotation) } else { reference::rope(x, rotation) };
    }
    x.contiguous()?.apply_op1(Rope { rotation: rotation.clone(), sign: 1.0 })
}

struct Rope {
    rotation: Rotation,
    /// −1 rotates back, which is the gradient.
    sign: f32,
}

impl CustomOp1 for Rope {
    fn name(&self) -> &'static str {
        "rope"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = slices::of(storage, layout, "rope")?;
        let (tokens, heads, head_dim) = layout.shape().dims3()?;
        let half = self.rotation.half;
        if head_dim != 2 * half || self.rotation.cos.len() != tokens * half {
            candle_core::bail!(
                "rope of {:?} with {} angles of {half}",
                layout.shape(),
                self.rotation.cos.len()
            );
        }
        let mut y = vec![0.0; x.len()];
        let width = heads * head_dim;
        each_row(&mut y, width, |token, y| {
            let x = &x[token * width..][..width];
            let cos = &self.rotation.cos[token * half..][..half];
            let sin = &self.rotation.sin[token * half..][..half];
            for (y, x) in y.chunks_exact_mut(head_dim).zip(x.chunks_exact(head_dim)) {
                let (y1, y2) = y.split_at_mut(half);
                let (x1, x2) = x.split_at(half);
                for i in 0..half {
                    let s = self.sign * sin[i];
                    y1[i] = x1[i] * cos[i] - x2[i] * s;
                    y2[i] = x2[i] * cos[i] + x1[i] * s;
                }
            }
        });
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let back = Rope { rotation: self.rotation.clone(), sign: -self.sign };
        grad.contiguous()?.apply_op1_no_bwd(&back).map(Some)
    }
}
