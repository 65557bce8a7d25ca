//! Resampling that agrees with `Image.resize` of Pillow 13, bit for bit.
//!
//! The reference image processors of the model family resize with Pillow, and a model notices other pixels
//! than those it was trained on. So this follows Pillow's `Resample.c`: the filter is stretched by the scale
//! when shrinking (antialiasing), weights are computed in double precision, normalised, and rounded to
//! fixed point with [`PRECISION_BITS`] bits; then one pass per axis, each rounding to bytes. Which axis comes
//! first shows in the last bit. It is the horizontal one, except where the height shrinks by more than twice as
//! many pixels as the width (new in Pillow 13).

use super::RgbImage;

/// Fractional bits of a weight: what is left of 32 after 8 bits of sample and 2 of headroom for the
/// negative lobes.
const PRECISION_BITS: u32 = 32 - 8 - 2;

/// Half a unit, so that the shift at the end rounds to nearest.
const HALF: i32 = 1 << (PRECISION_BITS - 1);

/// Bytes of a row whose sums are kept in vector registers at a time.
const BLOCK: usize = 48;

/// Rows that the horizontal pass takes at a time: a column of them fills a block.
const STRIP: usize = BLOCK / 3;

/// Which kernel weighs the source pixels. Names and shapes are Pillow's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Filter {
    /// Every source pixel under the target pixel counts alike.
    Box,
    /// Triangle, two pixels wide.
    Bilinear,
    /// Keys' cubic with a = −0.5, four pixels wide.
    Bicubic,
}

impl Filter {
    /// Half the kernel's width in source pixels at scale 1.
    fn support(self) -> f64 {
        match self {
            Filter::Box => 0.5,
            Filter::Bilinear => 1.0,
            Filter::Bicubic => 2.0,
        }
    }

    /// The kernel at signed distance `x`. The order of the operations is the reference's: it decides the last bit.
    fn weight(self, x: f64) -> f64 {
        const A: f64 = -0.5;
        let distance = x.abs();
        match self {
            Filter::Box if x > -0.5 && x <= 0.5 => 1.0,
            Filter::Bilinear if distance < 1.0 => 1.0 - distance,
            Filter::Bicubic if distance < 1.0 => {
                ((A + 2.0) * distance - (A + 3.0)) * distance * distance + 1.0
            }
            Filter::Bicubic if distance < 2.0 => (((distance - 5.0) * distance + 8.0) * distance - 4.0) * A,
            _ => 0.0,
        }
    }
}

/// `image` at `width` × `height` pixels. A size of 0 is taken as 1, so that the result is an image.
#[must_use]
pub fn resize(image: &RgbImage, width: usize, height: usize, filter: Filter) -> RgbImage {
    let (width, height) = (width.max(1), height.max(1));
    let across = |data: &[u8]| horizontal(data, image.width(), &Weights::new(image.width(), width, filter));
    let down = |data: &[u8], width| vertical(data, 3 * width, &Weights::new(image.height(), height, filter));

    let data = match (width != image.width(), height != image.height()) {
        (false, false) => image.data().to_vec(),
        (true, false) => across(image.data()),
        (false, true) => down(image.data(), width),
        (true, true) if shrinks_mostly_in_height(image, width, height) => {
            across(&down(image.data(), image.width()))
        }
        (true, true) => down(&across(image.data()), width),
    };
    RgbImage::from_parts(width, height, data)
}

fn shrinks_mostly_in_height(image: &RgbImage, width: usize, height: usize) -> bool {
    let lost = |from: usize, to: usize| from as i64 - to as i64;
    lost(image.height(), height) > (2 * lost(image.width(), width)).max(0)
}

/// The size of an image whose longer side is at most `longest`, in proportion and never enlarged:
/// `(width, height)`, each at least 1.
#[must_use]
pub fn fit_within(width: usize, height: usize, longest: usize) -> (usize, usize) {
    let longer = width.max(height);
    if longer <= longest {
        return (width, height);
    }
    let scaled = |side: usize| ((side as f64 * longest as f64 / longer as f64).round() as usize).max(1);
    (scaled(width), scaled(height))
}

/// For every target position, the source positions that it sees and their fixed-point weights.
struct Weights {
    /// First source position and number of positions.
    spans: Vec<(usize, usize)>,
    /// `taps` weights per target position, of which the span's length is used.
    values: Vec<i32>,
    taps: usize,
}

impl Weights {
    fn new(from: usize, to: usize, filter: Filter) -> Self {
        let scale = from as f64 / to as f64;
        let stretch = scale.max(1.0);
        let support = filter.support() * stretch;
        let taps = support.ceil() as usize * 2 + 1;

        let mut spans = Vec::with_capacity(to);
        let mut values = vec![0; to * taps];
        let mut exact = vec![0.0; taps];
        for (target, fixed) in values.chunks_exact_mut(taps).enumerate() {
            let centre = (target as f64 + 0.5) * scale;
            // A cast to an unsigned integer truncates and stops at 0, as the reference does in two steps.
            let first = (centre - support + 0.5) as usize;
            let end = ((centre + support + 0.5) as usize).min(from);
            let count = end - first;

            let mut sum = 0.0;
            for (offset, weight) in exact[..count].iter_mut().enumerate() {
                *weight = filter.weight(((offset + first) as f64 - centre + 0.5) * (1.0 / stretch));
                sum += *weight;
            }
            for (weight, fixed) in exact[..count].iter().zip(fixed) {
                let normal = if sum == 0.0 { *weight } else { weight / sum };
                *fixed = (normal * f64::from(1 << PRECISION_BITS) + 0.5_f64.copysign(normal)) as i32;
            }
            spans.push((first, count));
        }
        Self { spans, values, taps }
    }

