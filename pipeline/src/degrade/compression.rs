//! Compression artefacts, at the strengths that KADID uses.

use qponder_kernels::pixels::RgbImage;

use super::{jpeg, jpeg2000};

/// Quality of the JPEG coder.
const QUALITY: [u32; 5] = [43, 36, 24, 7, 4];
/// Ratio of 24 bits a pixel to the compressed size.
const RATIO: [f64; 5] = [16.0, 32.0, 45.0, 120.0, 400.0];

pub(super) fn jpeg(image: &RgbImage, level: usize) -> RgbImage {
    jpeg::round_trip(image, QUALITY[level])
}

pub(super) fn jpeg2000(image: &RgbImage, level: usize) -> RgbImage {
    jpeg2000::round_trip(image, RATIO[level])
}
