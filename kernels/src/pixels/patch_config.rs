//! How the image processor of a checkpoint is configured, and the image size that follows from it.

mod file;

use serde::{Deserialize, Serialize};

use file::ConfigFile;

/// Bounds of the reference processor where a file gives none.
const DEFAULT_MIN_PIXELS: usize = 56 * 56;
const DEFAULT_MAX_PIXELS: usize = 28 * 28 * 1280;

/// Mean and deviation of the CLIP training images, which the model family normalises with.
const CLIP_MEAN: [f32; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
const CLIP_STD: [f32; 3] = [0.268_629_54, 0.261_302_6, 0.275_777_1];

/// The longest side of an image may be this many times the shortest.
const MAX_ASPECT: f64 = 200.0;

/// The Qwen2-VL image processor's settings, as in `preprocessor_config.json` or, nested under
/// `image_processor`, in `processor_config.json`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(try_from = "ConfigFile", into = "ConfigFile")]
pub struct PatchConfig {
    /// Side of a patch in pixels.
    pub patch_size: usize,
    /// Frames in a patch; a still image is repeated.
    pub temporal_patch_size: usize,
    /// Patches on a side of the square that the model merges into one token.
    pub merge_size: usize,
    /// Least pixels of a resized image.
    pub min_pixels: usize,
    /// Most pixels of a resized image.
    pub max_pixels: usize,
    /// Subtracted per channel, for samples in 0 to 1.
    pub mean: [f32; 3],
    /// Divided by per channel, after the mean was subtracted.
    pub std: [f32; 3],
}

impl Default for PatchConfig {
    /// What the reference processor does without a file.
    fn default() -> Self {
        Self {
            patch_size: 14,
            temporal_patch_size: 2,
            merge_size: 2,
            min_pixels: DEFAULT_MIN_PIXELS,
            max_pixels: DEFAULT_MAX_PIXELS,
            mean: CLIP_MEAN,
            std: CLIP_STD,
        }
    }
}

impl PatchConfig {
    /// Side in pixels of the square behind one token; both sides of a resized image are multiples of it.
    #[must_use]
    pub fn factor(&self) -> usize {
        self.patch_size * self.merge_size
    }

    /// Values in a patch of a still image: channels × rows × columns.
    #[must_use]
    pub fn patch_len(&self) -> usize {
        3 * self.patch_size * self.patch_size
    }

    /// The size `(height, width)` that an image is resized to.
    ///
    /// # Errors
    /// [`PatchError::Aspect`] when the image is too long for its width or the reverse.
    pub fn resized(&self, height: usize, width: usize) -> Result<(usize, usize), PatchError> {
        smart_resize(height, width, self.factor(), self.min_pixels, self.max_pixels)
    }
}

/// An image or a configuration that cannot be cut into patches.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PatchError {
    /// The reference processor refuses such images too.
    #[error(
        "the image is {width} by {height} pixels, more than {MAX_ASPECT} times as long as wide: crop it to \
         a less extreme shape"
    )]
    Aspect {
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
    },
    /// A value in the processor's configuration that would give no or other pixels than the reference.
    #[error("image processor configuration: {key} is {value}; {expected}")]
    Config {
        /// Name in the file.
        key: &'static str,
        /// What the file says.
        value: String,
        /// What would do.
        expected: &'static str,
    },
}

/// The size `(height, width)` nearest to the given one whose sides are multiples of `factor` and whose area
/// lies within the bounds, in about the same proportions. The same numbers as `smart_resize` of
/// transformers' Qwen2-VL image processor, rounding half to even included; as there, lifting a narrow image
/// to `min_pixels` may end above `max_pixels`.
///
/// # Errors
/// [`PatchError::Aspect`] above 200 to 1, and for an image without pixels.
pub fn smart_resize(
    height: usize,
    width: usize,
    factor: usize,
    min_pixels: usize,
    max_pixels: usize,
) -> Result<(usize, usize), PatchError> {
    let (h, w, unit) = (height as f64, width as f64, factor.max(1) as f64);
    if height == 0 || width == 0 || h.max(w) / h.min(w) > MAX_ASPECT {
        return Err(PatchError::Aspect { width, height });
    }
    // The whole computation is in doubles, as Python's true division makes it; areas below 2^53 are exact.
    let rounded = |side: f64| (side / unit).round_ties_even() * unit;
    let area = rounded(h) * rounded(w);
    let (h, w) = if area > max_pixels as f64 {
        let shrink = (h * w / max_pixels as f64).sqrt();
        let down = |side: f64| ((side / shrink / unit).floor() * unit).max(unit);
        (down(h), down(w))
    } else if area < min_pixels as f64 {
        let grow = (min_pixels as f64 / (h * w)).sqrt();
        let up = |side: f64| (side * grow / unit).ceil() * unit;
        (up(h), up(w))
    } else {
        (rounded(h), rounded(w))
    };
    // Only bounds below one unit's area get here with a side of 0.
    Ok((h.max(unit) as usize, w.max(unit) as usize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extreme_shapes_are_refused() {
        assert_eq!(smart_resize(5600, 28, 28, 1, 1 << 30), Ok((5600, 28)));
        assert!(smart_resize(5601, 28, 28, 1, 1 << 30).is_err());
        assert!(smart_resize(0, 28, 28, 1, 1 << 30).is_err());
    }
}
