//! WebP: a walk through the container, and the `image-webp` decoder by way of `image`.
//!
//! The decoder allocates what a chunk's length says before it looks whether the file is that long, and a
//! frame's pixels before it compares the frame with the canvas. Both are checked here first.

use std::io::{Cursor, ErrorKind};

use image::codecs::webp::WebPDecoder;
use image::{ColorType, ImageDecoder, ImageError};

use super::colour::{Channels, Depth, Raster};
use super::{DecodeError, Format, Header, Limits, Unpacked, orientation};

const TRUNCATED: DecodeError = DecodeError::Truncated { format: Format::WebP };

/// `RIFF`, a length, `WEBP`.
const RIFF_HEADER: usize = 12;

/// The fields of an animation frame that precede its image data.
const FRAME_HEADER: usize = 16;

/// Width and height from the first chunk: the image's own header, or the canvas of an extended file.
pub(in crate::pixels) fn size(bytes: &[u8]) -> Result<(u32, u32), DecodeError> {
    let (name, start) = first_chunk(bytes.get(RIFF_HEADER..).unwrap_or_default())?;
    chunk_size(name, start)?.ok_or_else(|| damaged("it does not start with an image"))
}

pub(super) fn unpack(bytes: &[u8], header: &Header, limits: &Limits) -> Result<Unpacked, DecodeError> {
    let file = riff(bytes)?;
    let container = Container::read(&file[RIFF_HEADER..], header)?;

    let decoder = WebPDecoder::new(Cursor::new(file)).map_err(|error| explain(&error))?;
    if decoder.dimensions() != (header.width, header.height) {
        return Err(damaged("it gives its size twice, differently"));
    }
    let channels = match decoder.color_type() {
        ColorType::Rgba8 => Channels::Rgba,
        _ => Channels::Rgb,
    };
    // Beside the samples the decoder holds a canvas of four bytes a pixel, or the planes of a lossy frame.
    limits.check_memory(header, decoder.total_bytes() + 4 * header.pixels())?;

    let mut raster = Raster::new(header, channels, Depth::Eight);
    decoder.read_image(raster.bytes_mut()).map_err(|error| explain(&error))?;
    Ok(Unpacked {
        raster,
        profile: container.profile.map(|profile| Ok(profile.to_vec())),
        orientation: orientation::of_exif(container.exif),
        animated: container.animated,
    })
}

/// The bytes that belong to the container; what is appended to it is no business of ours.
fn riff(bytes: &[u8]) -> Result<&[u8], DecodeError> {
    let length = bytes.get(4..8).map(little_endian).ok_or(TRUNCATED)?;
    let end = usize::try_from(length).ok().and_then(|length| length.checked_add(8)).ok_or(TRUNCATED)?;
    // Some writers count the padding byte of the last chunk and leave it out.
    if end > bytes.len() + 1 || end < RIFF_HEADER {
        return Err(TRUNCATED);
    }
    Ok(&bytes[..end.min(bytes.len())])
}

/// What the walk found.
#[derive(Default)]
struct Container<'a> {
    profile: Option<&'a [u8]>,
    exif: Option<&'a [u8]>,
    animated: bool,
}

impl<'a> Container<'a> {
    /// Walks through all chunks of a file; every one has to lie inside it, and the first image on the canvas.
    fn read(chunks: &'a [u8], header: &Header) -> Result<Self, DecodeError> {
        let mut container = Self::default();
        let mut frame_seen = false;
        for chunk in Chunks(chunks) {
            let (name, data) = chunk?;
            match name {
                b"ICCP" if container.profile.is_none() => container.profile = Some(data),
                b"EXIF" if container.exif.is_none() => {
                    container.exif = Some(data.strip_prefix(b"Exif\0\0").unwrap_or(data));
                }
                b"ANMF" => {
                    container.animated = true;
                    for chunk in Chunks(data.get(FRAME_HEADER..).ok_or(TRUNCATED)?) {
                        let (name, data) = chunk?;
                        if let Some((width, height)) = image_size(name, data)? {
                            check_fits(width <= header.width && height <= header.height)?;
                        }
                    }
                    frame_seen = true;
                }
                _ => {
                    if let Some(size) = image_size(name, data)? {
                        check_fits(size == (header.width, header.height))?;
                        frame_seen = true;
                    }
                }
            }
        }
        if frame_seen { Ok(container) } else { Err(TRUNCATED) }
    }
}

