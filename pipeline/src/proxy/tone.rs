//! The smooth change of tone and colour that brings one image closest to another.
//!
//! Each channel of the target is fitted, by least squares on sRGB in 0 to 1, with the three channels of
//! the source, a constant, and the square and cube of its own: enough for exposure, contrast, white
//! balance and saturation, and far too little for anything that happens in one place only.

use qponder_kernels::pixels::RgbImage;

/// 1, red, green, blue, own channel squared, own channel cubed.
const TERMS: usize = 6;
/// Pixels that the fit looks at: a few thousand decide eighteen numbers well enough.
const SAMPLES: usize = 8192;
/// Pull towards no change, as a share of the samples; it decides only where the image does not.
const RIDGE: f64 = 1e-4;

/// What is added to each channel: a weight for each term.
pub(super) struct Change([[f32; TERMS]; 3]);

fn terms(pixel: [f32; 3], channel: usize) -> [f32; TERMS] {
    let own = pixel[channel];
    [1.0, pixel[0], pixel[1], pixel[2], own * own, own * own * own]
}

impl Change {
    /// The best change from `source` to `target` (of the same size), and the root of the mean square of
    /// what it adds, in 0 to 1.
    pub(super) fn fit(source: &RgbImage, target: &RgbImage) -> (Self, f64) {
        let step = (source.width() * source.height()).div_ceil(SAMPLES) | 1;
        let scaled = |pixel: &[u8; 3]| pixel.map(|byte| f32::from(byte) * (1.0 / 255.0));
        let pixels = |image: &'_ RgbImage| -> Vec<[f32; 3]> {
            image.data().as_chunks::<3>().0.iter().step_by(step).map(scaled).collect()
        };
        let (source, target) = (pixels(source), pixels(target));
        let mut added = 0.0;
        let weights = std::array::from_fn(|channel| {
            let mut normal = [[0.0f64; TERMS]; TERMS];
            let mut right = [0.0f64; TERMS];
            for (from, to) in source.iter().zip(&target) {
                let terms = terms(*from, channel).map(f64::from);
                let missing = f64::from(to[channel] - from[channel]);
                for ((row, right), a) in normal.iter_mut().zip(&mut right).zip(terms) {
                    for (sum, b) in row.iter_mut().zip(terms) {
                        *sum += a * b;
                    }
                    *right += a * missing;
                }
            }
            for (i, row) in normal.iter_mut().enumerate() {
                row[i] += RIDGE * source.len() as f64;
            }
            let weights = solve(normal, right);
            // Of a least-squares fit, the square of what it adds is at most this product.
            added += weights.iter().zip(right).map(|(weight, right)| weight * right).sum::<f64>();
            weights.map(|weight| weight as f32)
        });
        (Self(weights), (added / (3 * source.len()) as f64).max(0.0).sqrt())
    }

    /// A pixel, sRGB in 0 to 1, after the change; it may leave that range.
    pub(super) fn apply(&self, pixel: [f32; 3]) -> [f32; 3] {
        let mut out = pixel;
        for ((out, weights), own) in out.iter_mut().zip(&self.0).zip(pixel) {
            let [constant, red, green, blue, square, cube] = weights;
            *out += constant
                + red * pixel[0]
                + green * pixel[1]
                + blue * pixel[2]
                + own * own * (square + cube * own);
        }
        out
    }
}

/// Solves a positive definite system by Cholesky's method.
fn solve(mut a: [[f64; TERMS]; TERMS], mut b: [f64; TERMS]) -> [f64; TERMS] {
    for i in 0..TERMS {
        for j in 0..=i {
            let known: f64 = (0..j).map(|k| a[i][k] * a[j][k]).sum();
            a[i][j] = if i == j { (a[i][i] - known).sqrt() } else { (a[i][j] - known) / a[j][j] };
        }
    }
    for i in 0..TERMS {
        let known: f64 = (0..i).map(|k| a[i][k] * b[k]).sum();
        b[i] = (b[i] - known) / a[i][i];
    }
    for i in (0..TERMS).rev() {
        let known: f64 = (i + 1..TERMS).map(|k| a[k][i] * b[k]).sum();
        b[i] = (b[i] - known) / a[i][i];
    }
    b
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_change_of_saturation_and_contrast() {
        let (width, height) = (40, 30);
        let data: Vec<u8> = (0..3 * width * height).map(|i| ((i * 7919) % 199) as u8 + 20).collect();
        let changed = data
            .as_chunks::<3>()
            .0
            .iter()
            .flat_map(|pixel| {
                let mean = pixel.iter().map(|&byte| f32::from(byte)).sum::<f32>() / 3.0;
                pixel.map(|byte| (0.6 * (0.5 * f32::from(byte) + 0.5 * mean) + 30.5) as u8)
            })
            .collect();
        let source = RgbImage::new(width, height, data).expect("three bytes a pixel");
        let target = RgbImage::new(width, height, changed).expect("three bytes a pixel");
        let (change, added) = Change::fit(&source, &target);
        assert!(added > 0.05, "{added}");
        for (from, to) in source.data().as_chunks::<3>().0.iter().zip(target.data().as_chunks::<3>().0) {
            let found = change.apply(from.map(|byte| f32::from(byte) / 255.0));
            let close = found.iter().zip(to).all(|(a, &b)| (a * 255.0 - f32::from(b)).abs() < 2.0);
            assert!(close, "{from:?} became {found:?}, not {to:?}");
        }
        assert_eq!(Change::fit(&source, &source).1, 0.0);
    }
}
