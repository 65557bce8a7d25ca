//! Products with weight matrices. The weights stay quantised: eight rows at a time are unpacked into a
//! panel that stays in the cache while many tokens meet it.

use super::math::dot;
use super::simd::{Totals, add_product, numbers};
use crate::engine::model::{Matrix, Numbers};
use crate::gguf::f16_to_f32;

/// Outputs in a panel.
pub const PANEL: usize = 8;

/// Tokens in a tile.
pub const TILE: usize = 4;

/// Numbers of the tokens that meet a panel before the next one is unpacked: 256 KB stay in the cache meanwhile.
const STRIP: usize = 1 << 16;

/// Values that share a scale.
const BLOCK: usize = 32;

impl Matrix {
    /// Unpacks a row.
    pub fn row(&self, row: usize, out: &mut [f32]) {
        let (k, first) = (self.inputs, row * self.inputs);
        match &self.numbers {
            Numbers::F32(numbers) => out.copy_from_slice(&numbers[first..first + k]),
            Numbers::F16(numbers) => {
                for (out, &bits) in out.iter_mut().zip(&numbers[first..first + k]) {
                    *out = f16_to_f32(bits);
                }
            }
            Numbers::Q8 { quants, scales } => {
                let blocks = quants[first..first + k].as_chunks::<BLOCK>().0;
                let scales = &scales[first / BLOCK..];
                for ((out, block), scale) in out.as_chunks_mut::<BLOCK>().0.iter_mut().zip(blocks).zip(scales)
                {
                    for i in 0..BLOCK {
                        out[i] = f32::from(block[i]) * scale;
                    }
                }
            }
            Numbers::Q4 { quants, scales } => {
                let blocks = quants[first / 2..(first + k) / 2].as_chunks::<{ BLOCK / 2 }>().0;
                let scales = &scales[first / BLOCK..];
                for ((out, block), scale) in out.as_chunks_mut::<BLOCK>().0.iter_mut().zip(blocks).zip(scales)
                {
                    for i in 0..BLOCK / 2 {
                        out[i] = (f32::from(block[i] & 15) - 8.0) * scale;
                        out[i + BLOCK / 2] = (f32::from(block[i] >> 4) - 8.0) * scale;
                    }
                }
            }
        }
    }
}

/// `out[t, o] = Σ x[t, i] · weight[o, i] + bias[o]`; `x` is `(tokens, inputs)`.
pub fn linear(x: &[f32], weight: &Matrix, bias: Option<&[f32]>, out: &mut [f32]) {
    linear_by(x, weight, bias, &mut Vec::new(), out);
}

/// The same with a place for a row of the weights, so that a token or two allocate nothing.
pub(super) fn linear_by(
    x: &[f32],
    weight: &Matrix,
    bias: Option<&[f32]>,
    row: &mut Vec<f32>,
    out: &mut [f32],
) {
    let (k, n) = (weight.inputs, weight.outputs);
    let tokens = x.len() / k;
    row.resize(k, 0.0);
    if tokens < TILE {
        for output in 0..n {
            weight.row(output, row);
            let bias = bias.map_or(0.0, |bias| bias[output]);
            for token in 0..tokens {
                out[token * n + output] = dot(&x[token * k..][..k], row) + bias;
            }
        }
        return;
    }
    let mut panel = vec![[0.0; PANEL]; k];
    let strip = (STRIP / k / TILE).max(1) * TILE;
    for first_token in (0..tokens).step_by(strip) {
        let strip = first_token..tokens.min(first_token + strip);
        for first in (0..n).step_by(PANEL) {
            let width = PANEL.min(n - first);
            for lane in 0..width {
                weight.row(first + lane, row);
                for (panel, value) in panel.iter_mut().zip(&*row) {
                    panel[lane] = *value;
                }
            }
            for top in strip.clone().step_by(TILE) {
                let rows = std::array::from_fn(|i| &x[(top + i).min(tokens - 1) * k..][..k]);
                let sums = tile(rows, &panel);
                for (token, sums) in (top..strip.end).zip(&sums) {
                    let out = &mut out[token * n + first..][..width];
                    match bias {
                        Some(bias) => (0..width).for_each(|lane| out[lane] = sums[lane] + bias[first + lane]),
                        None => out.copy_from_slice(&sums[..width]),
                    }
                }
            }
        }
    }
}

/// Products of a few rows with a panel `(length, PANEL)`.
#[inline]
pub fn tile(rows: [&[f32]; TILE], panel: &[[f32; PANEL]]) -> [[f32; PANEL]; TILE] {
    let length = panel.len();
    let rows = rows.map(|row| &row[..length]);
    let mut totals = [Totals::default(); TILE];
    for k in 0..length {
        for i in 0..TILE {
            totals[i] = add_product(totals[i], &rows[i][k], &panel[k]);
        }
    }
    totals.map(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::random::Random;

    #[test]
    fn tiles_and_single_tokens_give_the_exact_sums() {
        let mut random = Random::new(1);
        for (tokens, inputs, outputs) in [(1, 32, 5), (3, 588, 7), (4, 33, 8), (70, 64, 19)] {
            let x = random.numbers(tokens * inputs);
            let numbers = random.numbers(outputs * inputs);
            let bias = random.numbers(outputs);
            let mut out = vec![0.0; tokens * outputs];
            linear(&x, &Matrix::whole(outputs, inputs, numbers.clone()), Some(&bias), &mut out);
            for (index, value) in out.iter().enumerate() {
                let (token, output) = (index / outputs, index % outputs);
                let (a, b) = (&x[token * inputs..][..inputs], &numbers[output * inputs..][..inputs]);
                let exact: f64 = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                let exact = exact + f64::from(bias[output]);
                assert!(
                    (f64::from(*value) - exact).abs() < 1e-4,
                    "{tokens} {inputs} {outputs}: {value} {exact}"
                );
            }
        }
    }
}
