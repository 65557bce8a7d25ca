//! Proxy labels: quality on the ACR scale from a full-reference metric, where no opinion exists.
//!
//! The metric is SSIMULACRA 2, which follows opinions on blur, noise and compression well and is
//! harsher than people on changes of brightness, contrast and saturation. So each pair is compared
//! twice: as it is, and against the reference after the smooth change of tone and colour that brings
//! it closest to the distorted image. Both figures stay in the manifest; [`proxy_score`] maps and
//! blends them. How its constants were chosen, with the resulting table, is in `docs/proxy.md`.

mod ssimulacra2;
mod tone;

use qponder_kernels::pixels::RgbImage;
use qponder_shared::manifest::Metrics;
use ssimulacra2::{LEAST_SIDE, Picture};
use tone::Change;

use crate::degrade::srgb_to_linear;

/// A change of tone that adds less than this to sRGB in 0 to 1 (root mean square) is worth no second
/// comparison.
const SAME_TONE: f64 = 0.5 / 255.0;

/// Share of the plain comparison in the label; the rest is the matched one's.
const RAW_SHARE: f64 = 0.4;
/// Metric at which the logistic map is steepest, and the width of its slope.
const CENTRE: f64 = 35.0;
const WIDTH: f64 = 32.0;

/// A reference, prepared for comparison with any number of distorted images.
pub struct Reference<'a> {
    image: &'a RgbImage,
    picture: Picture,
}

impl<'a> Reference<'a> {
    /// Prepares the comparison.
    #[must_use]
    pub fn new(image: &'a RgbImage) -> Self {
        Self { image, picture: picture(image, |pixel| pixel) }
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
        let changed = picture(distorted, |pixel| pixel);
        let raw = ssimulacra2::compare(&self.picture, &changed);
        let (tone, added) = Change::fit(self.image, distorted);
        let matched = if added < SAME_TONE {
            raw
        } else {
            ssimulacra2::compare(&picture(self.image, |pixel| tone.apply(pixel)), &changed)
        };
        Metrics { ssimulacra2: raw, ssimulacra2_matched: matched }
    }
}

/// The metrics of a pair of images of one size. See [`Reference::measure`].
#[must_use]
pub fn measure(reference: &RgbImage, distorted: &RgbImage) -> Metrics {
    Reference::new(reference).measure(distorted)
}

/// The proxy label, 1 to 5, of an image with these metrics: each mapped by a logistic curve, scaled so
/// that an unchanged image has 5, and the two blended.
#[must_use]
pub fn proxy_score(metrics: &Metrics) -> f64 {
    let logistic = |metric: f64| 1.0 / (1.0 + libm::exp((CENTRE - metric) / WIDTH));
    let mapped = |metric: f64| 1.0 + 4.0 * (logistic(metric) / logistic(100.0)).min(1.0);
    RAW_SHARE * mapped(metrics.ssimulacra2) + (1.0 - RAW_SHARE) * mapped(metrics.ssimulacra2_matched)
}

/// The image in the metric's space after a change of its pixels, sRGB in 0 to 1.
fn picture(image: &RgbImage, change: impl Fn([f32; 3]) -> [f32; 3]) -> Picture {
    let (width, height) = (image.width().max(LEAST_SIDE), image.height().max(LEAST_SIDE));
    let mut planes = [(); 3].map(|()| Vec::with_capacity(width * height));
    for y in 0..height {
        let row = &image.data()[3 * image.width() * y.min(image.height() - 1)..][..3 * image.width()];
        for pixel in row.as_chunks::<3>().0 {
            let changed = change(pixel.map(|byte| f32::from(byte) * (1.0 / 255.0)));
            for (plane, value) in planes.iter_mut().zip(changed) {
                plane.push(srgb_to_linear(value));
            }
        }
        for plane in &mut planes {
            let last = plane[plane.len() - 1];
            plane.resize(width * (y + 1), last);
        }
    }
    Picture::new(width, height, planes)
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
    fn matching_forgives_a_change_of_tone() {
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
