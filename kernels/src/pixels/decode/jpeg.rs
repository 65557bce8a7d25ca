//! JPEG: a walk through the segments, and the `zune-jpeg` decoder.
//!
//! The decoder is used directly rather than by way of `image`, for two things that `image` hides: the four
//! inks of a print-ready file, which only its profile can turn into colours, and strictness. Left to itself
//! the decoder paints grey over what it cannot read, and a viewer would rate the grey.

use std::collections::BTreeMap;

use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

use super::colour::{Channels, Depth, Raster, ycck_to_inks};
use super::{DecodeError, Format, Header, Limits, Unpacked, orientation};

/// Start of image and the first byte of the next marker.
pub(in crate::pixels) const SIGNATURE: [u8; 3] = [0xff, START_OF_IMAGE, 0xff];

const START_OF_IMAGE: u8 = 0xd8;
const END_OF_IMAGE: u8 = 0xd9;
const RESTARTS: std::ops::RangeInclusive<u8> = 0xd0..=0xd7;
const APP1_EXIF: u8 = 0xe1;
const APP2_PROFILE: u8 = 0xe2;
const APP14_ADOBE: u8 = 0xee;

const TRUNCATED: DecodeError = DecodeError::Truncated { format: Format::Jpeg };

/// Width and height from the frame header.
pub(in crate::pixels) fn size(bytes: &[u8]) -> Result<(u32, u32), DecodeError> {
    for segment in Segments::new(bytes) {
        let (marker, data) = segment?;
        if let Some(frame) = Frame::read(marker, data)? {
            return Ok((frame.width, frame.height));
        }
    }
    Err(damaged("it has no frame header"))
}

pub(super) fn unpack(bytes: &[u8], header: &Header, limits: &Limits) -> Result<Unpacked, DecodeError> {
    let file = File::read(bytes)?;
    let samples = header.pixels() * u64::from(file.frame.components);
    // A progressive file's coefficients, two bytes each, are held until the last scan.
    limits.check_memory(header, if file.frame.progressive { 3 * samples } else { samples })?;

    // Headers are read leniently, since cameras write odd ones; the picture itself strictly.
    let options = DecoderOptions::default()
        .set_strict_mode(false)
        .set_max_width(header.width as usize)
        .set_max_height(header.height as usize);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(|error| damaged(&error.to_string()))?;
    if decoder.dimensions() != Some((header.width as usize, header.height as usize)) {
        return Err(damaged("it gives its size twice, differently"));
    }
    let stored = decoder.input_colorspace();
    let (channels, wanted) = match stored {
        Some(ColorSpace::Luma) => (Channels::Grey, ColorSpace::Luma),
        Some(ColorSpace::YCbCr | ColorSpace::RGB) => (Channels::Rgb, ColorSpace::RGB),
        Some(inks @ (ColorSpace::CMYK | ColorSpace::YCCK)) => (Channels::Inks, inks),
        other => return Err(unsupported(format!("pixels of an unknown kind ({other:?})"))),
    };
    decoder.set_options(options.set_strict_mode(true).jpeg_set_out_colorspace(wanted));

    let mut raster = Raster::new(header, channels, Depth::Eight);
    if decoder.output_buffer_size() != Some(raster.bytes_mut().len()) {
        return Err(damaged("its channels contradict its header"));
    }
    decoder.decode_into(raster.bytes_mut()).map_err(|error| damaged(&error.to_string()))?;
    match stored {
        Some(ColorSpace::YCCK) => raster.bytes_mut().as_chunks_mut().0.iter_mut().for_each(ycck_to_inks),
        // Adobe's programs write inks upside down, and say so by their presence alone.
        Some(ColorSpace::CMYK) if file.adobe => {
            raster.bytes_mut().iter_mut().for_each(|ink| *ink = 255 - *ink)
        }
        _ => {}
    }
    Ok(Unpacked {
        raster,
        profile: file.profile(),
        orientation: orientation::of_exif(file.exif),
        animated: false,
    })
}

/// The parts of a frame header that decide what is held in memory.
struct Frame {
    width: u32,
    height: u32,
    components: u8,
    progressive: bool,
}

