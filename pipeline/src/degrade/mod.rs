//! The 25 distortions of KADID-10k at five levels each.
//!
//! Parameters follow the MATLAB code that the authors of KADID-10k (Lin, Hosu, Saupe, QoMEX 2019)
//! published, and act in pixels as they do at KADID's 512 x 384. We differ from it where its levels
//! are of no use as labels, and each such place says so:
//!
//! - damage always grows with the level. KADID has levels that change nothing (a Gaussian of sigma
//!   0.1, a motion blur of one pixel, a mean shift or contrast change of 0, a Lab saturation of 1)
//!   and two kinds whose sign alternates by level; here the seed draws the sign;
//! - the result is not stretched to the full range afterwards, which would undo half of the
//!   brightness kinds;
//! - things that are counted (patches, blocks) are scaled to the image's area.
//!
//! A result depends on nothing but the pixels, the distortion and the seed: no platform `libm`, no
//! thread count, no hash order. The seed draws what a kind leaves open (noise, places, direction,
//! sign); it does not depend on the level, so that one seed gives five levels of the same accident.

mod blur;
mod brightness;
mod colour;
mod colour_space;
mod compression;
mod filter;
mod jpeg;
mod jpeg2000;
mod noise;
mod palette;
mod planes;
mod rng;
mod sharpness_contrast;
mod spatial;
mod wavelet;

use qponder_kernels::pixels::RgbImage;
use qponder_shared::{Distortion, DistortionKind};

pub(crate) use colour_space::srgb_to_linear;
pub(crate) use rng::Rng;

/// The image as the distortion leaves it, of the same size.
#[must_use]
pub fn degrade(image: &RgbImage, distortion: Distortion, seed: u64) -> RgbImage {
    use DistortionKind as K;
    let level = distortion.level.index();
    let rng = &mut Rng::new(seed, distortion.kind as u64);
    match distortion.kind {
        K::GaussianBlur => blur::gaussian(image, level),
        K::LensBlur => blur::lens(image, level),
        K::MotionBlur => blur::motion(image, level, rng),
        K::ColourDiffusion => colour::diffusion(image, level),
        K::ColourShift => colour::shift(image, level, rng),
        K::ColourQuantisation => palette::quantise(image, level),
        K::SaturationHsv => colour::saturation_hsv(image, level),
        K::SaturationLab => colour::saturation_lab(image, level),
        K::Jpeg2000 => compression::jpeg2000(image, level),
        K::Jpeg => compression::jpeg(image, level),
        K::WhiteNoise => noise::white(image, level, rng),
        K::ColourNoise => noise::colour(image, level, rng),
        K::ImpulseNoise => noise::impulse(image, level, rng),
        K::MultiplicativeNoise => noise::multiplicative(image, level, rng),
        K::Denoise => noise::denoise(image, level, rng),
        K::Brighten => brightness::brighten(image, level),
        K::Darken => brightness::darken(image, level),
        K::MeanShift => brightness::mean_shift(image, level, rng),
        K::Jitter => spatial::jitter(image, level, rng),
        K::NonEccentricityPatch => spatial::patches(image, level, rng),
        K::Pixelate => spatial::pixelate(image, level),
        K::Quantisation => spatial::quantise(image, level),
        K::ColourBlock => spatial::colour_blocks(image, level, rng),
        K::Oversharpen => sharpness_contrast::oversharpen(image, level),
        K::ContrastChange => sharpness_contrast::contrast(image, level, rng),
    }
}