/// Chunks of a container: name and data of each, or an error for one that reaches outside.
struct Chunks<'a>(&'a [u8]);

impl<'a> Iterator for Chunks<'a> {
    type Item = Result<(&'a [u8; 4], &'a [u8]), DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let chunk = first_chunk(self.0).and_then(|(name, rest)| {
            let length = usize::try_from(little_endian(&self.0[4..8])).map_err(|_| TRUNCATED)?;
            let data = rest.get(..length).ok_or(TRUNCATED)?;
            // Chunks are padded to even lengths; the last padding byte may be missing.
            self.0 = rest.get(length + length % 2..).unwrap_or_default();
            Ok((name, data))
        });
        if chunk.is_err() {
            self.0 = &[];
        }
        Some(chunk)
    }
}

/// Name of the chunk that `bytes` start with, and what follows its length.
fn first_chunk(bytes: &[u8]) -> Result<(&[u8; 4], &[u8]), DecodeError> {
    let (name, rest) = bytes.split_first_chunk::<4>().ok_or(TRUNCATED)?;
    Ok((name, rest.get(4..).ok_or(TRUNCATED)?))
}

/// The size that a chunk gives, if it is of a kind that gives one.
fn chunk_size(name: &[u8; 4], data: &[u8]) -> Result<Option<(u32, u32)>, DecodeError> {
    if name == b"VP8X" {
        let canvas = data.get(4..10).ok_or(TRUNCATED)?;
        return Ok(Some((1 + little_endian(&canvas[..3]), 1 + little_endian(&canvas[3..]))));
    }
    image_size(name, data)
}

/// The size that the header of an image chunk gives.
fn image_size(name: &[u8; 4], data: &[u8]) -> Result<Option<(u32, u32)>, DecodeError> {
    match name {
        b"VP8 " => {
            let header = data.get(..10).ok_or(TRUNCATED)?;
            if header[3..6] != [0x9d, 0x01, 0x2a] {
                return Err(damaged("its image has no start code"));
            }
            // The upper two bits are a hint for scaling that viewers ignore.
            Ok(Some((little_endian(&header[6..8]) & 0x3fff, little_endian(&header[8..10]) & 0x3fff)))
        }
        b"VP8L" => {
            let header = data.get(..5).ok_or(TRUNCATED)?;
            if header[0] != 0x2f {
                return Err(damaged("its lossless image has no signature"));
            }
            let bits = little_endian(&header[1..5]);
            Ok(Some((1 + (bits & 0x3fff), 1 + (bits >> 14 & 0x3fff))))
        }
        _ => Ok(None),
    }
}

/// The number in at most four bytes, least significant first.
fn little_endian(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |number, &byte| number << 8 | u32::from(byte))
}

fn check_fits(fits: bool) -> Result<(), DecodeError> {
    if fits { Ok(()) } else { Err(damaged("its image does not fit its canvas")) }
}

fn damaged(reason: &str) -> DecodeError {
    DecodeError::damaged(Format::WebP, reason)
}

fn explain(error: &ImageError) -> DecodeError {
    match error {
        ImageError::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => TRUNCATED,
        ImageError::Decoding(error) => match std::error::Error::source(error) {
            Some(cause) => damaged(&cause.to_string()),
            None => damaged(&error.to_string()),
        },
        error => damaged(&error.to_string()),
    }
}
