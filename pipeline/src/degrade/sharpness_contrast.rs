//! Oversharpening and contrast change.

use qponder_kernels::pixels::RgbImage;

use super::colour_space::Lab;
use super::filter;
use super::planes::{Planes, apply_curve};
use super::rng::Rng;

/// How much of the difference from the blurred lightness is added.
const AMOUNT: [f32; 5] = [1.0, 2.0, 3.0, 6.0, 12.0];
/// Standard deviation of that blur in pixels.
const RADIUS: f32 = 3.0;
/// Strength of the contrast curve. KADID alternates the sign: 0.3, 0.15, 0, -0.4, -0.6.
const CONTRAST: [f32; 5] = [0.12, 0.24, 0.36, 0.48, 0.6];

/// Unsharp masking of the lightness, as `imsharpen` does it.
pub(super) fn oversharpen(image: &RgbImage, level: usize) -> RgbImage {
    let lab = Lab::new();
    let amount = AMOUNT[level];
    let mut planes = Planes::from_bytes(image, |pixel| lab.of_srgb(pixel));
    let mut blurred = planes.channels[0].clone();
    filter::wide_gaussian(&mut blurred, planes.width, planes.height, RADIUS);
    for (value, blurred) in planes.channels[0].iter_mut().zip(blurred) {
        *value = (*value + amount * (*value - blurred)).clamp(0.0, 100.0);
    }
    planes.to_bytes(|pixel| lab.to_srgb(pixel))
}

/// The cubic tone curve through black, mid-grey, white and, with strength s of either sign,
/// (1/4, 1/4 - s/4) and (3/4, 3/4 + s/4). The seed decides whether contrast rises or falls.
pub(super) fn contrast(image: &RgbImage, level: usize, rng: &mut Rng) -> RgbImage {
    let strength = if rng.coin() { CONTRAST[level] } else { -CONTRAST[level] };
    apply_curve(image, |x| x - strength * (16.0 / 3.0) * x * (x - 0.5) * (x - 1.0))
}
