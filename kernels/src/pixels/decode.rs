//! Bytes to pixels: the only way that an image file becomes an [`RgbImage`].
//!
//! The result is what a colour-managed viewer shows: turned as the camera was held, in sRGB, without
//! transparency. Transparent pixels are laid over white, as the reference image processor does.
//!
//! Files come from strangers. Format and size are read by the few lines in [`super::format`] and its
//! neighbours before any decoder sees the file; sizes and working memory are bounded by [`Limits`]; the
//! chunk lengths that decoders would trust are checked against the file; and what a decoder found is
//! compared with what was read before. A picture that was cut off is an error even where a decoder could
//! show a part of it, and so is damage that a decoder notices, because a score of the rest would mislead.

mod colour;
mod error;
pub(super) mod jpeg;
mod orientation;
pub(super) mod png;
mod profile;
mod sample;
pub(super) mod webp;

use std::panic::{AssertUnwindSafe, catch_unwind};

use image::metadata::Orientation;

pub use error::{DecodeError, Warning};

use super::{Format, Header, RgbImage, probe};
use colour::Raster;

/// What a file may cost. The defaults admit any photograph of a telephone or camera sold today.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of a file.
    pub max_bytes: usize,
    /// Most pixels of an image.
    pub max_pixels: u64,
    /// Most pixels on a side.
    pub max_side: u32,
    /// Most bytes that a decoder holds at once: its own buffers and the decoded samples.
    pub max_memory: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_bytes: 50 << 20, max_pixels: 100_000_000, max_side: 30_000, max_memory: 1 << 30 }
    }
}

impl Limits {
    /// Checks the size of a file, which is known before its bytes are.
    ///
    /// # Errors
    /// [`DecodeError::TooManyBytes`].
    pub fn check_bytes(&self, bytes: usize) -> Result<(), DecodeError> {
        if bytes > self.max_bytes {
            return Err(DecodeError::TooManyBytes { bytes, limit: self.max_bytes });
        }
        Ok(())
    }

    /// Checks the size of an image, which [`probe`] reads.
    ///
    /// # Errors
    /// [`DecodeError::TooLong`] or [`DecodeError::TooManyPixels`].
    pub fn check_header(&self, header: &Header) -> Result<(), DecodeError> {
        let Header { width, height, .. } = *header;
        if width.max(height) > self.max_side {
            return Err(DecodeError::TooLong { width, height, limit: self.max_side });
        }
        if header.pixels() > self.max_pixels {
            return Err(DecodeError::TooManyPixels { width, height, limit: self.max_pixels });
        }
        Ok(())
    }

    /// Checks what a decoder is about to hold.
    fn check_memory(&self, header: &Header, bytes: u64) -> Result<(), DecodeError> {
        if bytes > self.max_memory {
            let Header { width, height, .. } = *header;
            return Err(DecodeError::TooMuchMemory { width, height, bytes, limit: self.max_memory });
        }
        Ok(())
    }
}

/// A decoded file.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// The pixels, upright and in sRGB.
    pub image: RgbImage,
    /// What the file was.
    pub format: Format,
    /// What the viewer should know about how the pixels came to be.
    pub warnings: Vec<Warning>,
}

/// What the three formats have in common once unpacked.
struct Unpacked {
    raster: Raster,
    /// The embedded colour profile, or why it cannot be used.
    profile: Option<Result<Vec<u8>, String>>,
    orientation: Orientation,
    animated: bool,
}

/// Decodes a PNG, JPEG or WebP file.
///
/// # Errors
/// See [`DecodeError`]; each says what to do about it.
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Decoded, DecodeError> {
    limits.check_bytes(bytes.len())?;
    let header = probe(bytes)?;
    limits.check_header(&header)?;
    let format = header.format;

    let Unpacked { raster, profile, orientation, animated } = contained(|| match format {
        Format::Png => png::unpack(bytes, &header, limits),
        Format::Jpeg => jpeg::unpack(bytes, &header, limits),
        Format::WebP => webp::unpack(bytes, &header, limits),
    })
    .unwrap_or_else(|| Err(DecodeError::damaged(format, "the decoder gave up on it")))?;

    let mut warnings = Vec::new();
    if animated {
        warnings.push(Warning::FirstFrameOnly);
    }
    let image = contained(|| colour::to_srgb(raster, profile, &mut warnings))
        .ok_or_else(|| DecodeError::damaged(format, "its colours could not be converted"))?;
    Ok(Decoded { image: orientation::upright(image, orientation), format, warnings })
}

/// Runs a third party's code on a stranger's bytes; `None` when it panicked. A last resort: such a panic is
/// a defect there, and it should cost one file rather than the request. (Where panics abort, as in the
/// browser, it costs the worker.)
fn contained<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}
