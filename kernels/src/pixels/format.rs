//! What a file is, from its first bytes: the three formats that are read, and names for those that are not.

use super::DecodeError;
use super::decode::{jpeg, png, webp};

/// A file format that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// PNG; of an animation, the default image.
    Png,
    /// JPEG, baseline or progressive.
    Jpeg,
    /// WebP, lossy or lossless; of an animation, the first frame.
    WebP,
}

impl Format {
    /// `png`, `jpeg` or `webp`: the name in JSON and in the database.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Format::Png => "png",
            Format::Jpeg => "jpeg",
            Format::WebP => "webp",
        }
    }

    /// The MIME type.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Format::Png => "image/png",
            Format::Jpeg => "image/jpeg",
            Format::WebP => "image/webp",
        }
    }

    /// The format whose signature `bytes` start with. A file's name and declared type are never asked.
    ///
    /// # Errors
    /// [`DecodeError::Empty`], [`DecodeError::OtherFormat`] with the name of what was found, or
    /// [`DecodeError::NotAnImage`].
    pub fn of(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.is_empty() {
            return Err(DecodeError::Empty);
        }
        if bytes.starts_with(png::SIGNATURE) {
            return Ok(Format::Png);
        }
        if bytes.starts_with(&jpeg::SIGNATURE) {
            return Ok(Format::Jpeg);
        }
        if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
            return Ok(Format::WebP);
        }
        Err(foreign(bytes).map_or(DecodeError::NotAnImage, |found| DecodeError::OtherFormat { found }))
    }
}

impl std::fmt::Display for Format {
    /// As people write it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Format::Png => "PNG",
            Format::Jpeg => "JPEG",
            Format::WebP => "WebP",
        })
    }
}

/// What the first bytes say of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The file format.
    pub format: Format,
    /// Stored width in pixels, before the orientation is applied; at least 1.
    pub width: u32,
    /// Stored height in pixels, before the orientation is applied; at least 1.
    pub height: u32,
}

impl Header {
    /// Number of pixels.
    #[must_use]
    pub fn pixels(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }
}

/// Reads format and size from a file's first bytes, without decoding and without allocating.
/// For a JPEG "first" means up to the frame header, which follows the metadata.
///
/// # Errors
/// Any of [`DecodeError`] except those about limits.
pub fn probe(bytes: &[u8]) -> Result<Header, DecodeError> {
    let format = Format::of(bytes)?;
    let (width, height) = match format {
        Format::Png => png::size(bytes)?,
        Format::Jpeg => jpeg::size(bytes)?,
        Format::WebP => webp::size(bytes)?,
    };
    if width == 0 || height == 0 {
        return Err(DecodeError::damaged(format, format!("its header says {width} by {height} pixels")));
    }
    Ok(Header { format, width, height })
}

/// Signatures of what people upload by mistake, with the words for them: offset, bytes, name.
const FOREIGN: &[(usize, &[u8], &str)] = &[
    (0, b"GIF8", "a GIF image"),
    (0, b"BM", "a BMP image"),
    (0, b"II*\0", "a TIFF or camera raw image"),
    (0, b"MM\0*", "a TIFF or camera raw image"),
    (0, b"FUJIFILMCCD-RAW", "a camera raw image"),
    (0, b"8BPS", "a Photoshop document"),
    (0, b"\0\0\x01\0", "an icon"),
    (0, b"\0\0\0\x0cJXL ", "a JPEG XL image"),
    (0, b"\xff\x0a", "a JPEG XL image"),
    (0, b"\0\0\0\x0cjP  ", "a JPEG 2000 image"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000 image"),
    (4, b"ftyphei", "a HEIC image"),
    (4, b"ftyphev", "a HEIC image"),
    (4, b"ftypmif1", "a HEIC image"),
    (4, b"ftypavi", "an AVIF image"),
    (4, b"ftypcrx", "a camera raw image"),
    (4, b"ftyp", "a video"),
    (0, b"\x1a\x45\xdf\xa3", "a video"),
    (8, b"AVI ", "a video"),
    (0, b"%PDF", "a PDF document"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"<svg", "an SVG drawing"),
    (0, b"<?xml", "an XML file"),
    (0, b"<!DOCTYPE", "a web page"),
    (0, b"<!doctype", "a web page"),
    (0, b"<html", "a web page"),
];

/// The words for a file that is not read, where its signature is known or it is text.
fn foreign(bytes: &[u8]) -> Option<&'static str> {
    let known = FOREIGN
        .iter()
        .find(|(offset, signature, _)| bytes.get(*offset..).is_some_and(|rest| rest.starts_with(signature)));
    if let Some((_, _, name)) = known {
        return Some(name);
    }
    let start = &bytes[..bytes.len().min(256)];
    let is_text = start.iter().all(|&byte| byte >= 0x20 || matches!(byte, b'\t' | b'\n' | b'\r'))
        && std::str::from_utf8(start).map_or_else(|error| error.error_len().is_none(), |_| true);
    is_text.then_some("a text file")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_not_read_are_named() {
        for (bytes, words) in [
            (&b"GIF89a"[..], "GIF"),
            (b"BM6\0", "BMP"),
            (b"MM\0*\0", "TIFF"),
            (b"\0\0\0\x18ftypheic", "HEIC"),
            (b"\0\0\0\x18ftypavif", "AVIF"),
            (b"\0\0\0\x18ftypisom", "video"),
            (b"%PDF-1.7", "PDF"),
            (b"hello, world\n", "text"),
            ("día".as_bytes(), "text"),
            (b"\x01\x02\x03", "not an image"),
            (b"RIFF\x01\0\0\0WAVE", "not an image"),
            (b"", "empty"),
        ] {
            let error = probe(bytes).expect_err("no format that is read").to_string();
            assert!(error.contains(words), "{bytes:?}: {error}");
        }
    }
}
