//! Proxy labels: quality on the ACR scale from a full-reference metric, where no opinion exists.
//!
//! The metric is SSIMULACRA 2, which follows opinions on blur, noise and compression well and is
//! harsher than people on changes of brightness and contrast. So each pair is compared twice: as it
//! is, and against the reference after the gain and offset of each channel that bring it closest to
//! the distorted image. Both figures stay in the manifest; [`proxy_score`] blends and maps them.
//! How its constants were chosen, with the resulting table, is in `docs/proxy.md`.

mod ssimulacra2;

use qponder_kernels::pixels::RgbImage;
use qponder_shared::manifest::Metrics;
use ssimulacra2::{LEAST_SIDE, Picture};

use crate::degrade::srgb_to_linear;

/// Gain and offset of a channel, on sRGB in 0 to 255.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Affine {
    gain: f64,
    offset: f64,
}

/// A gain closer to 1 and an offset (in levels of 255) closer to 0 than these change nothing worth a
/// second comparison.
const SAME_GAIN: f64 = 0.01;
const SAME_OFFSET: f64 = 1.0;
/// Gains beyond these are no change of exposure or contrast but a loss of the picture.
const GAINS: (f64, f64) = (0.25, 4.0);

/// Share of the plain comparison in the blend; the rest is the matched one's.
const RAW_SHARE: f64 = 0.4;
/// Blend at which the logistic map is steepest, and the width of its slope.
const CENTRE: f64 = 45.0;
const WIDTH: f64 = 20.0;

/// A reference, prepared for comparison with any number of distorted images.
pub struct Reference<'a> {
    image: &'a RgbImage,
    picture: Picture,
}

impl<'a> Reference<'a> {
    /// Prepares the comparison.
    #[must_use]
    pub fn new(image: &'a RgbImage) -> Self {
        Self { image, picture: picture(image, [Affine { gain: 1.0, offset: 0.0 }; 3]) }
    }

    /// The metrics of a distorted image.
    ///
    /// Sides shorter than 8 pixels are filled up by repeating the border.
    ///
    /// # Panics
    /// When the two differ in size: they are then no pair.
    #[must_use]
    pub fn measure(&self, distorted: &RgbImage) -> Metrics {
        let size = |image: &RgbImage| (image.width(), image.height());
        assert_eq!(size(self.image), size(distorted), "reference and distorted image differ in size");
        let changed = picture(distorted, [Affine { gain: 1.0, offset: 0.0 }; 3]);
        let raw = ssimulacra2::compare(&self.picture, &changed);
        let fit = fit(self.image, distorted);
        let same = |fit: &Affine| (fit.gain - 1.0).abs() < SAME_GAIN && fit.offset.abs() < SAME_OFFSET;
        let matched = if fit.iter().all(same) {
            raw
        } else {
            ssimulacra2::compare(&picture(self.image, fit), &changed)
        };
        Metrics { ssimulacra2: raw, ssimulacra2_matched: matched }
    }
}

/// The metrics of a pair of images of one size. See [`Reference::measure`].
#[must_use]
pub fn measure(reference: &RgbImage, distorted: &RgbImage) -> Metrics {
    Reference::new(reference).measure(distorted)
}

/// The proxy label, 1 to 5, of an image with these metrics: a logistic map of their blend, scaled so
/// that an unchanged image has 5.
#[must_use]
pub fn proxy_score(metrics: &Metrics) -> f64 {
    let blend = RAW_SHARE * metrics.ssimulacra2 + (1.0 - RAW_SHARE) * metrics.ssimulacra2_matched;
    let logistic = |value: f64| 1.0 / (1.0 + libm::exp((CENTRE - value) / WIDTH));
    1.0 + 4.0 * (logistic(blend) / logistic(100.0)).min(1.0)
}

/// Per channel, the gain and offset that bring the reference closest to the distorted image.
fn fit(reference: &RgbImage, distorted: &RgbImage) -> [Affine; 3] {
    let mut sums = [[0u64; 4]; 3];
    let pairs = reference.data().as_chunks::<3>().0.iter().zip(distorted.data().as_chunks::<3>().0);
    for (x, y) in pairs {
        for ((sums, x), y) in sums.iter_mut().zip(x).zip(y) {
            let (x, y) = (u64::from(*x), u64::from(*y));
            for (sum, term) in sums.iter_mut().zip([x, y, x * x, x * y]) {
                *sum += term;
            }
        }
    }
    let count = (reference.width() * reference.height()) as f64;
    sums.map(|sums| {
        let [x, y, xx, xy] = sums.map(|sum| sum as f64 / count);
        let (variance, covariance) = (xx - x * x, xy - x * y);
        // A flat channel says nothing about the gain.
        let gain = if variance > 0.5 { (covariance / variance).clamp(GAINS.0, GAINS.1) } else { 1.0 };
        Affine { gain, offset: y - gain * x }
    })
}

