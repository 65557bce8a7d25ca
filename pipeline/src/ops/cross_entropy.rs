//! Negative log-likelihood of target tokens, and the entropy of their distributions.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::math::{exp, largest, sum_of_exp, sum_of_exp_and_products};
use super::{reference, slices, worth_splitting};

/// `−log softmax(logits)[target]` of each row; `logits` is `(tokens, vocabulary)`, the result
/// `(tokens,)`.
pub fn negative_log_likelihood(logits: &Tensor, targets: &[u32]) -> Result<Tensor> {
    let (tokens, vocabulary) = logits.dims2()?;
    if tokens != targets.len() || targets.iter().any(|&target| target as usize >= vocabulary) {
        candle_core::bail!("{} targets for logits ({tokens}, {vocabulary}), or one outside", targets.len());
    }
    if !slices::is_cpu_f32(logits) {
        return reference::negative_log_likelihood(logits, targets);
    }
    logits.contiguous()?.apply_op1(NegativeLogLikelihood { targets: targets.to_vec() })
}

/// The entropy of the softmax of each row, in nats: `(tokens, vocabulary)` to `(tokens,)`. It has no
/// gradient.
pub fn entropy(logits: &Tensor) -> Result<Tensor> {
    let logits = logits.detach();
    if !slices::is_cpu_f32(&logits) {
        return reference::entropy(&logits);
    }
    let (tokens, vocabulary) = logits.dims2()?;
    let entropies = slices::with([&logits.contiguous()?], "entropy", |[logits]| {
        Ok(logits.chunks_exact(vocabulary).map(entropy_of).collect::<Vec<f32>>())
    })?;
    Tensor::from_vec(entropies, tokens, logits.device())
}

/// log Σe^x − Σ x·e^x / Σe^x.
fn entropy_of(row: &[f32]) -> f32 {
    let largest = largest(row);
    let (sum, weighted) = sum_of_exp_and_products(row, largest);
    sum.ln() - weighted / sum
}

struct NegativeLogLikelihood {
    targets: Vec<u32>,
}

/// The largest logit and the sum of `exp(logit − largest)`.
fn normaliser(row: &[f32]) -> (f32, f32) {
    let largest = largest(row);
    (largest, sum_of_exp(row, largest))
}

impl CustomOp1 for NegativeLogLikelihood {
    fn name(&self) -> &'static str {
        "negative_log_likelihood"
    }

    fn cpu_fwd(&self, logits: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (tokens, vocabulary) = layout.shape().dims2()?;
        let logits = slices::of(logits, layout, "negative_log_likelihood")?;
        let row_loss = |(row, &target): (&[f32], &u32)| {
            let (largest, sum) = normaliser(row);
            largest + sum.ln() - row[target as usize]
        };
        let losses = if worth_splitting(logits.len()) {
            logits.par_chunks_exact(vocabulary).zip(&self.targets).map(row_loss).collect()
        } else {
            logits.chunks_exact(vocabulary).zip(&self.targets).map(row_loss).collect()
        };
        Ok((CpuStorage::F32(losses), tokens.into()))
    }

    fn bwd(&self, logits: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let vocabulary = logits.dim(1)?;
        let d = slices::with([logits, grad], "negative_log_likelihood", |[logits, grad]| {
            let mut d = vec![0.0; logits.len()];
            let rows = d.chunks_exact_mut(vocabulary).zip(logits.chunks_exact(vocabulary));
            for ((d, row), (&target, &g)) in rows.zip(self.targets.iter().zip(grad)) {
                let (largest, sum) = normaliser(row);
                let scale = g / sum;
                d.iter_mut().zip(row).for_each(|(d, &x)| *d = scale * exp(x - largest));
                d[target as usize] -= g;
            }
            Ok(d)
        })?;
        Tensor::from_vec(d, logits.shape(), logits.device()).map(Some)
    }
}
