//! The 25 distortions of KADID-10k, their groups, and severity.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A kind of distortion, as KADID-10k (Lin et al., QoMEX 2019) defines the 25.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum DistortionKind {
    GaussianBlur,
    LensBlur,
    MotionBlur,
    ColourDiffusion,
    ColourShift,
    ColourQuantisation,
    SaturationHsv,
    SaturationLab,
    Jpeg2000,
    Jpeg,
    WhiteNoise,
    ColourNoise,
    ImpulseNoise,
    MultiplicativeNoise,
    Denoise,
    Brighten,
    Darken,
    MeanShift,
    Jitter,
    NonEccentricityPatch,
    Pixelate,
    Quantisation,
    ColourBlock,
    Oversharpen,
    ContrastChange,
}

/// The seven groups into which KADID-10k sorts its distortions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum DistortionGroup {
    Blur,
    Colour,
    Compression,
    Noise,
    Brightness,
    Spatial,
    SharpnessContrast,
}

impl DistortionGroup {
    /// All groups in KADID-10k's order.
    pub const ALL: [DistortionGroup; 7] = [
        DistortionGroup::Blur,
        DistortionGroup::Colour,
        DistortionGroup::Compression,
        DistortionGroup::Noise,
        DistortionGroup::Brightness,
        DistortionGroup::Spatial,
        DistortionGroup::SharpnessContrast,
    ];

    /// The name in JSON and in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            DistortionGroup::Blur => "blur",
            DistortionGroup::Colour => "colour",
            DistortionGroup::Compression => "compression",
            DistortionGroup::Noise => "noise",
            DistortionGroup::Brightness => "brightness",
            DistortionGroup::Spatial => "spatial",
            DistortionGroup::SharpnessContrast => "sharpness_contrast",
        }
    }
}

impl DistortionKind {
    /// All kinds in KADID-10k's order: the index plus one is its distortion number.
    pub const ALL: [DistortionKind; 25] = [
        DistortionKind::GaussianBlur,
        DistortionKind::LensBlur,
        DistortionKind::MotionBlur,
        DistortionKind::ColourDiffusion,
        DistortionKind::ColourShift,
        DistortionKind::ColourQuantisation,
        DistortionKind::SaturationHsv,
        DistortionKind::SaturationLab,
        DistortionKind::Jpeg2000,
        DistortionKind::Jpeg,
        DistortionKind::WhiteNoise,
        DistortionKind::ColourNoise,
        DistortionKind::ImpulseNoise,
        DistortionKind::MultiplicativeNoise,
        DistortionKind::Denoise,
        DistortionKind::Brighten,
        DistortionKind::Darken,
        DistortionKind::MeanShift,
        DistortionKind::Jitter,
        DistortionKind::NonEccentricityPatch,
        DistortionKind::Pixelate,
        DistortionKind::Quantisation,
        DistortionKind::ColourBlock,
        DistortionKind::Oversharpen,
        DistortionKind::ContrastChange,
    ];

    /// The name in manifests and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            DistortionKind::GaussianBlur => "gaussian_blur",
            DistortionKind::LensBlur => "lens_blur",
            DistortionKind::MotionBlur => "motion_blur",
            DistortionKind::ColourDiffusion => "colour_diffusion",
            DistortionKind::ColourShift => "colour_shift",
            DistortionKind::ColourQuantisation => "colour_quantisation",
            DistortionKind::SaturationHsv => "saturation_hsv",
            DistortionKind::SaturationLab => "saturation_lab",
            DistortionKind::Jpeg2000 => "jpeg2000",
            DistortionKind::Jpeg => "jpeg",
            DistortionKind::WhiteNoise => "white_noise",
            DistortionKind::ColourNoise => "colour_noise",
            DistortionKind::ImpulseNoise => "impulse_noise",
            DistortionKind::MultiplicativeNoise => "multiplicative_noise",
            DistortionKind::Denoise => "denoise",
            DistortionKind::Brighten => "brighten",
            DistortionKind::Darken => "darken",
            DistortionKind::MeanShift => "mean_shift",
            DistortionKind::Jitter => "jitter",
            DistortionKind::NonEccentricityPatch => "non_eccentricity_patch",
            DistortionKind::Pixelate => "pixelate",
            DistortionKind::Quantisation => "quantisation",
            DistortionKind::ColourBlock => "colour_block",
            DistortionKind::Oversharpen => "oversharpen",
            DistortionKind::ContrastChange => "contrast_change",
        }
    }

    /// The group of KADID-10k that the kind belongs to.
    #[must_use]
    pub fn group(self) -> DistortionGroup {
        use DistortionKind as K;
        match self {
            K::GaussianBlur | K::LensBlur | K::MotionBlur => DistortionGroup::Blur,
            K::ColourDiffusion
            | K::ColourShift
            | K::ColourQuantisation
            | K::SaturationHsv
            | K::SaturationLab => DistortionGroup::Colour,
            K::Jpeg2000 | K::Jpeg => DistortionGroup::Compression,
            K::WhiteNoise | K::ColourNoise | K::ImpulseNoise | K::MultiplicativeNoise | K::Denoise => {
                DistortionGroup::Noise
            }
            K::Brighten | K::Darken | K::MeanShift => DistortionGroup::Brightness,
            K::Jitter | K::NonEccentricityPatch | K::Pixelate | K::Quantisation | K::ColourBlock => {
                DistortionGroup::Spatial
            }
            K::Oversharpen | K::ContrastChange => DistortionGroup::SharpnessContrast,
        }
    }
}

impl fmt::Display for DistortionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is none of the 25 kinds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown distortion `{0}`; known are the 25 of KADID-10k, such as gaussian_blur, jpeg or white_noise"
)]
pub struct UnknownDistortion(pub String);

impl FromStr for DistortionKind {
    type Err = UnknownDistortion;

    fn from_str(text: &str) -> Result<Self, UnknownDistortion> {
        DistortionKind::ALL
            .into_iter()
            .find(|kind| kind.name() == text)
            .ok_or_else(|| UnknownDistortion(text.to_owned()))
    }
}

/// How strong a distortion is: 1 (slight) to 5 (catastrophic).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(try_from = "u8", into = "u8")]
pub struct Severity(u8);

/// A number that is no severity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("severity {0} is outside 1 to 5")]
pub struct NoSeverity(pub u8);

impl Severity {
    /// All severities, weakest first.
    pub const ALL: [Severity; 5] = [Severity(1), Severity(2), Severity(3), Severity(4), Severity(5)];

    /// 1 to 5.
    #[must_use]
    pub fn get(self) -> u8 {
        self.0
    }

    /// 0 to 4, for tables.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0) - 1
    }

    /// The severity word of the literature.
    #[must_use]
    pub fn word(self) -> &'static str {
        ["slight", "moderate", "obvious", "serious", "catastrophic"][self.index()]
    }
}

impl TryFrom<u8> for Severity {
    type Error = NoSeverity;

    fn try_from(value: u8) -> Result<Self, NoSeverity> {
        if (1..=5).contains(&value) { Ok(Self(value)) } else { Err(NoSeverity(value)) }
    }
}

impl From<Severity> for u8 {
    fn from(severity: Severity) -> u8 {
        severity.0
    }
}

/// One distortion that an image is known to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Distortion {
    pub kind: DistortionKind,
    pub level: Severity,
}