impl Frame {
    /// The frame header in a segment, if the segment is one.
    fn read(marker: u8, data: &[u8]) -> Result<Option<Self>, DecodeError> {
        let progressive = match marker {
            0xc0 | 0xc1 => false,
            0xc2 => true,
            0xc4 | 0xc8 | 0xcc => return Ok(None),
            0xc3 | 0xc7 | 0xcb | 0xcf => return Err(unsupported("lossless coding".to_owned())),
            0xc5 | 0xc6 => return Err(unsupported("hierarchical coding".to_owned())),
            0xc9..=0xce => return Err(unsupported("arithmetic coding".to_owned())),
            _ => return Ok(None),
        };
        let &[precision, height_high, height_low, width_high, width_low, components, ..] = data else {
            return Err(damaged("its frame header is too short"));
        };
        if precision != 8 {
            return Err(unsupported(format!("{precision} bits a channel")));
        }
        if !matches!(components, 1 | 3 | 4) {
            return Err(unsupported(format!("{components} channels")));
        }
        let number = |high, low| u32::from(u16::from_be_bytes([high, low]));
        let (width, height) = (number(width_high, width_low), number(height_high, height_low));
        Ok(Some(Self { width, height, components, progressive }))
    }
}

/// What a walk through the whole file finds.
struct File<'a> {
    frame: Frame,
    exif: Option<&'a [u8]>,
    /// Whether an Adobe program wrote it.
    adobe: bool,
    /// Parts of the colour profile by number, and how many there should be.
    profile_parts: BTreeMap<u8, &'a [u8]>,
    profile_count: u8,
}

impl<'a> File<'a> {
    /// Walks through all segments up to the end of the image, so that a file that was cut off is noticed.
    fn read(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let (mut frame, mut exif, mut adobe) = (None, None, false);
        let (mut profile_parts, mut profile_count) = (BTreeMap::new(), 0);
        for segment in Segments::new(bytes) {
            let (marker, data) = segment?;
            match marker {
                APP1_EXIF if exif.is_none() => exif = data.strip_prefix(b"Exif\0\0"),
                APP2_PROFILE => {
                    if let Some([number, count, part @ ..]) = data.strip_prefix(b"ICC_PROFILE\0") {
                        profile_parts.insert(*number, part);
                        profile_count = *count;
                    }
                }
                APP14_ADOBE => adobe |= data.starts_with(b"Adobe"),
                _ if frame.is_none() => frame = Frame::read(marker, data)?,
                _ => {}
            }
        }
        let frame = frame.ok_or_else(|| damaged("it has no frame header"))?;
        Ok(Self { frame, exif, adobe, profile_parts, profile_count })
    }

    /// The colour profile, put together from its parts.
    fn profile(&self) -> Option<Result<Vec<u8>, String>> {
        if self.profile_parts.is_empty() {
            return None;
        }
        let complete = self.profile_parts.keys().copied().eq(1..=self.profile_count);
        let parts: Vec<_> = self.profile_parts.values().copied().collect();
        Some(if complete { Ok(parts.concat()) } else { Err("some of its parts are missing".to_owned()) })
    }
}

/// Segments of a file: marker and data of each, from after the start to the end of the image. Coded data
/// is skipped. A file that stops earlier ends with an error.
struct Segments<'a> {
    rest: &'a [u8],
    done: bool,
}

impl<'a> Segments<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes.get(2..).unwrap_or_default(), done: false }
    }

    /// The next segment; `None` at the end of the image.
    fn segment(&mut self) -> Result<Option<(u8, &'a [u8])>, DecodeError> {
        loop {
            // Between segments stands nothing but fill; after a scan's header its data, in which markers are
            // told from samples by what follows the 0xff.
            let at = self.rest.iter().position(|&byte| byte == 0xff).ok_or(TRUNCATED)?;
            let (&marker, rest) = self.rest[at + 1..].split_first().ok_or(TRUNCATED)?;
            match marker {
                0xff => self.rest = &self.rest[at + 1..],
                END_OF_IMAGE => return Ok(None),
                0 | 1 | START_OF_IMAGE => self.rest = rest,
                marker if RESTARTS.contains(&marker) => self.rest = rest,
                marker => {
                    let (length, _) = rest.split_first_chunk().ok_or(TRUNCATED)?;
                    let length = usize::from(u16::from_be_bytes(*length));
                    let data = rest.get(2..length.max(2)).ok_or(TRUNCATED)?;
                    self.rest = &rest[length.max(2)..];
                    return Ok(Some((marker, data)));
                }
            }
        }
    }
}

impl<'a> Iterator for Segments<'a> {
    type Item = Result<(u8, &'a [u8]), DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let segment = self.segment().transpose();
        self.done = !matches!(segment, Some(Ok(_)));
        segment
    }
}

fn damaged(reason: &str) -> DecodeError {
    DecodeError::damaged(Format::Jpeg, reason)
}

fn unsupported(feature: String) -> DecodeError {
    DecodeError::Unsupported { format: Format::Jpeg, feature }
}
