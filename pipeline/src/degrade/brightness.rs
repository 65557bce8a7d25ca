//! Brightness: brightening, darkening and mean shift.

use qponder_kernels::pixels::RgbImage;

use super::colour_space::Lab;
use super::planes::{apply_curve, image_of, to_byte};
use super::rng::Rng;

/// How far the tone curve lifts mid-grey, as a share of half the range.
const BRIGHTEN: [f32; 5] = [0.1, 0.2, 0.4, 0.7, 1.1];
/// How far the tone curve lowers mid-grey, as a share of half the range.
const DARKEN: [f32; 5] = [0.05, 0.1, 0.2, 0.4, 0.8];
/// Added to every channel. KADID alternates sign and size: 0.15, 0.08, 0, -0.08, -0.15.
const MEAN_SHIFT: [f32; 5] = [0.03, 0.06, 0.09, 0.12, 0.15];

/// The parabola through (0, 0), (1/2, middle) and (1, 1), clipped to 0 to 1.
fn curve(x: f32, middle: f32) -> f32 {
    ((2.0 - 4.0 * middle) * x * x + (4.0 * middle - 1.0) * x).clamp(0.0, 1.0)
}

/// Two thirds of a lifted tone curve on sRGB, one third of the same on lightness.
pub(super) fn brighten(image: &RgbImage, level: usize) -> RgbImage {
    let lab = Lab::new();
    let middle = 0.5 + 0.5 * BRIGHTEN[level];
    let lifted: [f32; 256] = std::array::from_fn(|byte| curve(byte as f32 / 255.0, middle));
    let mut data = image.data().to_vec();
    for pixel in data.as_chunks_mut::<3>().0 {
        let [l, a, b] = lab.of_srgb(*pixel);
        let lighter = lab.to_srgb([100.0 * curve(l / 100.0, middle), a, b]);
        *pixel = std::array::from_fn(|c| to_byte((2.0 * lifted[usize::from(pixel[c])] + lighter[c]) / 3.0));
    }
    image_of(image.width(), image.height(), data)
}

/// A lowered tone curve on sRGB.
pub(super) fn darken(image: &RgbImage, level: usize) -> RgbImage {
    apply_curve(image, |x| curve(x, 0.5 - 0.5 * DARKEN[level]))
}

/// The same amount added everywhere; the seed decides whether it is positive.
pub(super) fn mean_shift(image: &RgbImage, level: usize, rng: &mut Rng) -> RgbImage {
    let shift = if rng.coin() { MEAN_SHIFT[level] } else { -MEAN_SHIFT[level] };
    apply_curve(image, |x| x + shift)
}
