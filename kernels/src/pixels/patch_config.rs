//! How the image processor of a checkpoint is configured, and the image size that follows from it.

use serde::{Deserialize, Serialize};

/// Bounds of the reference processor where a file gives none.
const DEFAULT_MIN_PIXELS: usize = 56 * 56;
const DEFAULT_MAX_PIXELS: usize = 28 * 28 * 1280;

/// Mean and deviation of the CLIP training images, which the model family normalises with.
const CLIP_MEAN: [f32; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
const CLIP_STD: [f32; 3] = [0.268_629_54, 0.261_302_6, 0.275_777_1];

/// Pillow's number for bicubic, the only resampling that the reference uses and that is implemented.
const BICUBIC: u32 = 3;

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

    /// Values in a patch: channels × frames × rows × columns.
    #[must_use]
    pub fn patch_len(&self) -> usize {
        3 * self.temporal_patch_size * self.patch_size * self.patch_size
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

/// The file, in every spelling that published checkpoints use. Unknown keys are left alone.
#[derive(Deserialize, Serialize)]
struct ConfigFile {
    #[serde(default, skip_serializing)]
    image_processor: Option<Box<ConfigFile>>,
    image_processor_type: Option<String>,
    patch_size: Option<usize>,
    temporal_patch_size: Option<usize>,
    merge_size: Option<usize>,
    min_pixels: Option<usize>,
    max_pixels: Option<usize>,
    size: Option<Size>,
    image_mean: Option<[f32; 3]>,
    image_std: Option<[f32; 3]>,
    rescale_factor: Option<f64>,
    resample: Option<u32>,
    do_convert_rgb: Option<bool>,
    do_resize: Option<bool>,
    do_rescale: Option<bool>,
    do_normalize: Option<bool>,
}

/// The two spellings of the bounds inside `size`.
#[derive(Default, Deserialize, Serialize)]
struct Size {
    #[serde(alias = "min_pixels")]
    shortest_edge: Option<usize>,
    #[serde(alias = "max_pixels")]
    longest_edge: Option<usize>,
}

impl TryFrom<ConfigFile> for PatchConfig {
    type Error = PatchError;

    fn try_from(file: ConfigFile) -> Result<Self, PatchError> {
        if let Some(nested) = file.image_processor {
            return Self::try_from(*nested);
        }
        let steps = [
            ("do_resize", file.do_resize),
            ("do_rescale", file.do_rescale),
            ("do_normalize", file.do_normalize),
        ];
        for (key, step) in steps {
            check(key, step.unwrap_or(true), |&step| step, "only true is supported")?;
        }
        let resample = file.resample.unwrap_or(BICUBIC);
        check("resample", resample, |&filter| filter == BICUBIC, "only 3, bicubic, is supported")?;
        let rescale = file.rescale_factor.unwrap_or(1.0 / 255.0);
        check(
            "rescale_factor",
            rescale,
            |factor| (factor * 255.0 - 1.0).abs() < 1e-6,
            "only 1/255 is supported",
        )?;

        let size = file.size.unwrap_or_default();
        let default = Self::default();
        let small =
            |key, side: usize| check(key, side, |side| (1..=256).contains(side), "it must be from 1 to 256");
        let min_pixels = file.min_pixels.or(size.shortest_edge).unwrap_or(default.min_pixels);
        let max_pixels = file.max_pixels.or(size.longest_edge).unwrap_or(default.max_pixels);
        Ok(Self {
            patch_size: small("patch_size", file.patch_size.unwrap_or(default.patch_size))?,
            temporal_patch_size: small(
                "temporal_patch_size",
                file.temporal_patch_size.unwrap_or(default.temporal_patch_size),
            )?,
            merge_size: small("merge_size", file.merge_size.unwrap_or(default.merge_size))?,
            min_pixels: check("min_pixels", min_pixels, |&least| least > 0, "it must be at least 1")?,
            max_pixels: check(
                "max_pixels",
                max_pixels,
                |&most| most >= min_pixels,
                "it must be at least min_pixels",
            )?,
            mean: file.image_mean.unwrap_or(default.mean),
            std: checked_std(file.image_std.unwrap_or(default.std))?,
        })
    }
}

impl From<PatchConfig> for ConfigFile {
    /// Both spellings of the bounds, so that old and new versions of transformers read the same.
    fn from(config: PatchConfig) -> Self {
        Self {
            image_processor: None,
            image_processor_type: Some("Qwen2VLImageProcessor".to_owned()),
            patch_size: Some(config.patch_size),
            temporal_patch_size: Some(config.temporal_patch_size),
            merge_size: Some(config.merge_size),
            min_pixels: Some(config.min_pixels),
            max_pixels: Some(config.max_pixels),
            size: Some(Size {
                shortest_edge: Some(config.min_pixels),
                longest_edge: Some(config.max_pixels),
            }),
            image_mean: Some(config.mean),
            image_std: Some(config.std),
            rescale_factor: Some(1.0 / 255.0),
            resample: Some(BICUBIC),
            do_convert_rgb: Some(true),
            do_resize: Some(true),
            do_rescale: Some(true),
            do_normalize: Some(true),
        }
    }
}

fn check<T: ToString>(
    key: &'static str,
    value: T,
    good: impl Fn(&T) -> bool,
    expected: &'static str,
) -> Result<T, PatchError> {
    if good(&value) { Ok(value) } else { Err(PatchError::Config { key, value: value.to_string(), expected }) }
}

fn checked_std(std: [f32; 3]) -> Result<[f32; 3], PatchError> {
    for value in std {
        check("image_std", value, |value| value.is_finite() && *value > 0.0, "it must be above 0")?;
    }
    Ok(std)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<PatchConfig, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn every_published_spelling_of_the_bounds_is_read() {
        let expected = Ok(PatchConfig { min_pixels: 3136, max_pixels: 12_845_056, ..PatchConfig::default() });
        for json in [
            r#"{"min_pixels": 3136, "max_pixels": 12845056, "patch_size": 14, "processor_class": "x"}"#,
            r#"{"size": {"shortest_edge": 3136, "longest_edge": 12845056}}"#,
            r#"{"size": {"min_pixels": 3136, "max_pixels": 12845056}}"#,
            r#"{"min_pixels": 3136, "max_pixels": 12845056, "size": {"shortest_edge": 1, "longest_edge": 2}}"#,
            r#"{"image_processor": {"size": {"shortest_edge": 3136, "longest_edge": 12845056}}, "video_processor": {}}"#,
        ] {
            assert_eq!(parse(json), expected, "{json}");
        }
        assert_eq!(parse("{}"), Ok(PatchConfig::default()));
    }

    #[test]
    fn what_is_written_is_read_back() {
        let config = PatchConfig { patch_size: 8, min_pixels: 256, mean: [0.5; 3], ..PatchConfig::default() };
        let json = serde_json::to_string(&config).expect("numbers and strings");
        assert_eq!(parse(&json), Ok(config));
    }

    #[test]
    fn settings_that_would_change_the_pixels_are_refused_by_name() {
        for (json, key) in [
            (r#"{"resample": 2}"#, "resample is 2"),
            (r#"{"do_normalize": false}"#, "do_normalize is false"),
            (r#"{"rescale_factor": 1.0}"#, "rescale_factor is 1"),
            (r#"{"patch_size": 0}"#, "patch_size is 0"),
            (r#"{"min_pixels": 9, "max_pixels": 8}"#, "max_pixels is 8"),
            (r#"{"image_std": [0.5, 0, 0.5]}"#, "image_std is 0"),
        ] {
            let error = parse(json).expect_err(json);
            assert!(error.contains(key), "{json}: {error}");
        }
    }

    #[test]
    fn extreme_shapes_are_refused() {
        assert_eq!(smart_resize(5600, 28, 28, 1, 1 << 30), Ok((5600, 28)));
        assert!(smart_resize(5601, 28, 28, 1, 1 << 30).is_err());
        assert!(smart_resize(0, 28, 28, 1, 1 << 30).is_err());
    }
}
