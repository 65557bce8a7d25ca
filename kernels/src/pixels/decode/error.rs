//! Why a file could not be decoded, and what was done to one that could.

use super::Format;

/// Characters of a decoder's message that are passed on.
const LONGEST_REASON: usize = 120;

/// Why a file has no pixels for us. The message tells its owner what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// No bytes at all.
    #[error("the file is empty: choose a PNG, JPEG or WebP image")]
    Empty,
    /// No known signature.
    #[error("the file is not an image: choose a PNG, JPEG or WebP image")]
    NotAnImage,
    /// The signature of something else, whatever the file's name says.
    #[error("the file is {found}: save it as PNG, JPEG or WebP and choose that")]
    OtherFormat {
        /// With its article: "a GIF image".
        found: &'static str,
    },
    /// The file stops before the picture does.
    #[error("the {format} file ends before the picture does: it was cut off, so copy or upload it again")]
    Truncated {
        /// The file format.
        format: Format,
    },
    /// The file contradicts itself or its format.
    #[error("the {format} file is damaged ({reason}): export or download it again")]
    Damaged {
        /// The file format.
        format: Format,
        /// What is wrong.
        reason: String,
    },
    /// A rare variant of a format that is read.
    #[error("the {format} file has {feature}, which is not supported: save it again with common settings")]
    Unsupported {
        /// The file format.
        format: Format,
        /// What is not supported.
        feature: String,
    },
    /// Above [`Limits::max_bytes`](super::Limits::max_bytes).
    #[error(
        "the file has {bytes} bytes, more than the {limit} allowed: save it with stronger compression or smaller"
    )]
    TooManyBytes {
        /// Size of the file.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// Above [`Limits::max_side`](super::Limits::max_side).
    #[error(
        "the image is {width} by {height} pixels, more than the {limit} allowed on a side: crop or shrink it"
    )]
    TooLong {
        /// Stored width.
        width: u32,
        /// Stored height.
        height: u32,
        /// The limit.
        limit: u32,
    },
    /// Above [`Limits::max_pixels`](super::Limits::max_pixels).
    #[error("the image is {width} by {height} pixels, more than the {limit} allowed in all: shrink it")]
    TooManyPixels {
        /// Stored width.
        width: u32,
        /// Stored height.
        height: u32,
        /// The limit.
        limit: u64,
    },
    /// Above [`Limits::max_memory`](super::Limits::max_memory).
    #[error(
        "the image of {width} by {height} pixels needs {bytes} bytes to decode, more than the {limit} \
         allowed: shrink it, or save it with 8 bits a channel and without transparency"
    )]
    TooMuchMemory {
        /// Stored width.
        width: u32,
        /// Stored height.
        height: u32,
        /// What decoding would hold.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
}

impl DecodeError {
    /// A [`DecodeError::Damaged`]. Decoders' own messages come in every style, and some repeat bytes of the file:
    /// they are brought to one short line.
    pub(in crate::pixels) fn damaged(format: Format, reason: impl AsRef<str>) -> Self {
        let printable = reason.as_ref().replace(|letter: char| letter.is_control() || letter == '"', " ");
        let line = printable.split_whitespace().collect::<Vec<_>>().join(" ");
        let reason = line.chars().take(LONGEST_REASON).collect::<String>();
        Self::Damaged { format, reason: reason.trim_end_matches(['.', ' ']).to_owned() }
    }
}

/// What happened to the pixels on the way that their owner may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// The embedded colour profile could not be used, so the numbers were taken as sRGB.
    ProfileIgnored {
        /// What was wrong with it.
        reason: String,
    },
    /// There were transparent pixels, now laid over white.
    LaidOverWhite,
    /// The file is an animation.
    FirstFrameOnly,
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Warning::ProfileIgnored { reason } => {
                write!(f, "the colour profile was ignored ({reason}): colours may be off")
            }
            Warning::LaidOverWhite => f.write_str("transparent parts were laid over white"),
            Warning::FirstFrameOnly => f.write_str("only the first frame of the animation was used"),
        }
    }
}
