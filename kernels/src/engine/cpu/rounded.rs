//! Products of weights in whole numbers with activations rounded to 16 bits: twice as many multiplications an
//! instruction as in f32, for an error of 2⁻¹⁶ of the largest activation among 32.
//!
//! Sums of a block of 32 stay in whole numbers (at most 32 · 127 · 32767, which 31 bits hold) and are scaled
//! once; both scales are those of the block.

use super::product::{PANEL, TILE};
use super::simd::{Sums, Totals, Weights, add_products, numbers, pair, scaled, weights};
use crate::engine::model::{Matrix, Numbers};

/// Values that share a scale.
const BLOCK: usize = 32;

/// Lanes of the reductions over them.
const LANES: usize = 8;

/// Weights of a pair of inputs for each output of a panel.
type Pair = [i16; 2 * PANEL];

/// Activations `(tokens, inputs)`, with a scale for each block.
struct Rounded {
    numbers: Vec<i16>,
    scales: Vec<f32>,
}

impl Rounded {
    fn new(x: &[f32]) -> Self {
        let (mut numbers, mut scales) = (Vec::with_capacity(x.len()), Vec::with_capacity(x.len() / BLOCK));
        for block in x.as_chunks::<BLOCK>().0 {
            // In lanes, as compilers vectorise it; what is no number spoils the second sum and so all products.
            let (mut largest, mut zero) = ([0.0_f32; LANES], [0.0_f32; LANES]);
            for lanes in block.as_chunks::<LANES>().0 {
                for i in 0..LANES {
                    let size = lanes[i].abs();
                    largest[i] = if size > largest[i] { size } else { largest[i] };
                    zero[i] += lanes[i] * 0.0;
                }
            }
            let largest = largest.into_iter().fold(zero.iter().sum(), |a: f32, b| if b > a { b } else { a });
            let scale = largest / f32::from(i16::MAX);
            let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
            // Half away from zero: `as` cuts, saturates, and needs no call as rounding would.
            numbers.extend(block.iter().map(|x| (x * inverse + 0.5_f32.copysign(*x)) as i16));
            scales.push(scale);
        }
        Self { numbers, scales }
    }
}

/// Whether a matrix can be multiplied so.
pub fn takes(matrix: &Matrix) -> bool {
    matches!(matrix.numbers, Numbers::Q8 { .. } | Numbers::Q4 { .. })
}

/// As [`linear`](super::linear), for a matrix that [`takes`] says yes to.
pub fn linear(x: &[f32], weight: &Matrix, bias: Option<&[f32]>, out: &mut [f32]) {
    let (k, n) = (weight.inputs, weight.outputs);
    let (tokens, blocks) = (x.len() / k, k / BLOCK);
    let x = Rounded::new(x);
    let mut panel = vec![[0; 2 * PANEL]; k / 2];
    let mut scales = vec![[0.0; PANEL]; blocks];
    for first in (0..n).step_by(PANEL) {
        let width = PANEL.min(n - first);
        for lane in 0..width {
            unpack(weight, first + lane, lane, &mut panel, &mut scales);
        }
        for top in (0..tokens).step_by(TILE) {
            let rows: [_; TILE] = std::array::from_fn(|i| (top + i).min(tokens - 1));
            let numbers = rows.map(|row| &x.numbers[row * k..][..k]);
            let row_scales = rows.map(|row| &x.scales[row * blocks..][..blocks]);
            let sums = tile(numbers, row_scales, &panel, &scales);
            for (token, sums) in (top..tokens).zip(&sums) {
                let out = &mut out[token * n + first..][..width];
                match bias {
                    Some(bias) => (0..width).for_each(|lane| out[lane] = sums[lane] + bias[first + lane]),
                    None => out.copy_from_slice(&sums[..width]),
                }
            }
        }
    }
}

