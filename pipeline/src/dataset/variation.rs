//! Other pristine images from the same photograph: a little narrower or lower, lighter or darker, warmer
//! or cooler, more or less colourful; of whole photographs also other frames and sizes.
//!
//! A model that sees few photographs learns to know them, and then what was done to them. Each variation
//! is one that a photographer might have taken or developed: it stays within limits at which an image
//! is still faultless, and it comes before the distortion, so that its label does not change.

use qponder_kernels::pixels::{Filter, RgbImage, resize};

use crate::degrade::Rng;

/// The most that a side is shrunk by.
const SQUEEZE: f64 = 1.3;
/// The exponent of the tone curve lies between this and its inverse.
const GAMMA: f64 = 1.35;
/// The largest gain of red over green or blue over green, and the inverse of the smallest.
const CAST: f64 = 1.1;
/// Colourfulness lies between this and the one below, as a share of the original.
const MUTED: f64 = 0.6;
const VIVID: f64 = 1.25;
/// The least and the most that the second photograph of a double exposure has in it.
const SECOND: (f64, f64) = (0.25, 0.5);
/// The smallest share of a side that a frame of a whole photograph keeps.
const FRAME: f64 = 0.7;
/// The smallest share of the size at which a whole photograph could be shown.
const SMALLEST: f64 = 0.6;

/// How large a piece of a photograph becomes a square of `size` pixels: at least as large.
pub(super) fn piece(size: usize, longest: (usize, usize), rng: &mut Rng) -> (usize, usize) {
    let mut side = |most: usize| {
        let share = 1.0 + (SQUEEZE - 1.0) * f64::from(rng.unit());
        ((size as f64 * share).round() as usize).min(most)
    };
    (side(longest.0), side(longest.1))
}

/// A frame of a whole photograph of `width` by `height` pixels: its left and upper edge, then its sides. Each
/// is at least [`FRAME`] of the photograph's.
pub(super) fn frame(width: usize, height: usize, rng: &mut Rng) -> [usize; 4] {
    let mut side = |whole: usize| {
        let share = FRAME + (1.0 - FRAME) * f64::from(rng.unit());
        let kept = ((whole as f64 * share).round() as usize).clamp(1, whole);
        (rng.below(whole - kept + 1), kept)
    };
    let ((left, kept_width), (top, kept_height)) = (side(width), side(height));
    [left, top, kept_width, kept_height]
}

/// How large a frame of `width` by `height` pixels is shown: its longer side has at most `longest` pixels and
/// often fewer, and neither side is enlarged.
pub(super) fn shown(width: usize, height: usize, longest: usize, rng: &mut Rng) -> (usize, usize) {
    let most = (longest as f64 / width.max(height) as f64).min(1.0);
    let share = most * between(SMALLEST, 1.0, rng);
    // One side is squeezed, so that its share is smaller.
    let squeezed = share / between(1.0, SQUEEZE, rng);
    let shares = if rng.below(2) == 0 { [share, squeezed] } else { [squeezed, share] };
    let scaled = |side: usize, share: f64| ((side as f64 * share).round() as usize).max(1);
    (scaled(width, shares[0]), scaled(height, shares[1]))
}

/// The piece at `width` by `height` pixels, developed in another way.
pub(super) fn develop(piece: &RgbImage, width: usize, height: usize, rng: &mut Rng) -> RgbImage {
    let shrunk = resize(piece, width, height, Filter::Bicubic);
    let gamma = between(GAMMA.recip(), GAMMA, rng);
    let gains = [between(CAST.recip(), CAST, rng), 1.0, between(CAST.recip(), CAST, rng)];
    let saturation = between(MUTED, VIVID, rng);
    // Gains above 1 would clip the lights; dividing by the largest keeps white at or below white.
    let largest = gains.iter().copied().fold(1.0, f64::max);
    let curves = gains.map(|gain| curve(gamma, gain / largest));
    let mut data = shrunk.into_data();
    for pixel in data.chunks_exact_mut(3) {
        let [r, g, b] =
            [curves[0][pixel[0] as usize], curves[1][pixel[1] as usize], curves[2][pixel[2] as usize]];
        let luma = 0.299 * r + 0.587 * g + 0.114 * b;
        for (out, value) in pixel.iter_mut().zip([r, g, b]) {
            *out = (luma + saturation * (value - luma)).round().clamp(0.0, 255.0) as u8;
        }
    }
    RgbImage::new(width, height, data).unwrap_or_else(|| unreachable!("as many bytes as before"))
}

/// A double exposure of two images of one size, of their mean brightness. The deviations from it are stretched by
/// as much as averaging two images that have nothing to do with each other flattens them.
pub(super) fn expose(first: &RgbImage, second: &RgbImage, rng: &mut Rng) -> RgbImage {
    let share = SECOND.0 + (SECOND.1 - SECOND.0) * f64::from(rng.unit());
    let mixed = |(&a, &b): (&u8, &u8)| f64::from(a) * (1.0 - share) + f64::from(b) * share;
    let pairs = || first.data().iter().zip(second.data());
    let mean = pairs().map(mixed).sum::<f64>() / first.data().len() as f64;
    let gain = (1.0 - share).hypot(share).recip();
    let stretched = |pair| (mean + gain * (mixed(pair) - mean)).round().clamp(0.0, 255.0) as u8;
    RgbImage::new(first.width(), first.height(), pairs().map(stretched).collect())
        .unwrap_or_else(|| unreachable!("as many bytes as the first has"))
}

/// A number whose logarithm is uniform.
fn between(low: f64, high: f64, rng: &mut Rng) -> f64 {
    low * (high / low).powf(f64::from(rng.unit()))
}

/// The value that each byte becomes.
fn curve(gamma: f64, gain: f64) -> [f64; 256] {
    std::array::from_fn(|byte| 255.0 * gain * (byte as f64 / 255.0).powf(gamma))
}
