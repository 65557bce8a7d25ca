//! SwiGLU and exact GELU.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor};

use super::math::{erf, exp, sigmoid};
use super::{each_row, reference, slices};

/// `silu(gate) * up`, element by element.
pub fn swiglu(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    if !slices::is_cpu_f32(gate) {
        return reference::swiglu(gate, up);
    }
    gate.contiguous()?.apply_op2(&up.contiguous()?, SwiGlu)
}

/// `x · Φ(x)` with the exact normal distribution, as the vision merger uses it.
pub fn gelu(x: &Tensor) -> Result<Tensor> {
    if !slices::is_cpu_f32(x) {
        return x.gelu_erf();
    }
    x.contiguous()?.apply_op1(Gelu)
}

fn last_dim(layout: &Layout) -> usize {
    layout.dims().last().copied().unwrap_or(1)
}

struct SwiGlu;

impl CustomOp2 for SwiGlu {
    fn name(&self) -> &'static str {
        "swiglu"
    }

    fn cpu_fwd(
        &self,
        gate: &CpuStorage,
        lg: &Layout,
        up: &CpuStorage,
        lu: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (gate, up) = (slices::of(gate, lg, "swiglu")?, slices::of(up, lu, "swiglu")?);
        if lg.shape() != lu.shape() {
            candle_core::bail!("swiglu of gate {:?} and up {:?}", lg.shape(), lu.shape());
        }
        let width = last_dim(lg);
        let mut y = vec![0.0; gate.len()];
        each_row(&mut y, width, |row, y| {
            let (gate, up) = (&gate[row * width..][..width], &up[row * width..][..width]);
            for ((y, gate), up) in y.iter_mut().zip(gate).zip(up) {
                *y = gate * sigmoid(*gate) * up;
            }
        });
        Ok((CpuStorage::F32(y), lg.shape().clone()))
    }

    fn bwd(
        &self,
        gate: &Tensor,
        up: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (d_gate, d_up) = slices::with([gate, up, grad], "swiglu", |[gate, up, grad]| {
            let mut d_gate = vec![0.0; gate.len()];
            let mut d_up = vec![0.0; gate.len()];
            for i in 0..gate.len() {
                let s = sigmoid(gate[i]);
                let silu = gate[i] * s;
                d_gate[i] = grad[i] * up[i] * (s + silu * (1.0 - s));
                d_up[i] = grad[i] * silu;
            }
            Ok((d_gate, d_up))
        })?;
        let tensor = |values| Tensor::from_vec(values, gate.shape(), gate.device());
        Ok((Some(tensor(d_gate)?), Some(tensor(d_up)?)))
    }
}

struct Gelu;

/// Φ(x), the standard normal distribution.
#[inline(always)]
fn normal_cdf(x: f32) -> f32 {
    0.5 * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
}

impl CustomOp1 for Gelu {
    fn name(&self) -> &'static str {
        "gelu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (x, width) = (slices::of(x, layout, "gelu")?, last_dim(layout));
        let mut y = vec![0.0; x.len()];
        each_row(&mut y, width, |row, y| {
            for (y, x) in y.iter_mut().zip(&x[row * width..]) {
                *y = x * normal_cdf(*x);
            }
        });
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        const INV_SQRT_TAU: f32 = 0.398_942_3;
        let dx = slices::with([x, grad], "gelu", |[x, grad]| {
            let slope = |x: f32| normal_cdf(x) + x * INV_SQRT_TAU * exp(-0.5 * x * x);
            Ok(x.iter().zip(grad).map(|(&x, &g)| g * slope(x)).collect::<Vec<_>>())
        })?;
        Tensor::from_vec(dx, x.shape(), x.device()).map(Some)
    }
}
