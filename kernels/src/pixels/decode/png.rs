//! PNG: the header, and the `png` crate's decoder by way of `image`.

use std::io::{Cursor, ErrorKind};

use image::codecs::png::PngDecoder;
use image::{ColorType, ImageDecoder, ImageError};

use super::colour::{Channels, Depth, Raster};
use super::{DecodeError, Format, Header, Limits, Unpacked, orientation};

/// The eight bytes that every PNG file starts with.
pub(in crate::pixels) const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// Width and height from the header chunk, which is always the first.
pub(in crate::pixels) fn size(bytes: &[u8]) -> Result<(u32, u32), DecodeError> {
    let header = bytes.get(8..24).ok_or(DecodeError::Truncated { format: Format::Png })?;
    if &header[..8] != b"\0\0\0\x0dIHDR" {
        return Err(DecodeError::damaged(Format::Png, "it does not start with a header"));
    }
    let number = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    Ok((number(8), number(12)))
}

pub(super) fn unpack(bytes: &[u8], header: &Header, limits: &Limits) -> Result<Unpacked, DecodeError> {
    let mut bounds = image::Limits::no_limits();
    bounds.max_image_width = Some(header.width);
    bounds.max_image_height = Some(header.height);
    bounds.max_alloc = Some(limits.max_memory);
    let mut decoder = PngDecoder::with_limits(Cursor::new(bytes), bounds).map_err(|error| explain(&error))?;
    let (channels, depth) = match decoder.color_type() {
        ColorType::L8 => (Channels::Grey, Depth::Eight),
        ColorType::L16 => (Channels::Grey, Depth::Sixteen),
        ColorType::La8 => (Channels::GreyAlpha, Depth::Eight),
        ColorType::La16 => (Channels::GreyAlpha, Depth::Sixteen),
        ColorType::Rgb8 => (Channels::Rgb, Depth::Eight),
        ColorType::Rgb16 => (Channels::Rgb, Depth::Sixteen),
        ColorType::Rgba8 => (Channels::Rgba, Depth::Eight),
        ColorType::Rgba16 => (Channels::Rgba, Depth::Sixteen),
        other => {
            return Err(DecodeError::Unsupported {
                format: Format::Png,
                feature: format!("{other:?} pixels"),
            });
        }
    };
    limits.check_memory(header, decoder.total_bytes())?;

    // The decoder has both in memory already; a fault in either would have shown by now.
    let profile = decoder.icc_profile().ok().flatten().map(Ok);
    let exif = decoder.exif_metadata().ok().flatten();
    let animated = decoder.is_apng().unwrap_or(false);

    let mut raster = Raster::new(header, channels, depth);
    decoder.read_image(raster.bytes_mut()).map_err(|error| explain(&error))?;
    Ok(Unpacked { raster, profile, orientation: orientation::of_exif(exif.as_deref()), animated })
}

fn explain(error: &ImageError) -> DecodeError {
    match error {
        ImageError::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => {
            DecodeError::Truncated { format: Format::Png }
        }
        ImageError::Decoding(error) => match std::error::Error::source(error) {
            Some(cause) => DecodeError::damaged(Format::Png, cause.to_string()),
            None => DecodeError::damaged(Format::Png, error.to_string()),
        },
        error => DecodeError::damaged(Format::Png, error.to_string()),
    }
}
