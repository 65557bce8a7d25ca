//! AdamW and Muon, with moments in f32 that checkpoints carry. Averages are kept on the CPU; a GPU
//! orthogonalises the matrices that it holds.

use std::collections::BTreeMap;

use std::sync::{Mutex, PoisonError};

use candle_core::{Device, Result, Tensor, Var};
use qponder_shared::recipe;
use rayon::prelude::*;

use crate::ops::{MatrixView, matmul};

const BETA1: f32 = 0.9;
const BETA2: f32 = 0.98;
const EPSILON: f32 = 1e-8;
/// Momentum of Muon.
const MOMENTUM: f32 = 0.95;

/// Running averages of one parameter: two of AdamW, one of Muon.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Moments {
    pub first: Vec<f32>,
    /// Empty for Muon.
    pub second: Vec<f32>,
}

/// Updates parameters from gradients.
pub struct Optimiser {
    kind: recipe::Optimiser,
    weight_decay: f32,
    moments: BTreeMap<String, Moments>,
}

/// Whether Muon updates a parameter: matrices inside blocks, not embeddings, heads or the large
/// merger, whose orthogonalisation would cost more than it gains.
fn is_muon(name: &str, dims: &[usize]) -> bool {
    dims.len() == 2 && (name.starts_with("visual.blocks.") || name.starts_with("model.layers."))
}

impl Optimiser {
    /// An optimiser that has seen nothing yet, or continues from the moments of a checkpoint.
    #[must_use]
    pub fn new(kind: recipe::Optimiser, weight_decay: f64, moments: BTreeMap<String, Moments>) -> Self {
        Self { kind, weight_decay: weight_decay as f32, moments }
    }

    /// The running averages, by parameter.
    #[must_use]
    pub fn moments(&self) -> &BTreeMap<String, Moments> {
        &self.moments
    }

    /// One update; `step` counts from 1 and `rate` gives each parameter's learning rate.
    ///
    /// # Errors
    /// When a gradient does not fit its parameter.
    pub fn step(
        &mut self,
        step: usize,
        parameters: &BTreeMap<String, Var>,
        gradients: &BTreeMap<String, Vec<f32>>,
        rate: impl Fn(&str) -> f64 + Sync,
    ) -> Result<()> {
        for name in gradients.keys() {
            self.moments.entry(name.clone()).or_default();
        }
        let (kind, decay) = (self.kind, self.weight_decay);
        self.moments.par_iter_mut().try_for_each(|(name, moments)| {
            let (Some(parameter), Some(gradient)) = (parameters.get(name), gradients.get(name)) else {
                return Ok(());
            };
            let mut values: Vec<f32> = parameter.flatten_all()?.to_vec1()?;
            let dims = parameter.dims();
            let rate = rate(name) as f32;
            // Norms, biases and other vectors are not decayed.
            if dims.len() >= 2 {
                values.iter_mut().for_each(|v| *v -= rate * decay * *v);
            }
            if kind == recipe::Optimiser::Muon && is_muon(name, dims) {
                muon(&mut values, gradient, moments, (dims[0], dims[1]), rate, parameter.device())?;
            } else {
                adamw(&mut values, gradient, moments, step, rate);
            }
            parameter.set(&Tensor::from_vec(values, parameter.shape(), parameter.device())?)
        })
    }
}

fn adamw(values: &mut [f32], gradient: &[f32], moments: &mut Moments, step: usize, rate: f32) {
    moments.first.resize(values.len(), 0.0);
    moments.second.resize(values.len(), 0.0);
    let correction1 = 1.0 - BETA1.powi(step as i32);
    let correction2 = 1.0 - BETA2.powi(step as i32);
    let moments = moments.first.iter_mut().zip(&mut moments.second);
    for ((value, g), (m, v)) in values.iter_mut().zip(gradient).zip(moments) {
        *m = BETA1 * *m + (1.0 - BETA1) * g;
        *v = BETA2 * *v + (1.0 - BETA2) * g * g;
        *value -= rate * (*m / correction1) / ((*v / correction2).sqrt() + EPSILON);
    }
}

