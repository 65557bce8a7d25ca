//! Noise: white, in colour components, impulses, multiplicative, and what a denoiser leaves.

use qponder_kernels::pixels::RgbImage;

use super::filter;
use super::planes::Planes;
use super::rng::{NormalTable, Rng};

/// Variance of white noise on sRGB in 0 to 1.
const WHITE: [f32; 5] = [0.001, 0.002, 0.003, 0.005, 0.01];
/// Variance of noise on Y'CbCr in 0 to 1.
const COLOUR: [f32; 5] = [0.0001, 0.0005, 0.001, 0.002, 0.003];
/// Share of the channel values that an impulse replaces.
const IMPULSE: [f32; 5] = [0.001, 0.005, 0.01, 0.02, 0.03];
/// Variance of the factor's deviation from 1.
const MULTIPLICATIVE: [f32; 5] = [0.001, 0.005, 0.01, 0.02, 0.05];
/// Variance of the noise that the denoiser has to remove. KADID's is 0.01 to 0.15, for a network that
/// loses far less than ours.
const DENOISE: [f32; 5] = [0.001, 0.003, 0.007, 0.015, 0.04];

fn add_white(planes: &mut Planes, deviation: f32, rng: &mut Rng) {
    let mut noise = vec![0.0; planes.width * planes.height];
    planes.for_each(|plane, _, _| {
        rng.fill_normal(&mut noise);
        for (value, noise) in plane.iter_mut().zip(&noise) {
            *value += deviation * noise;
        }
    });
}

pub(super) fn white(image: &RgbImage, level: usize, rng: &mut Rng) -> RgbImage {
    let mut planes = Planes::from_rgb(image);
    add_white(&mut planes, WHITE[level].sqrt(), rng);
    planes.to_rgb()
}

/// White noise on each component of studio-range Y'CbCr, as MATLAB's `rgb2ycbcr` defines it. The
/// conversion is affine, so the noise alone needs to be converted.
pub(super) fn colour(image: &RgbImage, level: usize, rng: &mut Rng) -> RgbImage {
    let deviation = COLOUR[level].sqrt();
    let table = NormalTable::get();
    let mut spare = None;
    let mut next = |rng: &mut Rng| {
        spare.take().unwrap_or_else(|| {
            let [first, second] = rng.normal_pair(table);
            spare = Some(second);
            first
        })
    };
    let mut planes = Planes::from_rgb(image);
    let [red, green, blue] = &mut planes.channels;
    for ((red, green), blue) in red.iter_mut().zip(green).zip(blue) {
        let [y, cb, cr] = [(); 3].map(|()| deviation * next(rng));
        *red += 1.1644 * y + 1.596 * cr;
        *green += 1.1644 * y - 0.3918 * cb - 0.813 * cr;
        *blue += 1.1644 * y + 2.0172 * cb;
    }
    planes.to_rgb()
}

/// Salt and pepper on each channel for itself.
pub(super) fn impulse(image: &RgbImage, level: usize, rng: &mut Rng) -> RgbImage {
    // The distance to the next hit is geometric; drawing it costs one number a hit, not a value.
    let log_miss = libm::log(1.0 - f64::from(IMPULSE[level]));
    let mut data = image.data().to_vec();
    let mut at = 0usize;
    loop {
        let uniform = (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        at = at.saturating_add((libm::log(1.0 - uniform) / log_miss) as usize);
        let Some(value) = data.get_mut(at) else { break };
        *value = if rng.coin() { 255 } else { 0 };
        at += 1;
    }
    super::planes::image_of(image.width(), image.height(), data)
}

/// Multiplies each value by 1 plus uniform noise, as `imnoise(..., 'speckle')` does.
pub(super) fn multiplicative(image: &RgbImage, level: usize, rng: &mut Rng) -> RgbImage {
    let reach = (3.0 * MULTIPLICATIVE[level]).sqrt();
    let mut planes = Planes::from_rgb(image);
    planes.for_each(|plane, _, _| {
        for value in plane {
            *value *= 1.0 + reach * (2.0 * rng.unit() - 1.0);
        }
    });
    planes.to_rgb()
}

/// White noise, then its removal. KADID denoises each channel with the DnCNN network; here a
/// starlet (undecimated B3-spline wavelet) shrinks what is below the noise, which leaves the same
/// kinds of damage: lost texture, soft edges and coloured blotches.
pub(super) fn denoise(image: &RgbImage, level: usize, rng: &mut Rng) -> RgbImage {
    /// Standard deviation of unit white noise in each scale of the starlet (Starck, Murtagh).
    const NOISE: [f32; 3] = [0.889, 0.200, 0.086];
    /// Threshold in standard deviations of the noise in the scale.
    const THRESHOLD: f32 = 1.5;

    let deviation = DENOISE[level].sqrt();
    let mut planes = Planes::from_rgb(image);
    add_white(&mut planes, deviation, rng);
    planes.for_each(|plane, width, height| {
        let mut details = vec![0.0; plane.len()];
        let mut smooth: Vec<f32> = plane.iter().map(|value| value.clamp(0.0, 1.0)).collect();
        for (scale, noise) in NOISE.iter().enumerate() {
            let coarser = filter::b3_spline(&smooth, width, height, 1 << scale);
            let threshold = THRESHOLD * noise * deviation;
            for ((sum, fine), coarse) in details.iter_mut().zip(&smooth).zip(&coarser) {
                let detail = fine - coarse;
                *sum += detail - detail.clamp(-threshold, threshold);
            }
            smooth = coarser;
        }
        for ((value, detail), smooth) in plane.iter_mut().zip(details).zip(smooth) {
            *value = smooth + detail;
        }
    });
    planes.to_rgb()
}
