//! JPEG 2000 without its entropy coder: what is lost, at the size that the coder would reach.
//!
//! As in the standard's lossy path: Y'CbCr, CDF 9/7 wavelets over five levels, a dead-zone quantiser
//! with one step for all bands (the transform is close to orthonormal, so equal steps minimise the
//! squared error, which is what a coder without visual weights does). The step is the smallest whose
//! estimated rate fits the target. The estimate is the zeroth-order entropy of each band's magnitude
//! classes plus sign and raw bits; a real coder's contexts save some 10 to 25 % of that, so the
//! damage here is that of a slightly higher ratio. There are no tiles, layers or headers.

use qponder_kernels::pixels::RgbImage;

use super::colour_space::{rgb_from_ycbcr, ycbcr_from_rgb};
use super::planes::Planes;
use super::wavelet::{self, Band};

/// Magnitudes are counted in eighths of an octave from `2^LOWEST` up; steps lie on the same grid,
/// so that the class of a magnitude at any step follows from its bin alone.
const OCTAVES: usize = 20;
const LOWEST: i32 = -5;
const BINS: usize = 8 * OCTAVES;
const FIRST_BIN: u32 = ((127 + LOWEST) as u32) << 3;

type Histogram = [u32; BINS];

/// The image after compression to one part in `ratio` of 24 bits a pixel, and decompression.
pub(super) fn round_trip(image: &RgbImage, ratio: f64) -> RgbImage {
    let mut planes =
        Planes::from_bytes(image, |pixel| ycbcr_from_rgb(pixel.map(|byte| f32::from(byte) - 128.0)));
    let (width, height) = (planes.width, planes.height);
    let levels = (width.min(height).ilog2() as usize).min(5);
    planes.for_each(|plane, width, height| wavelet::forward(plane, width, height, levels));

    let bands = wavelet::bands(width, height, levels);
    let histograms: Vec<(f64, Histogram)> = planes
        .channels
        .iter()
        .flat_map(|plane| bands.iter().map(move |band| (band.len() as f64, histogram(plane, width, band))))
        .collect();
    let target = 24.0 * (width * height) as f64 / ratio;
    let fits =
        |step: usize| histograms.iter().map(|(len, counts)| bits(*len, counts, step)).sum::<f64>() <= target;
    let (mut fails, mut step) = (0, BINS - 1);
    while step - fails > 1 {
        let middle = (fails + step) / 2;
        if fits(middle) { step = middle } else { fails = middle }
    }
    let step = f32::from_bits((step as u32 + FIRST_BIN) << 20);

    planes.for_each(|plane, width, height| {
        for value in plane.iter_mut() {
            let index = (*value / step).trunc();
            // Half a step into the cell; zero stays zero.
            *value = if index == 0.0 { 0.0 } else { (index + 0.5f32.copysign(index)) * step };
        }
        wavelet::inverse(plane, width, height, levels);
    });
    planes.to_bytes(|pixel| rgb_from_ycbcr(pixel).map(|value| (value + 128.0) / 255.0))
}

fn histogram(plane: &[f32], stride: usize, band: &Band) -> Histogram {
    let mut counts = [0; BINS];
    for y in band.top..band.bottom {
        for value in &plane[y * stride + band.left..y * stride + band.right] {
            // Exponent and three bits of mantissa; smaller values share the first bin.
            let bin = (value.abs().to_bits() >> 20).saturating_sub(FIRST_BIN);
            counts[(bin as usize).min(BINS - 1)] += 1;
        }
    }
    counts
}

/// Estimated bits of a band at the step whose bin is given.
fn bits(len: f64, counts: &Histogram, step: usize) -> f64 {
    let zeros = counts[..step].iter().sum::<u32>();
    let classes = counts[step..].chunks(8).map(|class| class.iter().sum::<u32>());
    let mut total = len * libm::log2(len.max(1.0)) - information(zeros);
    for (raw_bits, count) in classes.enumerate() {
        // One bit of sign and, in a class that spans 2^n values, n raw bits.
        total += f64::from(count) * (1.0 + raw_bits as f64) - information(count);
    }
    total
}

fn information(count: u32) -> f64 {
    if count == 0 { 0.0 } else { f64::from(count) * libm::log2(f64::from(count)) }
}
