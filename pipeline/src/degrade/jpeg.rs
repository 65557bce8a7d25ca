//! Baseline JPEG without its entropy coder, which is lossless and so cannot be seen.
//!
//! Everything lossy is here as libjpeg has it by default: BT.601 Y'CbCr, chroma at half size, 8 x 8
//! DCT, the example tables of ITU-T T.81 scaled by quality, and triangular chroma upsampling.

use std::sync::LazyLock;

use qponder_kernels::pixels::RgbImage;

use super::colour_space::{rgb_from_ycbcr, ycbcr_from_rgb};
use super::planes::Planes;

const LUMA: [u32; 64] = [
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17,
    22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78,
    87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
];
const CHROMA: [u32; 64] = [
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99, 47, 66,
    99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
];

type Block = [[f32; 8]; 8];

/// The image after compression at a quality of 1 to 100 and decompression.
pub(super) fn round_trip(image: &RgbImage, quality: u32) -> RgbImage {
    let mut planes = Planes::from_bytes(image, |pixel| ycbcr_from_rgb(pixel.map(f32::from)));
    let (width, height) = (planes.width, planes.height);
    let (luma_table, chroma_table) = (scaled(&LUMA, quality), scaled(&CHROMA, quality));
    let [luma, chroma @ ..] = &mut planes.channels;
    code(luma, width, height, 128.0, &luma_table);
    for plane in chroma {
        let (half_width, half_height) = (width.div_ceil(2), height.div_ceil(2));
        let mut half = halved(plane, width, height);
        code(&mut half, half_width, half_height, 0.0, &chroma_table);
        double(&half, half_width, half_height, plane, width);
    }
    planes.to_bytes(|pixel| rgb_from_ycbcr(pixel).map(|value| value / 255.0))
}

/// libjpeg's `jpeg_quality_scaling` and `jpeg_add_quant_table`.
fn scaled(table: &[u32; 64], quality: u32) -> Block {
    let scale = if quality < 50 { 5000 / quality.max(1) } else { 200 - 2 * quality.min(100) };
    let entry = |i: usize| ((table[i] * scale + 50) / 100).clamp(1, 255) as f32;
    std::array::from_fn(|row| std::array::from_fn(|column| entry(8 * row + column)))
}

/// Transforms, quantises and restores every block; blocks that reach outside repeat the border.
/// Samples are rounded to bytes, of which `centre` is zero in the plane's units.
fn code(plane: &mut [f32], width: usize, height: usize, centre: f32, table: &Block) {
    let dct: &Block = &DCT;
    let inverse_table: Block = table.map(|row| row.map(|entry| 1.0 / entry));
    let transposed: Block = std::array::from_fn(|i| std::array::from_fn(|j| dct[j][i]));
    for top in (0..height).step_by(8) {
        for left in (0..width).step_by(8) {
            let mut block: Block = [[0.0; 8]; 8];
            for (y, row) in block.iter_mut().enumerate() {
                let source = &plane[(top + y).min(height - 1) * width..][..width];
                for (x, value) in row.iter_mut().enumerate() {
                    *value = source[(left + x).min(width - 1)].round_ties_even() - centre;
                }
            }
            let mut coefficients = product(&product(dct, &block), &transposed);
            for ((row, table), inverse) in coefficients.iter_mut().zip(table).zip(&inverse_table) {
                for ((value, step), inverse) in row.iter_mut().zip(table).zip(inverse) {
                    *value = (*value * inverse).round_ties_even() * step;
                }
            }
            let restored = product(&product(&transposed, &coefficients), dct);
            for (y, row) in restored.iter().enumerate().take(height - top) {
                let start = (top + y) * width + left;
                let end = start + 8.min(width - left);
                for (value, restored) in plane[start..end].iter_mut().zip(row) {
                    *value = (restored + 128.0).round_ties_even().clamp(0.0, 255.0) - 128.0 + centre;
                }
            }
        }
    }
}

fn product(a: &Block, b: &Block) -> Block {
    let mut out = [[0.0; 8]; 8];
    for (out, a) in out.iter_mut().zip(a) {
        for (&a, b) in a.iter().zip(b) {
            for (out, b) in out.iter_mut().zip(b) {
                *out += a * b;
            }
        }
    }
    out
}

/// The orthonormal DCT-II: `DCT[frequency][sample]`.
static DCT: LazyLock<Block> = LazyLock::new(|| {
    std::array::from_fn(|frequency| {
        let scale = if frequency == 0 { 0.125f64.sqrt() } else { 0.5 };
        std::array::from_fn(|sample| {
            let angle = (2 * sample + 1) as f64 * frequency as f64 * std::f64::consts::PI / 16.0;
            (scale * libm::cos(angle)) as f32
        })
    })
});

/// The means of two by two pixels.
fn halved(plane: &[f32], width: usize, height: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(width.div_ceil(2) * height.div_ceil(2));
    for y in (0..height).step_by(2) {
        let first = &plane[y * width..][..width];
        let second = &plane[(y + 1).min(height - 1) * width..][..width];
        let mean = |a: &[f32], b: &[f32]| {
            let last = a.len() - 1;
            0.25 * (a[0] + a[last] + b[0] + b[last])
        };
        out.extend(first.chunks(2).zip(second.chunks(2)).map(|(a, b)| mean(a, b)));
    }
    out
}

/// Doubles a plane with weights 3/4 and 1/4 in each direction ("fancy upsampling").
fn double(half: &[f32], half_width: usize, half_height: usize, out: &mut [f32], width: usize) {
    let mut blended = vec![0.0; half_width];
    for (y, row) in out.chunks_exact_mut(width).enumerate() {
        let near = &half[y / 2 * half_width..][..half_width];
        let further = if y % 2 == 0 { (y / 2).saturating_sub(1) } else { (y / 2 + 1).min(half_height - 1) };
        let far = &half[further * half_width..][..half_width];
        for ((out, near), far) in blended.iter_mut().zip(near).zip(far) {
            *out = 0.75 * near + 0.25 * far;
        }
        for (x, pair) in row.chunks_mut(2).enumerate() {
            let (left, right) = (blended[x.saturating_sub(1)], blended[(x + 1).min(half_width - 1)]);
            for (value, side) in pair.iter_mut().zip([left, right]) {
                *value = 0.75 * blended[x] + 0.25 * side;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_high_quality_changes_little_and_the_transform_inverts() {
        let (width, height) = (37, 29);
        let smooth = |i: usize| (128.0 + 60.0 * libm::sin(i as f64 / 50.0)) as u8;
        let data = (0..3 * width * height).map(|i| smooth(i / 3)).collect();
        let image = RgbImage::new(width, height, data).expect("three bytes a pixel");
        let back = round_trip(&image, 100);
        let worst = image.data().iter().zip(back.data()).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(worst <= Some(2), "{worst:?}");
    }
}
