//! Smoothing filters on planes. Edges repeat the border pixel, as MATLAB's `'replicate'` does.

/// Convolves rows, then columns, with a Gaussian sampled at the pixels and cut at three sigma.
pub(super) fn gaussian(plane: &mut [f32], width: usize, height: usize, sigma: f32) {
    separable(plane, width, height, &gaussian_half(sigma));
}

/// Centre and right half of a normalised Gaussian.
fn gaussian_half(sigma: f32) -> Vec<f32> {
    let sigma = f64::from(sigma);
    let radius = (3.0 * sigma).ceil() as usize;
    let weights: Vec<f64> =
        (0..=radius).map(|i| libm::exp(-((i * i) as f64) / (2.0 * sigma * sigma))).collect();
    let total = 2.0 * weights.iter().sum::<f64>() - weights[0];
    weights.iter().map(|weight| (weight / total) as f32).collect()
}

/// Convolves rows, then columns, with the symmetric kernel whose centre and right half are given.
fn separable(plane: &mut [f32], width: usize, height: usize, half: &[f32]) {
    let radius = half.len() - 1;
    let mut padded = vec![0.0; width + 2 * radius];
    for row in plane.chunks_exact_mut(width) {
        padded[..radius].fill(row[0]);
        padded[radius..radius + width].copy_from_slice(row);
        padded[radius + width..].fill(row[width - 1]);
        for (out, &value) in row.iter_mut().zip(&padded[radius..]) {
            *out = half[0] * value;
        }
        for (distance, weight) in taps(half) {
            let left = &padded[radius - distance..][..width];
            let right = &padded[radius + distance..][..width];
            add_weighted_pair(row, left, right, weight);
        }
    }

    let source = plane.to_vec();
    let row_of = |y: usize| &source[y * width..][..width];
    for (y, row) in plane.chunks_exact_mut(width).enumerate() {
        for value in row.iter_mut() {
            *value *= half[0];
        }
        for (distance, weight) in taps(half) {
            let above = row_of(y.saturating_sub(distance));
            let below = row_of((y + distance).min(height - 1));
            add_weighted_pair(row, above, below, weight);
        }
    }
}

/// The distances from the centre at which a kernel has weight.
fn taps(half: &[f32]) -> impl Iterator<Item = (usize, f32)> {
    half.iter().copied().enumerate().skip(1).filter(|&(_, weight)| weight != 0.0)
}

fn add_weighted_pair(out: &mut [f32], first: &[f32], second: &[f32], weight: f32) {
    for ((out, &first), &second) in out.iter_mut().zip(first).zip(second) {
        *out += weight * (first + second);
    }
}

/// Smooths with the B3 spline [1 4 6 4 1] / 16 whose taps are `step` pixels apart.
pub(super) fn b3_spline(plane: &[f32], width: usize, height: usize, step: usize) -> Vec<f32> {
    const HALF: [f32; 3] = [0.375, 0.25, 0.0625];
    let mut half = vec![0.0; 2 * step + 1];
    for (tap, weight) in HALF.into_iter().enumerate() {
        half[tap * step] = weight;
    }
    let mut out = plane.to_vec();
    separable(&mut out, width, height, &half);
    out
}

/// About a Gaussian, at a cost that does not depend on sigma: three passes of a box.
///
/// The boxes have fractional ends ("extended box filter", Gwosdek et al. 2011), so that their joint
/// variance is exactly sigma squared.
pub(super) fn wide_gaussian(plane: &mut [f32], width: usize, height: usize, sigma: f32) {
    // A box of 2l + 1 pixels with two ends of weight `alpha` has variance
    // (l (l + 1) (2l + 1) / 3 + 2 alpha (l + 1)^2) / (2l + 1 + 2 alpha); three of them add up.
    let target = sigma * sigma / 3.0;
    let inner = (((12.0 * target + 1.0).sqrt() - 1.0) / 2.0).floor();
    let length = 2.0 * inner + 1.0;
    let alpha =
        length * (target - inner * (inner + 1.0) / 3.0) / (2.0 * ((inner + 1.0) * (inner + 1.0) - target));
    let extended = Box1d { inner: inner as usize, alpha, scale: 1.0 / (length + 2.0 * alpha) };
    for _ in 0..3 {
        extended.rows(plane, width);
        extended.columns(plane, width, height);
    }
}

struct Box1d {
    inner: usize,
    alpha: f32,
    scale: f32,
}

impl Box1d {
    fn rows(&self, plane: &mut [f32], width: usize) {
        let pad = self.inner + 2;
        let mut padded = vec![0.0; width + 2 * pad];
        for row in plane.chunks_exact_mut(width) {
            padded[..pad].fill(row[0]);
            padded[pad..pad + width].copy_from_slice(row);
            padded[pad + width..].fill(row[width - 1]);
            let mut sum: f32 = padded[pad - self.inner..=pad + self.inner].iter().sum();
            for (x, out) in row.iter_mut().enumerate() {
                let (before, after) = (padded[x + pad - self.inner - 1], padded[x + pad + self.inner + 1]);
                *out = self.scale * (sum + self.alpha * (before + after));
                sum += after - padded[x + pad - self.inner];
            }
        }
    }

    fn columns(&self, plane: &mut [f32], width: usize, height: usize) {
        let source = plane.to_vec();
        let row_of = |y: isize| &source[y.clamp(0, height as isize - 1) as usize * width..][..width];
        let inner = self.inner as isize;
        let mut sums = vec![0.0; width];
        for y in -inner..=inner {
            for (sum, value) in sums.iter_mut().zip(row_of(y)) {
                *sum += value;
            }
        }
        for (y, row) in plane.chunks_exact_mut(width).enumerate() {
            let y = y as isize;
            let (before, after, leaving) = (row_of(y - inner - 1), row_of(y + inner + 1), row_of(y - inner));
            let inputs = before.iter().zip(after).zip(leaving);
            for ((out, sum), ((&before, &after), &leaving)) in row.iter_mut().zip(&mut sums).zip(inputs) {
                *out = self.scale * (*sum + self.alpha * (before + after));
                *sum += after - leaving;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The response to a single bright pixel has the variance asked for and sums to one.
    fn check(blur: fn(&mut [f32], usize, usize, f32), sigma: f32, tolerance: f32) {
        let (width, height) = (121, 119);
        let mut plane = vec![0.0; width * height];
        plane[59 * width + 60] = 1.0;
        blur(&mut plane, width, height, sigma);
        let total: f32 = plane.iter().sum();
        let moment = |distance: &dyn Fn(usize) -> f32| {
            plane.iter().enumerate().map(|(i, value)| value * distance(i)).sum::<f32>()
        };
        let across = moment(&|i| ((i % width) as f32 - 60.0).powi(2));
        let down = moment(&|i| ((i / width) as f32 - 59.0).powi(2));
        assert!((total - 1.0).abs() < 1e-3, "sigma {sigma}: total {total}");
        for variance in [across, down] {
            assert!((variance.sqrt() / sigma - 1.0).abs() < tolerance, "sigma {sigma}: {}", variance.sqrt());
        }
    }

    #[test]
    fn filters_have_the_width_asked_for() {
        for sigma in [1.0, 2.0, 5.0] {
            check(gaussian, sigma, 0.03);
        }
        for sigma in [3.5, 6.5, 11.0, 14.0] {
            check(wide_gaussian, sigma, 0.01);
        }
    }
}
