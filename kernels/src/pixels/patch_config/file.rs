//! `preprocessor_config.json`, as published checkpoints have it and as we write it.

use serde::{Deserialize, Serialize};

use super::{PatchConfig, PatchError};

/// Pillow's number for bicubic, the only resampling that the reference uses and that is implemented.
const BICUBIC: u32 = 3;

/// More than any photograph has, and few enough to count patches of.
const MOST_PIXELS: usize = 100_000_000;

/// The file, in every spelling that published checkpoints use. Unknown keys are left alone.
#[derive(Deserialize, Serialize)]
pub(super) struct ConfigFile {
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
                |&most| (min_pixels..=MOST_PIXELS).contains(&most),
                "it must be at least min_pixels, and at most 100,000,000",
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
}
