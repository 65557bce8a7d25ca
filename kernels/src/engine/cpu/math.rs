//! Elementary functions and small loops over rows, written so that compilers vectorise them: no table, no
//! branch, and no fused multiply-add, which WebAssembly does not have.

/// `e^x` with a relative error below 3e-7; 0 and the largest finite power at the ends.
///
/// Range reduction by ln 2 in two parts and the degree-6 polynomial of Cephes' `expf`.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    /// 1.5 · 2²³: what is added to it is rounded to a whole number, which its last bits then hold.
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-87.3, 88.0);
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = x - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let p = 1.987_569_1e-4_f32;
    let p = p * r + 1.398_2e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    let p = p * (r * r) + r + 1.0;
    p * f32::from_bits(rounded.to_bits().wrapping_add(127) << 23)
}

/// The error function, absolute error below 3e-7 (Abramowitz and Stegun 7.1.26).
#[inline(always)]
fn erf(x: f32) -> f32 {
    let a = x.abs();
    let t = 1.0 / (0.327_591_1 * a + 1.0);
    let p = 1.061_405_4 * t - 1.453_152;
    let p = p * t + 1.421_413_7;
    let p = p * t - 0.284_496_74;
    let p = p * t + 0.254_829_6;
    (1.0 - p * t * exp(-a * a)).copysign(x)
}

/// Exact GELU, in place.
pub fn gelu(values: &mut [f32]) {
    for x in values {
        *x *= 0.5 * (1.0 + erf(*x * std::f32::consts::FRAC_1_SQRT_2));
    }
}

/// `silu(gate) * up`, left in `gate`.
pub fn swiglu(gate: &mut [f32], up: &[f32]) {
    for (gate, up) in gate.iter_mut().zip(up) {
        *gate *= up / (1.0 + exp(-*gate));
    }
}

/// Adds `b` to `a`.
pub fn add(a: &mut [f32], b: &[f32]) {
    for (a, b) in a.iter_mut().zip(b) {
        *a += b;
    }
}

/// Lanes of the reductions below.
const LANES: usize = 8;

/// The sum of products.
#[inline]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        for i in 0..LANES {
            lanes[i] += a[i] * b[i];
        }
    }
    lanes.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}

/// Root-mean-square norm of each row of `x`, times `weight`.
pub fn rms_norm(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    for (x, out) in x.chunks_exact(weight.len()).zip(out.chunks_exact_mut(weight.len())) {
        let scale = 1.0 / (dot(x, x) / weight.len() as f32 + eps).sqrt();
        for ((out, x), weight) in out.iter_mut().zip(x).zip(weight) {
            *out = x * scale * weight;
        }
    }
}

/// Replaces every number by its share of the softmax.
pub fn softmax(row: &mut [f32]) {
    let largest = row.iter().fold(f32::NEG_INFINITY, |a, &b| if b > a { b } else { a });
    let mut lanes = [0.0_f32; LANES];
    let (chunks, rest) = row.as_chunks_mut::<LANES>();
    for chunk in chunks {
        for i in 0..LANES {
            chunk[i] = exp(chunk[i] - largest);
            lanes[i] += chunk[i];
        }
    }
    let mut total = lanes.iter().sum::<f32>();
    for x in rest {
        *x = exp(*x - largest);
        total += *x;
    }
    row.iter_mut().for_each(|x| *x /= total);
}

/// Turns the heads of each token: `x` is `(tokens, heads, 2 * half)`, `turns` holds cosine and sine
/// `(tokens, half)` each.
pub fn rope(x: &mut [f32], heads: usize, turns: &Rotation) {
    let half = turns.half;
    let tokens = turns.cos.chunks_exact(half).zip(turns.sin.chunks_exact(half));
    for (token, (cos, sin)) in x.chunks_exact_mut(heads * 2 * half).zip(tokens) {
        for head in token.chunks_exact_mut(2 * half) {
            let (first, second) = head.split_at_mut(half);
            for i in 0..half {
                let (a, b) = (first[i], second[i]);
                first[i] = a * cos[i] - b * sin[i];
                second[i] = b * cos[i] + a * sin[i];
            }
        }
    }
}

/// Cosines and sines of rotation angles, `(tokens, half)` each.
#[derive(Clone, Debug)]
pub struct Rotation {
    pub cos: Vec<f32>,
    pub sin: Vec<f32>,
    pub half: usize,
}

impl Rotation {
    /// Of angles `(tokens, half)` in radians.
    #[must_use]
    pub fn new(angles: &[f32], half: usize) -> Self {
        let mut rotation = Self { cos: Vec::new(), sin: Vec::new(), half };
        rotation.set(angles.iter().copied());
        rotation
    }

    /// By other angles from now on.
    pub fn set(&mut self, angles: impl Iterator<Item = f32>) {
        self.cos.clear();
        self.sin.clear();
        for angle in angles {
            self.cos.push(angle.cos());
            self.sin.push(angle.sin());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_accurate() {
        for step in -8700..=8800 {
            let x = step as f32 / 100.0;
            let exact = f64::from(x).exp();
            assert!((f64::from(exp(x)) / exact - 1.0).abs() < 3e-7, "{x}: {} {exact}", exp(x));
        }
        assert!(exp(f32::NEG_INFINITY) < 1e-37);
        for (x, y) in [(0.0, 0.0), (0.5, 0.520_499_9), (1.0, 0.842_700_8), (-1.5, -0.966_105_1)] {
            assert!((erf(x) - y).abs() < 3e-7, "{x}: {}", erf(x));
        }
    }

    #[test]
    fn rows_of_any_length_are_complete() {
        for length in [1, 5, 8, 17, 47] {
            let row: Vec<f32> = (0..length).map(|i| ((i * 7) % 13) as f32 * 0.5 - 3.0).collect();
            let squares: f32 = row.iter().map(|x| x * x).sum();
            assert!((dot(&row, &row) - squares).abs() < 1e-3);
            let total: f32 = row.iter().map(|x| x.exp()).sum();
            let mut shares = row.clone();
            softmax(&mut shares);
            for (x, share) in row.iter().zip(&shares) {
                assert!((share - x.exp() / total).abs() < 1e-6);
            }
        }
    }
}
