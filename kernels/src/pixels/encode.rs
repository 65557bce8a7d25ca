//! Pixels to bytes: what pages show.

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};

use super::{Filter, RgbImage, fit_within, resize};

/// Good enough to recognise a photograph by; nothing is ever rated from a thumbnail.
const THUMBNAIL_QUALITY: u8 = 85;

/// An image that the file format has no room for.
#[derive(Debug, thiserror::Error)]
#[error("an image of {width} by {height} pixels cannot be written as {format}")]
pub struct EncodeError {
    width: usize,
    height: usize,
    format: &'static str,
    source: image::ImageError,
}

/// `image` as a PNG file: every pixel as it is, compressed quickly rather than well.
///
/// # Errors
/// [`EncodeError`] for more pixels on a side than the format can express.
pub fn encode_png(image: &RgbImage) -> Result<Vec<u8>, EncodeError> {
    let mut out = Vec::new();
    // Choosing the filter by row costs little and keeps photographs at a size that can be sent.
    let encoder = PngEncoder::new_with_quality(&mut out, CompressionType::Fast, FilterType::Adaptive);
    write(image, "PNG", encoder)?;
    Ok(out)
}

/// A small JPEG file of `image`: at most `longest` pixels on the longer side, never enlarged.
///
/// # Errors
/// [`EncodeError`] when `longest` is above 65535 and the image is too.
pub fn thumbnail_jpeg(image: &RgbImage, longest: usize) -> Result<Vec<u8>, EncodeError> {
    let (width, height) = fit_within(image.width(), image.height(), longest.max(1));
    let small = resize(image, width, height, Filter::Bicubic);
    let mut out = Vec::new();
    write(&small, "JPEG", JpegEncoder::new_with_quality(&mut out, THUMBNAIL_QUALITY))?;
    Ok(out)
}

fn write(image: &RgbImage, format: &'static str, encoder: impl ImageEncoder) -> Result<(), EncodeError> {
    let (width, height) = (image.width(), image.height());
    // A side beyond 32 bits saturates and is then refused by the encoder.
    let side = |side: usize| u32::try_from(side).unwrap_or(u32::MAX);
    encoder
        .write_image(image.data(), side(width), side(height), ExtendedColorType::Rgb8)
        .map_err(|source| EncodeError { width, height, format, source })
}
