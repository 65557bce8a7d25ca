//! Dropout whose mask is a function of a seed.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use super::{each_row, reference, slices};
use crate::degrade::Rng;

/// Zeroes each number of `x` `(tokens, width)` with probability `rate` and divides the others by
/// `1 − rate`.
///
/// The same seed leaves out the same numbers, on any number of threads, so the mask is made again in the
/// backward pass instead of being kept.
pub fn dropout(x: &Tensor, rate: f32, seed: u64) -> Result<Tensor> {
    if rate <= 0.0 {
        return Ok(x.clone());
    }
    if !slices::is_cpu_f32(x) {
        return reference::dropout(x, rate, seed);
    }
    x.contiguous()?.apply_op1(Dropout { rate, seed })
}

/// The factors of row `row`: 0 or `1 / (1 − rate)`.
pub(super) fn factors(rate: f32, seed: u64, row: usize) -> impl Iterator<Item = f32> {
    let kept = 1.0 / (1.0 - rate);
    let mut rng = Rng::new(seed, row as u64);
    std::iter::repeat_with(move || if rng.unit() < rate { 0.0 } else { kept })
}

#[derive(Clone, Copy)]
struct Dropout {
    rate: f32,
    seed: u64,
}

impl Dropout {
    fn apply(self, x: &[f32], width: usize) -> Vec<f32> {
        let mut y = vec![0.0; x.len()];
        each_row(&mut y, width, |row, y| {
            let factors = factors(self.rate, self.seed, row);
            for ((y, x), factor) in y.iter_mut().zip(&x[row * width..]).zip(factors) {
                *y = x * factor;
            }
        });
        y
    }
}

impl CustomOp1 for Dropout {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (_, width) = layout.shape().dims2()?;
        let y = self.apply(slices::of(x, layout, "dropout")?, width);
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let (_, width) = x.dims2()?;
        let dx = slices::with([grad], "dropout", |[grad]| Ok(self.apply(grad, width)))?;
        Tensor::from_vec(dx, x.shape(), x.device()).map(Some)
    }
}