/// The image after an affine change of each channel.
fn picture(image: &RgbImage, change: [Affine; 3]) -> Picture {
    let tables = change.map(|Affine { gain, offset }| -> [f32; 256] {
        std::array::from_fn(|byte| srgb_to_linear((gain * byte as f64 + offset) as f32))
    });
    let (width, height) = (image.width().max(LEAST_SIDE), image.height().max(LEAST_SIDE));
    let plane = |channel: usize| -> Vec<f32> {
        let table = &tables[channel];
        let mut plane = Vec::with_capacity(width * height);
        for y in 0..height {
            let source = &image.data()[3 * image.width() * y.min(image.height() - 1)..][..3 * image.width()];
            plane.extend(source.as_chunks::<3>().0.iter().map(|pixel| table[usize::from(pixel[channel])]));
            let last = plane[plane.len() - 1];
            plane.resize(width * (y + 1), last);
        }
        plane
    };
    Picture::new(width, height, [plane(0), plane(1), plane(2)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(width: usize, height: usize, value: impl Fn(usize, usize, usize) -> f64) -> RgbImage {
        let byte = |i: usize| value(i / 3 % width, i / 3 / width, i % 3).clamp(0.0, 255.0) as u8;
        RgbImage::new(width, height, (0..3 * width * height).map(byte).collect())
            .expect("three bytes a pixel")
    }

    /// Waves of several lengths with some grain: structure at every scale.
    fn scene(width: usize, height: usize) -> RgbImage {
        image(width, height, |x, y, c| {
            let (x, y) = (x as f64, y as f64);
            let waves = 40.0 * (x / 9.0 + c as f64).sin()
                + 30.0 * (y / 23.0).cos()
                + 20.0 * ((x + 2.0 * y) / 3.0).sin();
            128.0 + waves + ((x * 37.0 + y * 91.0) % 17.0)
        })
    }

    #[test]
    fn an_unchanged_image_scores_five() {
        let scene = scene(90, 70);
        let metrics = measure(&scene, &scene);
        assert_eq!(metrics, Metrics { ssimulacra2: 100.0, ssimulacra2_matched: 100.0 });
        assert_eq!(proxy_score(&metrics), 5.0);
    }

    #[test]
    fn agrees_with_the_ssimulacra2_crate() {
        use ::ssimulacra2::{ColorPrimaries, Rgb, TransferCharacteristic, Xyb, compute_frame_ssimulacra2};
        let peer = |image: &RgbImage| {
            let pixels =
                image.data().as_chunks::<3>().0.iter().map(|p| p.map(|b| f32::from(b) / 255.0)).collect();
            let (width, height) = (image.width(), image.height());
            let (transfer, primaries) = (TransferCharacteristic::SRGB, ColorPrimaries::BT709);
            Xyb::try_from(Rgb::new(pixels, width, height, transfer, primaries).expect("sizes match"))
                .expect("converts")
        };
        // All six scales are there, so both weigh alike.
        let reference = scene(261, 183);
        let changes: [fn(f64, usize) -> f64; 4] = [
            |v, _| v * 0.8 + 10.0,
            |v, i| v + ((i * 7919) % 41) as f64 - 20.0,
            |v, _| (v / 32.0).floor() * 32.0,
            |v, i| if i % 5 == 0 { v } else { v * 0.5 + 64.0 },
        ];
        for (number, change) in changes.into_iter().enumerate() {
            let distorted = image(261, 183, |x, y, c| {
                let i = 3 * (y * 261 + x) + c;
                change(f64::from(reference.data()[i]), i)
            });
            let ours = measure(&reference, &distorted).ssimulacra2;
            let theirs = compute_frame_ssimulacra2(peer(&reference), peer(&distorted)).expect("a pair");
            assert!((ours - theirs).abs() < 0.05, "change {number}: {ours} against {theirs}");
        }
    }

    #[test]
    fn matching_forgives_a_change_of_gain_and_offset() {
        let reference = scene(128, 96);
        let darker =
            image(128, 96, |x, y, c| f64::from(reference.data()[3 * (y * 128 + x) + c]) * 0.6 + 12.0);
        let metrics = measure(&reference, &darker);
        assert!(metrics.ssimulacra2_matched > 85.0, "{metrics:?}");
        assert!(metrics.ssimulacra2 < metrics.ssimulacra2_matched - 10.0, "{metrics:?}");
    }

    #[test]
    fn any_size_can_be_measured() {
        for (width, height) in [(1, 1), (3, 40), (8, 8), (17, 9), (63, 64)] {
            let reference = scene(width, height);
            let inverted =
                image(width, height, |x, y, c| 255.0 - f64::from(reference.data()[3 * (y * width + x) + c]));
            let score = proxy_score(&measure(&reference, &inverted));
            assert!((1.0..=5.0).contains(&score), "{width} x {height}: {score}");
        }
    }
}
