//! A labelled image, and what it is made from: shrunk copies of a photograph.

use qponder_kernels::pixels::{Filter, RgbImage, resize};
use qponder_shared::Distortion;
use qponder_shared::manifest::{Label, Metrics, Row, Split};

use super::{Source, variation};
use crate::degrade::{Rng, degrade};
use crate::proxy::{self, proxy_score};

/// The most that is left of a photograph's sides.
pub(super) const LARGEST: f64 = 0.75;
/// Each copy has this share of the sides of the one before; six of them reach 0.25.
const RATIO: f64 = 0.8;
const COPIES: i32 = 6;
/// Copies with a longer side are left out, as crops of them would show little but blurred areas.
const LONGEST: usize = 1600;

/// Pixels with their line of a manifest.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sample {
    pub pixels: RgbImage,
    pub row: Row,
}

impl Sample {
    /// Degrades a pristine image and labels the result.
    pub(super) fn new(
        id: String,
        photograph: &Photograph,
        pristine: &RgbImage,
        distortion: Option<Distortion>,
        seed: u64,
    ) -> Self {
        let (pixels, metrics) = match distortion {
            Some(distortion) => {
                let pixels = degrade(pristine, distortion, seed);
                let metrics = proxy::measure(pristine, &pixels);
                (pixels, metrics)
            }
            None => (pristine.clone(), Metrics { ssimulacra2: 100.0, ssimulacra2_matched: 100.0 }),
        };
        let rounded = |value: f64, unit: f64| (value * unit).round() / unit;
        let metrics = Metrics {
            ssimulacra2: rounded(metrics.ssimulacra2, 100.0),
            ssimulacra2_matched: rounded(metrics.ssimulacra2_matched, 100.0),
        };
        let row = Row {
            image: format!("images/{id}.png"),
            id,
            label: Label::Proxy(rounded(proxy_score(&metrics), 1000.0)),
            mos_std: None,
            reference: photograph.id.clone(),
            distortions: distortion.into_iter().collect(),
            split: photograph.split,
            source: photograph.source.clone(),
            metrics: Some(metrics),
            answer: None,
        };
        Self { pixels, row }
    }
}

/// A photograph in memory at several sizes, largest first.
pub(super) struct Photograph {
    pub(super) id: String,
    pub(super) source: String,
    pub(super) split: Split,
    copies: Vec<RgbImage>,
}

impl Photograph {
    pub(super) fn new(source: &Source, image: &RgbImage) -> Self {
        let mut copies = Vec::new();
        for power in 0..COPIES {
            let share = LARGEST * RATIO.powi(power);
            let last = power == COPIES - 1;
            if share > source.largest && !last {
                continue;
            }
            let scaled = |side: usize| ((side as f64 * share) as usize).max(1);
            let (width, height) = (scaled(image.width()), scaled(image.height()));
            if width.max(height) <= LONGEST || last {
                copies.push(resize(image, width, height, Filter::Bicubic));
            }
        }
        Self { id: source.id.clone(), source: source.source.clone(), split: source.split, copies }
    }

    /// How many copies are large enough for a square of `size` pixels.
    fn roomy(&self, size: usize) -> usize {
        self.copies.iter().take_while(|copy| copy.width().min(copy.height()) >= size).count()
    }

    /// A square of `size` pixels from any place of any copy that is large enough, turned and mirrored at
    /// random, and if asked for varied; `None` when none is.
    pub(super) fn crop(&self, size: usize, vary: bool, rng: &mut Rng) -> Option<RgbImage> {
        let copy = self.copies.get(rng.below(self.roomy(size)))?;
        let (mut width, mut height) = (size, size);
        if vary {
            (width, height) = variation::piece(size, (copy.width(), copy.height()), rng);
        }
        let left = rng.below((copy.width() + 1).checked_sub(width)?);
        let top = rng.below((copy.height() + 1).checked_sub(height)?);
        let mut piece = copy.crop(left, top, width, height)?;
        if vary {
            piece = variation::develop(&piece, size, size, rng);
        }
        Some(piece.symmetry(rng.below(8)))
    }

    /// Most of the photograph, varied, turned and mirrored at random, its longer side at most `max_side`
    /// pixels; `None` when it has no pixels.
    pub(super) fn varied(&self, max_side: usize, rng: &mut Rng) -> Option<RgbImage> {
        let copy = self.copies.first()?;
        let [left, top, width, height] = variation::frame(copy.width(), copy.height(), rng);
        let (shown_width, shown_height) = variation::shown(width, height, max_side, rng);
        let frame = copy.crop(left, top, width, height)?;
        Some(variation::develop(&frame, shown_width, shown_height, rng).symmetry(rng.below(8)))
    }
}

/// FNV-1a: a number for a name that never changes.
pub(super) fn hash(name: &str) -> u64 {
    name.bytes()
        .fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3))
}
