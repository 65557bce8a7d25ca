//! Elementary functions that the compiler can vectorise: straight-line, no table, no branch.

/// `e^x` with a relative error below 3e-7; 0 and the largest finite power at the ends.
///
/// Range reduction by ln 2 in two parts and the degree-6 polynomial of Cephes' `expf`.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    /// 1.5 · 2²³: what is added to it is rounded to a whole number, which its last bits then hold. A cast
    /// to an integer would do the same, but its saturation keeps loops from being vectorised.
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-87.3, 88.0);
    let rounded = x.mul_add(std::f32::consts::LOG2_E, ROUND);
    let n = rounded - ROUND;
    let r = n.mul_add(-0.693_359_4, x);
    let r = n.mul_add(2.121_944_4e-4, r);
    let mut p = 1.987_569_1e-4_f32;
    p = p.mul_add(r, 1.398_2e-3);
    p = p.mul_add(r, 8.333_452e-3);
    p = p.mul_add(r, 4.166_579_6e-2);
    p = p.mul_add(r, 1.666_666_5e-1);
    p = p.mul_add(r, 0.5);
    p = p.mul_add(r * r, r) + 1.0;
    p * f32::from_bits(rounded.to_bits().wrapping_add(127) << 23)
}

/// Lanes of the reductions below: enough to vectorise, and a fixed number, so that sums do not depend
/// on the machine.
const LANES: usize = 16;

/// The largest number; −∞ of none.
pub fn largest(row: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = row.as_chunks::<LANES>();
    lanes[..rest.len()].copy_from_slice(rest);
    for chunk in chunks {
        for i in 0..LANES {
            lanes[i] = if chunk[i] > lanes[i] { chunk[i] } else { lanes[i] };
        }
    }
    lanes.into_iter().fold(f32::NEG_INFINITY, f32::max)
}

/// The sum of `e^(x − shift)`.
pub fn sum_of_exp(row: &[f32], shift: f32) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let (chunks, rest) = row.as_chunks::<LANES>();
    for (lane, &x) in lanes.iter_mut().zip(rest) {
        *lane = exp(x - shift);
    }
    for chunk in chunks {
        for i in 0..LANES {
            lanes[i] += exp(chunk[i] - shift);
        }
    }
    lanes.into_iter().sum()
}

/// With `d = x − shift`, the sums of `e^d` and of `d·e^d`.
pub fn sum_of_exp_and_products(row: &[f32], shift: f32) -> (f32, f32) {
    let (mut sums, mut products) = ([0.0_f32; LANES], [0.0_f32; LANES]);
    let (chunks, rest) = row.as_chunks::<LANES>();
    for (i, &x) in rest.iter().enumerate() {
        sums[i] = exp(x - shift);
        products[i] = (x - shift) * sums[i];
    }
    for chunk in chunks {
        for i in 0..LANES {
            let power = exp(chunk[i] - shift);
            sums[i] += power;
            products[i] = (chunk[i] - shift).mul_add(power, products[i]);
        }
    }
    (sums.into_iter().sum(), products.into_iter().sum())
}

/// Replaces every number by its share of the softmax.
pub fn softmax(row: &mut [f32]) {
    let largest = largest(row);
    let mut lanes = [0.0_f32; LANES];
    let (chunks, rest) = row.as_chunks_mut::<LANES>();
    for chunk in chunks {
        for i in 0..LANES {
            chunk[i] = exp(chunk[i] - largest);
            lanes[i] += chunk[i];
        }
    }
    for (lane, x) in lanes.iter_mut().zip(rest) {
        *x = exp(*x - largest);
        *lane += *x;
    }
    let scale = 1.0 / lanes.into_iter().sum::<f32>();
    row.iter_mut().for_each(|x| *x *= scale);
}

/// The sum of products.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for ((lane, x), y) in lanes.iter_mut().zip(a_rest).zip(b_rest) {
        *lane = x * y;
    }
    for (x, y) in a.iter().zip(b) {
        for i in 0..LANES {
            lanes[i] = x[i].mul_add(y[i], lanes[i]);
        }
    }
    lanes.into_iter().sum()
}

/// The logistic function.
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// The error function, absolute error below 2e-7 (Abramowitz and Stegun 7.1.26).
#[inline(always)]
pub fn erf(x: f32) -> f32 {
    let a = x.abs();
    let t = 1.0 / 0.327_591_1_f32.mul_add(a, 1.0);
    let mut p = 1.061_405_4_f32;
    p = p.mul_add(t, -1.453_152);
    p = p.mul_add(t, 1.421_413_7);
    p = p.mul_add(t, -0.284_496_74);
    p = p.mul_add(t, 0.254_829_6);
    (1.0 - p * t * exp(-a * a)).copysign(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_accurate_over_the_range() {
        for step in -8700..=8800 {
            let x = step as f32 / 100.0;
            let exact = f64::from(x).exp();
            assert!((f64::from(exp(x)) / exact - 1.0).abs() < 3e-7, "{x}: {} {exact}", exp(x));
        }
        assert!(exp(-1e9) < 1e-37 && exp(f32::NEG_INFINITY) < 1e-37);
    }

    #[test]
    fn reductions_take_every_number() {
        for length in [1, 5, 16, 17, 47, 64] {
            let row: Vec<f32> = (0..length).map(|i| ((i * 7) % 13) as f32 * 0.5 - 3.0).collect();
            let exact: f64 = row.iter().map(|&x| f64::from(x - 1.0).exp()).sum();
            assert!((f64::from(sum_of_exp(&row, 1.0)) / exact - 1.0).abs() < 1e-6);
            assert_eq!(largest(&row), row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
            let squares: f32 = row.iter().map(|x| x * x).sum();
            assert!((dot(&row, &row) - squares).abs() < 1e-3);
            let mut shares = row.clone();
            softmax(&mut shares);
            for (x, share) in row.iter().zip(&shares) {
                let expected = f64::from(x - 1.0).exp() / exact;
                assert!((f64::from(*share) - expected).abs() < 1e-6, "{length}: {share} {expected}");
            }
        }
    }

    #[test]
    fn erf_matches_known_values() {
        for (x, y) in
            [(0.0, 0.0), (0.5, 0.520_499_9), (1.0, 0.842_700_8), (2.0, 0.995_322_3), (-1.5, -0.966_105_1)]
        {
            assert!((erf(x) - y).abs() < 3e-7, "{x}: {}", erf(x));
        }
    }
}
