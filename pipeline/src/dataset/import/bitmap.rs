//! BMP files, in which PIPAL and most of LIVE in the Wild are published. Nothing else here decodes them, so an
//! import keeps a PNG of the same pixels.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, BufReader, Read as _};
use std::path::Path;

use image::codecs::bmp::BmpDecoder;
use image::{DynamicImage, ImageDecoder as _};
use qponder_kernels::pixels::{Limits, RgbImage, encode_png};

/// Whether a file begins like a BMP.
///
/// # Errors
/// When it cannot be read.
pub(super) fn is_one(path: &Path) -> io::Result<bool> {
    let mut signature = Vec::new();
    File::open(path)?.take(2).read_to_end(&mut signature)?;
    Ok(signature == b"BM")
}

/// A PNG of a BMP's pixels.
///
/// # Errors
/// What is wrong with it, in words.
pub(super) fn png(path: &Path) -> Result<Vec<u8>, String> {
    let words = |error: &dyn Display| format!("the BMP file cannot be read: {error}");
    let file = File::open(path).map_err(|error| words(&error))?;
    let limits = Limits::default();
    let mut decoder = BmpDecoder::new(BufReader::new(file)).map_err(|error| words(&error))?;
    let (width, height) = decoder.dimensions();
    if width.max(height) > limits.max_side || u64::from(width) * u64::from(height) > limits.max_pixels {
        return Err(format!("the BMP file has {width} × {height} pixels, which is too large"));
    }
    let mut most = image::Limits::default();
    most.max_alloc = Some(limits.max_memory);
    decoder.set_limits(most).map_err(|error| words(&error))?;
    let pixels = DynamicImage::from_decoder(decoder).map_err(|error| words(&error))?.into_rgb8();
    let image = RgbImage::new(width as usize, height as usize, pixels.into_raw());
    encode_png(&image.ok_or("the BMP file has no pixels")?).map_err(|error| words(&error))
}
