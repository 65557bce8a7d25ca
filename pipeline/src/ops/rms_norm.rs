//! Root-mean-square normalisation.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

use super::math::dot;
use super::{each_row, fused, reference, slices};

/// `x / √(mean(x²) + eps) * weight` over the last dimension; `x` is `(tokens, width)`.
pub fn rms_norm(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    if !slices::is_cpu_f32(x) {
        let is_free = fused::fits(&[x, weight]);
        return if is_free { fused::rms_norm(x, weight, eps) } else { reference::rms_norm(x, weight, eps) };
    }
    x.contiguous()?.apply_op2(weight, RmsNorm { eps: eps as f32 })
}

struct RmsNorm {
    eps: f32,
}

impl RmsNorm {
    fn inverse_rms(&self, row: &[f32]) -> f32 {
        1.0 / (dot(row, row) / row.len() as f32 + self.eps).sqrt()
    }
}

impl CustomOp2 for RmsNorm {
    fn name(&self) -> &'static str {
        "rms_norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        w: &CpuStorage,
        lw: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, w) = (slices::of(x, lx, "rms_norm")?, slices::of(w, lw, "rms_norm")?);
        if lx.dims().last() != Some(&w.len()) {
            candle_core::bail!("rms_norm of input {:?} and weight {:?}", lx.shape(), lw.shape());
        }
        let mut y = vec![0.0; x.len()];
        each_row(&mut y, w.len(), |row, y| {
            let x = &x[row * w.len()..][..w.len()];
            let scale = self.inverse_rms(x);
            for ((y, x), w) in y.iter_mut().zip(x).zip(w) {
                *y = x * scale * w;
            }
        });
        Ok((CpuStorage::F32(y), lx.shape().clone()))
    }

    /// With r = 1/rms and h = g·w: dx = r·(h − x·r²·mean(h·x)), dw = Σ g·x·r.
    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (dx, dw) = slices::with([x, weight, grad], "rms_norm", |[x, w, g]| {
            let width = w.len();
            let mut dx = vec![0.0; x.len()];
            let mut dw = vec![0.0; width];
            let mut h = vec![0.0; width];
            for ((dx, x), g) in
                dx.chunks_exact_mut(width).zip(x.chunks_exact(width)).zip(g.chunks_exact(width))
            {
                let r = self.inverse_rms(x);
                for i in 0..width {
                    h[i] = g[i] * w[i];
                    dw[i] += g[i] * x[i] * r;
                }
                let pull = dot(&h, x) * r * r / width as f32;
                for i in 0..width {
                    dx[i] = r * (h[i] - x[i] * pull);
                }
            }
            Ok((dx, dw))
        })?;
        let dw =
            if weight.track_op() { Some(Tensor::from_vec(dw, weight.shape(), x.device())?) } else { None };
        Ok((Some(Tensor::from_vec(dx, x.shape(), x.device())?), dw))
    }
}
