//! sRGB, linear light, CIE L*a*b* (D65) and YCbCr (BT.601).
//!
//! Powers and roots come from tables built with `libm`'s portable code, because the platform's
//! differ in the last bit and a distortion must not.

use std::sync::LazyLock;

const CELLS: usize = 4096;

/// A function on 0 to 1 at evenly spaced points, interpolated between them.
struct Curve(Vec<f32>);

impl Curve {
    fn new(function: impl Fn(f64) -> f64) -> Self {
        Self((0..=CELLS + 1).map(|i| function(i as f64 / CELLS as f64) as f32).collect())
    }

    fn at(&self, x: f32) -> f32 {
        let position = x.clamp(0.0, 1.0) * CELLS as f32;
        let cell = position as usize;
        self.0[cell] + (position - cell as f32) * (self.0[cell + 1] - self.0[cell])
    }
}

struct Tables {
    /// Linear light of each sRGB byte.
    decode: [f32; 256],
    /// sRGB in 0 to 1 of linear light.
    encode: Curve,
    /// The f of CIE L*a*b*.
    lab: Curve,
}

static TABLES: LazyLock<Tables> = LazyLock::new(|| Tables {
    decode: std::array::from_fn(|byte| {
        let value = byte as f64 / 255.0;
        let linear = if value <= 0.04045 { value / 12.92 } else { libm::pow((value + 0.055) / 1.055, 2.4) };
        linear as f32
    }),
    encode: Curve::new(|linear| {
        if linear <= 0.003_130_8 { 12.92 * linear } else { 1.055 * libm::pow(linear, 1.0 / 2.4) - 0.055 }
    }),
    lab: Curve::new(|t| {
        if t > LAB_KNEE { libm::cbrt(t) } else { t / (3.0 * LAB_DELTA * LAB_DELTA) + 4.0 / 29.0 }
    }),
});

const LAB_DELTA: f64 = 6.0 / 29.0;
const LAB_KNEE: f64 = LAB_DELTA * LAB_DELTA * LAB_DELTA;
/// XYZ of D65 white, by which XYZ is divided; folded into the matrices below.
const WHITE: [f32; 3] = [0.950_47, 1.0, 1.088_83];

/// Linear light of sRGB in 0 to 1, clipped; between whole bytes by interpolation.
pub(crate) fn srgb_to_linear(value: f32) -> f32 {
    let position = value.clamp(0.0, 1.0) * 255.0;
    let low = position as usize;
    let table = &TABLES.decode;
    table[low] + (position - low as f32) * (table[(low + 1).min(255)] - table[low])
}

/// Converts between sRGB and L*a*b*; borrows the tables once instead of once a pixel.
#[derive(Clone, Copy)]
pub(super) struct Lab(&'static Tables);

impl Lab {
    pub(super) fn new() -> Self {
        Self(&TABLES)
    }

    /// `[L, a, b]`, L in 0 to 100.
    pub(super) fn of_srgb(self, pixel: [u8; 3]) -> [f32; 3] {
        let [r, g, b] = pixel.map(|byte| self.0.decode[usize::from(byte)]);
        let x = (0.412_456_4 * r + 0.357_576_1 * g + 0.180_437_5 * b) / WHITE[0];
        let y = 0.212_672_9 * r + 0.715_152_2 * g + 0.072_175 * b;
        let z = (0.019_333_9 * r + 0.119_192 * g + 0.950_304_1 * b) / WHITE[2];
        let [fx, fy, fz] = [x, y, z].map(|t| self.0.lab.at(t));
        [116.0 * fy - 16.0, 500.0 * (fx - fy), 200.0 * (fy - fz)]
    }

    /// sRGB in 0 to 1; colours outside its gamut are clipped.
    pub(super) fn to_srgb(self, lab: [f32; 3]) -> [f32; 3] {
        let fy = (lab[0] + 16.0) / 116.0;
        let [x, y, z] = [fy + lab[1] / 500.0, fy, fy - lab[2] / 200.0].map(|f| {
            let delta = LAB_DELTA as f32;
            if f > delta { f * f * f } else { 3.0 * delta * delta * (f - 4.0 / 29.0) }
        });
        let (x, z) = (x * WHITE[0], z * WHITE[2]);
        let r = 3.240_454_2 * x - 1.537_138_5 * y - 0.498_531_4 * z;
        let g = -0.969_266 * x + 1.876_010_8 * y + 0.041_556 * z;
        let b = 0.055_643_4 * x - 0.204_025_9 * y + 1.057_225_2 * z;
        [r, g, b].map(|linear| self.0.encode.at(linear))
    }
}

/// BT.601 luma and chroma of sRGB, full range: luma in the units given, chroma about 0.
pub(super) fn ycbcr_from_rgb([r, g, b]: [f32; 3]) -> [f32; 3] {
    [
        0.299 * r + 0.587 * g + 0.114 * b,
        -0.168_735_9 * r - 0.331_264_1 * g + 0.5 * b,
        0.5 * r - 0.418_687_6 * g - 0.081_312_4 * b,
    ]
}

/// The inverse of [`ycbcr_from_rgb`].
pub(super) fn rgb_from_ycbcr([y, cb, cr]: [f32; 3]) -> [f32; 3] {
    [y + 1.402 * cr, y - 0.344_136_3 * cb - 0.714_136_3 * cr, y + 1.772 * cb]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_grey_and_a_sample_of_colours_survive_lab() {
        let lab = Lab::new();
        for step in 0..=255u8 {
            for pixel in [[step; 3], [step, 255 - step, 30], [200, step, step / 2]] {
                let back = lab.to_srgb(lab.of_srgb(pixel)).map(super::super::planes::to_byte);
                let close = pixel.iter().zip(back).all(|(&a, b)| a.abs_diff(b) <= 1);
                assert!(close, "{pixel:?} came back as {back:?}");
            }
        }
    }

    #[test]
    fn lab_agrees_with_published_values() {
        // CIE values for sRGB primaries under D65, as colour-science 0.4 prints them.
        for (pixel, expected) in [
            ([255, 0, 0], [53.24, 80.09, 67.20]),
            ([0, 0, 255], [32.30, 79.19, -107.86]),
            ([255; 3], [100.0, 0.0, 0.0]),
        ] {
            let found = Lab::new().of_srgb(pixel);
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 0.05), "{pixel:?}: {found:?}");
        }
    }
}