/// Nesterov momentum, orthogonalised; scaled by 0.2·√max(rows, columns) so that AdamW's learning
/// rate fits (Liu et al., 2025, "Muon is scalable").
fn muon(
    values: &mut [f32],
    gradient: &[f32],
    moments: &mut Moments,
    (rows, columns): (usize, usize),
    rate: f32,
    device: &Device,
) -> Result<()> {
    moments.first.resize(values.len(), 0.0);
    let ahead: Vec<f32> = gradient
        .iter()
        .zip(&mut moments.first)
        .map(|(g, m)| {
            *m = MOMENTUM * *m + g;
            g + MOMENTUM * *m
        })
        .collect();
    let update = if device.is_cpu() {
        orthogonalise(&ahead, rows, columns)
    } else {
        // Threads that launch on one stream at once only wait for each other.
        static TURN: Mutex<()> = Mutex::new(());
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let ahead = Tensor::from_vec(ahead, (rows, columns), device)?;
        orthogonalised(&ahead)?.flatten_all()?.to_vec1()?
    };
    let scale = rate * 0.2 * (rows.max(columns) as f32).sqrt();
    values.iter_mut().zip(update).for_each(|(value, u)| *value -= scale * u);
    Ok(())
}

/// Coefficients of a Newton–Schulz step: X ← aX + (bG + cG²)X with G = X·Xᵀ.
const A: f32 = 3.4445;
const B: f32 = -4.7750;
const C: f32 = 2.0315;
const NEWTON_SCHULZ_STEPS: usize = 5;

/// [`orthogonalise`] where the matrix is.
fn orthogonalised(matrix: &Tensor) -> Result<Tensor> {
    // With the shorter side first, so that G is small.
    let wide = matrix.dim(0)? <= matrix.dim(1)?;
    let matrix = if wide { matrix.clone() } else { matrix.t()?.contiguous()? };
    let norm = (matrix.sqr()?.sum_all()?.sqrt()? + 1e-7)?;
    let mut x = matrix.broadcast_div(&norm)?;
    for _ in 0..NEWTON_SCHULZ_STEPS {
        let gram = x.matmul(&x.t()?)?;
        let polynomial = ((&gram * f64::from(B))? + (gram.matmul(&gram)? * f64::from(C))?)?;
        x = ((&x * f64::from(A))? + polynomial.matmul(&x)?)?;
    }
    if wide { Ok(x) } else { x.t()?.contiguous() }
}

/// The nearest matrix with singular values near 1, by five quintic Newton–Schulz steps (Jordan et
/// al., 2024).
fn orthogonalise(matrix: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let norm = matrix.iter().map(|x| x * x).sum::<f32>().sqrt() + 1e-7;
    let mut x: Vec<f32> = matrix.iter().map(|v| v / norm).collect();
    let small = rows.min(columns);
    let (mut gram, mut square) = (vec![0.0; small * small], vec![0.0; small * small]);
    let mut next = vec![0.0; x.len()];
    for _ in 0..NEWTON_SCHULZ_STEPS {
        let view = MatrixView::new(&x, rows, columns);
        let wide = rows <= columns;
        // With the shorter side first, X ← aX + (bG + cG²)X where G = X·Xᵀ; else the mirror image.
        if wide {
            matmul(&mut gram, small, view, view.t(), 1.0, false);
        } else {
            matmul(&mut gram, small, view.t(), view, 1.0, false);
        }
        let g = MatrixView::new(&gram, small, small);
        matmul(&mut square, small, g, g, 1.0, false);
        square.iter_mut().zip(&gram).for_each(|(s, g)| *s = B * g + C * *s);
        let polynomial = MatrixView::new(&square, small, small);
        next.iter_mut().zip(&x).for_each(|(n, x)| *n = A * x);
        if wide {
            matmul(&mut next, columns, polynomial, view, 1.0, true);
        } else {
            matmul(&mut next, columns, view, polynomial, 1.0, true);
        }
        std::mem::swap(&mut x, &mut next);
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orthogonalised_matrices_have_singular_values_near_one() {
        for (rows, columns) in [(5, 9), (9, 5), (6, 6)] {
            let matrix: Vec<f32> =
                (0..rows * columns).map(|i| ((i * i * 7 + i * 3) % 11) as f32 - 5.0).collect();
            let x = orthogonalise(&matrix, rows, columns);
            let small = rows.min(columns);
            let view = MatrixView::new(&x, rows, columns);
            let mut gram = vec![0.0; small * small];
            let (a, b) = if rows <= columns { (view, view.t()) } else { (view.t(), view) };
            matmul(&mut gram, small, a, b, 1.0, false);
            let trace: f32 = (0..small).map(|i| gram[i * small + i]).sum();
            assert!((trace / small as f32 - 0.85).abs() < 0.4, "({rows}, {columns}): {gram:?}");

            let tensor = Tensor::from_vec(matrix, (rows, columns), &Device::Cpu).expect("a matrix");
            let same = orthogonalised(&tensor).and_then(|t| t.flatten_all()?.to_vec1()).expect("its result");
            assert!(x.iter().zip(&same).all(|(a, b): (_, &f32)| (a - b).abs() < 1e-4), "{x:?}\n{same:?}");
        }
    }
}