/// Puts a row of weights into a lane of the panel.
fn unpack(weight: &Matrix, row: usize, lane: usize, panel: &mut [Pair], scales: &mut [[f32; PANEL]]) {
    let (k, first) = (weight.inputs, row * weight.inputs);
    let mut put = |at: usize, quants: [i16; 2]| {
        panel[at][2 * lane] = quants[0];
        panel[at][2 * lane + 1] = quants[1];
    };
    let row_scales = match &weight.numbers {
        Numbers::Q8 { quants, scales } => {
            for (at, quants) in quants[first..first + k].as_chunks::<2>().0.iter().enumerate() {
                put(at, quants.map(i16::from));
            }
            scales
        }
        Numbers::Q4 { quants, scales } => {
            // The low halves of a block's bytes come before the high ones.
            let halves = quants[first / 2..(first + k) / 2].as_chunks::<{ BLOCK / 2 }>().0;
            for (block, bytes) in halves.iter().enumerate() {
                for (at, bytes) in bytes.as_chunks::<2>().0.iter().enumerate() {
                    put(block * BLOCK / 2 + at, bytes.map(|byte| i16::from(byte & 15) - 8));
                    put(block * BLOCK / 2 + BLOCK / 4 + at, bytes.map(|byte| i16::from(byte >> 4) - 8));
                }
            }
            scales
        }
        Numbers::F32(_) | Numbers::F16(_) => return,
    };
    for (scales, scale) in scales.iter_mut().zip(&row_scales[first / BLOCK..]) {
        scales[lane] = *scale;
    }
}

/// Products of a few rows with a panel.
#[inline]
fn tile(
    rows: [&[i16]; TILE],
    row_scales: [&[f32]; TILE],
    panel: &[Pair],
    scales: &[[f32; PANEL]],
) -> [[f32; PANEL]; TILE] {
    // Lengths and indices are constants within a block, so that nothing is checked in there.
    let rows = rows.map(|row| row.as_chunks::<2>().0.as_chunks::<{ BLOCK / 2 }>().0);
    let mut totals = [Totals::default(); TILE];
    for (block, (pairs, scales)) in panel.as_chunks::<{ BLOCK / 2 }>().0.iter().zip(scales).enumerate() {
        let rows = rows.map(|row| &row[block]);
        let mut wholes = [Sums::default(); TILE];
        for at in 0..BLOCK / 2 {
            let of_panel: Weights = weights(&pairs[at]);
            for i in 0..TILE {
                wholes[i] = add_products(wholes[i], pair(&rows[i][at]), of_panel);
            }
        }
        for i in 0..TILE {
            totals[i] = scaled(totals[i], wholes[i], row_scales[i][block], scales);
        }
    }
    totals.map(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::random::Random;

    #[test]
    fn sums_are_exact_but_for_the_rounding_of_activations() {
        let mut random = Random::new(11);
        for (tokens, inputs, outputs) in [(1, 32, 5), (4, 64, 8), (7, 160, 19), (66, 512, 9)] {
            for is_q8 in [true, false] {
                let count = inputs * outputs;
                let scales = random.numbers(count / 32);
                let numbers = if is_q8 {
                    let quants = (0..count).map(|_| (random.bits() % 255) as i8).collect();
                    Numbers::Q8 { quants, scales }
                } else {
                    Numbers::Q4 { quants: (0..count / 2).map(|_| random.bits() as u8).collect(), scales }
                };
                let matrix = Matrix { outputs, inputs, numbers };
                let (x, bias) = (random.numbers(tokens * inputs), random.numbers(outputs));
                let mut out = vec![0.0; tokens * outputs];
                linear(&x, &matrix, Some(&bias), &mut out);
                let mut row = vec![0.0; inputs];
                for (index, value) in out.iter().enumerate() {
                    let (token, output) = (index / outputs, index % outputs);
                    matrix.row(output, &mut row);
                    let x = &x[token * inputs..][..inputs];
                    let exact: f64 = x.iter().zip(&row).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                    let exact = exact + f64::from(bias[output]);
                    // Each product is off by at most 2⁻¹⁶ of the largest activation, here 1.7.
                    let size: f32 = row.iter().map(|weight| weight.abs()).sum();
                    let error = (f64::from(*value) - exact).abs();
                    assert!(error < f64::from(3e-5 * size), "{tokens} {inputs} {outputs}: {value} {exact}");
                }
            }
        }
    }

    #[test]
    fn the_largest_numbers_do_not_overflow() {
        let numbers = Numbers::Q8 { quants: vec![-127; 64], scales: vec![1.0; 2] };
        let matrix = Matrix { outputs: 1, inputs: 64, numbers };
        let mut out = [0.0; 4];
        linear(&[-2.0; 256], &matrix, None, &mut out);
        for value in out {
            assert!((value - 2.0 * 127.0 * 64.0).abs() < 1.0, "{value}");
        }
        linear(&[0.0; 256], &matrix, None, &mut out);
        assert_eq!(out, [0.0; 4]);
        for what in [f32::NAN, f32::INFINITY] {
            let mut x = [1.0; 256];
            x[70] = what;
            linear(&x, &matrix, None, &mut out);
            assert!(!out[0].is_nan() && out[1].is_nan(), "{what} left {out:?}");
        }
    }
}