    /// First source position and weights of each target position.
    fn iter(&self) -> impl Iterator<Item = (usize, &[i32])> {
        let weights = self.values.chunks_exact(self.taps);
        self.spans.iter().zip(weights).map(|(&(first, count), weights)| (first, &weights[..count]))
    }
}

/// Resamples each column of rows that are `stride` bytes long.
fn vertical(data: &[u8], stride: usize, weights: &Weights) -> Vec<u8> {
    let mut out = vec![0; stride * weights.spans.len()];
    combine(data, stride, weights, &mut out);
    out
}

/// Resamples each row of `width` pixels.
///
/// A few rows are laid out column by column and back. What a weight is applied to then lies side by side, as in
/// the vertical pass, and the same loop serves both.
fn horizontal(data: &[u8], width: usize, weights: &Weights) -> Vec<u8> {
    let (stride, out_stride) = (3 * width, 3 * weights.spans.len());
    let mut out = vec![0; data.len() / stride * out_stride];
    let mut columns = vec![0; width * BLOCK];
    let mut out_columns = vec![0; weights.spans.len() * BLOCK];
    for (rows, out_rows) in data.chunks(STRIP * stride).zip(out.chunks_mut(STRIP * out_stride)) {
        for (row, pixels) in rows.chunks_exact(stride).enumerate() {
            for (column, pixel) in columns.chunks_exact_mut(BLOCK).zip(pixels.chunks_exact(3)) {
                column[3 * row..3 * row + 3].copy_from_slice(pixel);
            }
        }
        combine(&columns, BLOCK, weights, &mut out_columns);
        for (row, pixels) in out_rows.chunks_exact_mut(out_stride).enumerate() {
            for (column, pixel) in out_columns.chunks_exact(BLOCK).zip(pixels.chunks_exact_mut(3)) {
                pixel.copy_from_slice(&column[3 * row..3 * row + 3]);
            }
        }
    }
    out
}

/// Writes the weighted sums of rows that are `stride` bytes long: one row per target position.
///
/// Never inlined: knowing the stride, the compiler finds a worse way to use vectors.
#[inline(never)]
fn combine(data: &[u8], stride: usize, weights: &Weights, out: &mut [u8]) {
    for ((first, weights), out_row) in weights.iter().zip(out.chunks_exact_mut(stride)) {
        let rows =
            || data[first * stride..(first + weights.len()) * stride].chunks_exact(stride).zip(weights);
        let Some(last_block) = stride.checked_sub(BLOCK) else {
            for (at, byte) in out_row.iter_mut().enumerate() {
                *byte = to_byte(rows().fold(HALF, |sum, (row, &weight)| sum + i32::from(row[at]) * weight));
            }
            continue;
        };
        // The last block reaches back to be whole; what it shares with the one before is computed twice.
        for start in (0..stride).step_by(BLOCK).map(|start| start.min(last_block)) {
            let mut sums = [HALF; BLOCK];
            for (row, &weight) in rows() {
                if let Some(samples) = row[start..].first_chunk() {
                    add(&mut sums, samples, weight);
                }
            }
            out_row[start..start + BLOCK].copy_from_slice(&sums.map(to_byte));
        }
    }
}

/// Adds `weight` times each sample to its sum; over arrays, so that the loop becomes a few vector operations.
/// The arithmetic wraps in name only: the headroom of [`PRECISION_BITS`] rules overflow out, and a check of every
/// sum would keep the compiler from using vectors.
#[inline(always)]
fn add(sums: &mut [i32; BLOCK], samples: &[u8; BLOCK], weight: i32) {
    for (sum, &sample) in sums.iter_mut().zip(samples) {
        *sum = sum.wrapping_add(i32::from(sample).wrapping_mul(weight));
    }
}

fn to_byte(sum: i32) -> u8 {
    (sum >> PRECISION_BITS).clamp(0, 255) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_of_every_filter_sum_to_one() {
        for filter in [Filter::Box, Filter::Bilinear, Filter::Bicubic] {
            for (from, to) in [(1, 1), (1, 9), (7, 3), (640, 28), (3, 1000), (65535, 2)] {
                for (first, weights) in Weights::new(from, to, filter).iter() {
                    let sum: i64 = weights.iter().map(|&weight| i64::from(weight)).sum();
                    let off = (sum - (1 << PRECISION_BITS)).unsigned_abs() as usize;
                    assert!(off <= weights.len(), "{filter:?} {from} to {to}: off by {off}");
                    assert!(first + weights.len() <= from);
                }
            }
        }
    }

    #[test]
    fn a_flat_image_stays_flat() {
        let image = RgbImage::from_parts(37, 11, [3, 128, 255].repeat(37 * 11));
        for (width, height) in [(1, 1), (5, 90), (200, 3), (37, 12), (0, 0)] {
            let out = resize(&image, width, height, Filter::Bicubic);
            assert_eq!((out.width(), out.height()), (width.max(1), height.max(1)));
            assert!(out.data().chunks_exact(3).all(|pixel| pixel == [3, 128, 255]));
        }
    }

    #[test]
    fn thumbnails_keep_their_proportions() {
        assert_eq!(fit_within(4000, 3000, 256), (256, 192));
        assert_eq!(fit_within(100, 50, 256), (100, 50));
        assert_eq!(fit_within(2, 30_000, 256), (1, 256));
    }
}
