//! AdamW and Muon, with moments in f32 that checkpoints carry. Averages are kept on the CPU; a GPU
//! orthogonalises the matrices that it holds.

use std::collections::BTreeMap;

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

/// Whether Muon updates a matrix: those inside blocks, not embeddings, heads or the large merger, whose
/// orthogonalisation would cost more than it gains.
fn is_muon(name: &str) -> bool {
    name.starts_with("visual.blocks.") || name.starts_with("model.layers.")
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

    /// One update; `step` counts from 1 and `rate` gives each parameter's learning rate. Whether all parameters
    /// are still numbers.
    ///
    /// # Errors
    /// When a gradient does not fit its parameter.
    pub fn step(
        &mut self,
        step: usize,
        parameters: &BTreeMap<String, Var>,
        gradients: &BTreeMap<String, Vec<f32>>,
        rate: impl Fn(&str) -> f64 + Sync,
    ) -> Result<bool> {
        for name in gradients.keys() {
            self.moments.entry(name.clone()).or_default();
        }
        let muon = self.muon(parameters, gradients)?;
        let decay = self.weight_decay;
        let updated = self.moments.par_iter_mut().map(|(name, moments)| {
            let (Some(parameter), Some(gradient)) = (parameters.get(name), gradients.get(name)) else {
                return Ok(true);
            };
            let mut values: Vec<f32> = parameter.flatten_all()?.to_vec1()?;
            let dims = parameter.dims();
            let rate = rate(name) as f32;
            // Norms, biases and other vectors are not decayed.
            if dims.len() >= 2 {
                values.iter_mut().for_each(|v| *v -= rate * decay * *v);
            }
            if let Some(update) = muon.get(name) {
                // So that AdamW's learning rate fits (Liu et al., 2025, "Muon is scalable").
                let scale = rate * 0.2 * (dims[0].max(dims[1]) as f32).sqrt();
                values.iter_mut().zip(update).for_each(|(value, u)| *value -= scale * u);
            } else {
                adamw(&mut values, gradient, moments, step, rate);
            }
            let is_finite = values.iter().all(|value| value.is_finite());
            parameter.set(&Tensor::from_vec(values, parameter.shape(), parameter.device())?)?;
            Ok(is_finite)
        });
        updated.try_reduce(|| true, |a, b| Ok(a && b))
    }

    /// Orthogonalised Nesterov momentum of the matrices that Muon updates, by name.
    fn muon(
        &mut self,
        parameters: &BTreeMap<String, Var>,
        gradients: &BTreeMap<String, Vec<f32>>,
    ) -> Result<BTreeMap<String, Vec<f32>>> {
        if self.kind != recipe::Optimiser::Muon {
            return Ok(BTreeMap::new());
        }
        let matrices = self.moments.par_iter_mut().filter_map(|(name, moments)| {
            let (parameter, gradient) = (parameters.get(name)?, gradients.get(name)?);
            let &[rows, columns] = parameter.dims() else { return None };
            is_muon(name)
                .then(|| (name.clone(), Matrix { values: nesterov(gradient, moments), rows, columns }))
        });
        let matrices: BTreeMap<String, Matrix> = matrices.collect();
        match parameters.values().next().map(|parameter| parameter.device()) {
            None | Some(Device::Cpu) => {
                let each = |(name, m): (String, Matrix)| (name, orthogonalise(&m.values, m.rows, m.columns));
                Ok(matrices.into_par_iter().map(each).collect())
            }
            Some(device) => orthogonalised(matrices, device),
        }
    }
}

/// A matrix, row by row.
struct Matrix {
    values: Vec<f32>,
    rows: usize,
    columns: usize,
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

/// Adds a gradient to the momentum; returns where that will be with it.
fn nesterov(gradient: &[f32], moments: &mut Moments) -> Vec<f32> {
    moments.first.resize(gradient.len(), 0.0);
    let ahead = |(g, m): (&f32, &mut f32)| {
        *m = MOMENTUM * *m + g;
        g + MOMENTUM * *m
    };
    gradient.iter().zip(&mut moments.first).map(ahead).collect()
}

/// Coefficients of a Newton–Schulz step: X ← aX + (bG + cG²)X with G = X·Xᵀ.
const A: f32 = 3.4445;
const B: f32 = -4.7750;
const C: f32 = 2.0315;
const NEWTON_SCHULZ_STEPS: usize = 5;
/// Elements of the matrices that a GPU orthogonalises together, unless a single one has more: 128 MB.
const TOGETHER: usize = 32 << 20;

/// [`orthogonalise`] on a device; matrices of one shape take one launch of each operation.
fn orthogonalised(matrices: BTreeMap<String, Matrix>, device: &Device) -> Result<BTreeMap<String, Vec<f32>>> {
    let mut by_shape: BTreeMap<(usize, usize), (Vec<String>, Vec<f32>)> = BTreeMap::new();
    for (name, mut matrix) in matrices {
        let (names, values) = by_shape.entry((matrix.rows, matrix.columns)).or_default();
        names.push(name);
        values.append(&mut matrix.values);
    }
    let mut results = BTreeMap::new();
    for ((rows, columns), (names, values)) in by_shape {
        let size = rows * columns;
        let together = (TOGETHER / size).max(1);
        for (names, values) in names.chunks(together).zip(values.chunks(together * size)) {
            let matrices = Tensor::from_slice(values, (names.len(), rows, columns), device)?;
            let all: Vec<f32> = newton_schulz(&matrices)?.flatten_all()?.to_vec1()?;
            results.extend(names.iter().cloned().zip(all.chunks_exact(size).map(<[f32]>::to_vec)));
        }
    }
    Ok(results)
}

/// See [`orthogonalise`]; `(matrices, rows, columns)`.
fn newton_schulz(matrices: &Tensor) -> Result<Tensor> {
    // With the shorter side first, so that G is small.
    let (_, rows, columns) = matrices.dims3()?;
    let wide = rows <= columns;
    let matrices = if wide { matrices.clone() } else { matrices.t()?.contiguous()? };
    let norms = (matrices.sqr()?.sum_keepdim((1, 2))?.sqrt()? + 1e-7)?;
    let mut x = matrices.broadcast_div(&norms)?;
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

            // Two of them at once, one with signs changed.
            let other = matrix.iter().map(|v| -v).collect();
            let matrices = [("a", matrix), ("b", other)];
            let matrices = matrices.map(|(name, values)| (name.to_owned(), Matrix { values, rows, columns }));
            let same = orthogonalised(matrices.into(), &Device::Cpu).expect("their results");
            let is_close = |a: f32, b: f32| (a - b).abs() < 1e-4;
            assert!(x.iter().zip(&same["a"]).all(|(a, b)| is_close(*a, *b)), "{x:?}\n{same:?}");
            assert!(x.iter().zip(&same["b"]).all(|(a, b)| is_close(*a, -*b)), "{x:?}\n{same:?}");
        }
    }
}
