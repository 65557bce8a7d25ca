//! Samples as a file stores them to 8-bit sRGB: profile, channels, depth and transparency.

use super::profile::Managed;
use super::sample::Sample;
use super::{Header, RgbImage, Warning, contained};

/// What the samples of a pixel stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Channels {
    Grey,
    GreyAlpha,
    Rgb,
    Rgba,
    /// Cyan, magenta, yellow and black; 0 is bare paper.
    Inks,
}

impl Channels {
    fn count(self) -> usize {
        match self {
            Channels::Grey => 1,
            Channels::GreyAlpha => 2,
            Channels::Rgb => 3,
            Channels::Rgba | Channels::Inks => 4,
        }
    }

    pub(super) fn has_alpha(self) -> bool {
        matches!(self, Channels::GreyAlpha | Channels::Rgba)
    }
}

/// Bits of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    Eight,
    /// In the machine's byte order.
    Sixteen,
}

/// Decoded samples, interleaved, row by row.
pub(super) struct Raster {
    width: usize,
    height: usize,
    channels: Channels,
    depth: Depth,
    bytes: Vec<u8>,
}

impl Raster {
    /// Room for the samples of an image whose size was checked.
    pub(super) fn new(header: &Header, channels: Channels, depth: Depth) -> Self {
        let (width, height) = (header.width as usize, header.height as usize);
        let bytes_per_sample = if depth == Depth::Eight { 1 } else { 2 };
        let bytes = vec![0; width * height * channels.count() * bytes_per_sample];
        Self { width, height, channels, depth, bytes }
    }

    /// Where a decoder writes.
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

/// Turns one pixel of Adobe's YCCK, which holds inverted inks, into inks.
pub(super) fn ycck_to_inks(pixel: &mut [u8; 4]) {
    let [luma, blue, red] = [pixel[0], pixel[1], pixel[2]].map(f32::from);
    let (blue, red) = (blue - 128.0, red - 128.0);
    // The usual JFIF matrix gives red, green and blue, which are the complements of the stored, inverted
    // inks and so the inks themselves. The cast saturates.
    pixel[0] = (luma + 1.402 * red).round() as u8;
    pixel[1] = (luma - 0.344_136 * blue - 0.714_136 * red).round() as u8;
    pixel[2] = (luma + 1.772 * blue).round() as u8;
    pixel[3] = 255 - pixel[3];
}

/// The samples in 8-bit sRGB. A profile that cannot be used is reported and the samples are taken as sRGB.
pub(super) fn to_srgb(
    raster: Raster,
    profile: Option<Result<Vec<u8>, String>>,
    warnings: &mut Vec<Warning>,
) -> RgbImage {
    match raster.depth {
        Depth::Eight => convert::<u8>(raster, profile, warnings),
        Depth::Sixteen => convert::<u16>(raster, profile, warnings),
    }
}

fn convert<T: Sample>(
    raster: Raster,
    profile: Option<Result<Vec<u8>, String>>,
    warnings: &mut Vec<Warning>,
) -> RgbImage {
    let mut ignored = |reason| warnings.push(Warning::ProfileIgnored { reason });
    let managed = profile.and_then(|profile| {
        let built = profile.and_then(|profile| {
            contained(|| Managed::<T>::new(&profile, raster.channels))
                .unwrap_or_else(|| Err("it could not be read".to_owned()))
        });
        built.unwrap_or_else(|reason| {
            ignored(reason);
            None
        })
    });
    let Raster { width, height, channels, depth, bytes } = raster;
    if managed.is_none() && channels == Channels::Rgb && depth == Depth::Eight {
        return RgbImage::from_parts(width, height, bytes);
    }

    let pixel = if channels.has_alpha() { 4 } else { 3 };
    let mut stored = vec![T::default(); width * channels.count()];
    let mut colours = vec![T::default(); width * pixel];
    let mut out = Vec::with_capacity(3 * width * height);
    let mut transparent = false;
    for row in bytes.chunks_exact(bytes.len() / height) {
        T::read(row, &mut stored);
        match &managed {
            Some(managed) => managed.convert(&stored, &mut colours),
            None => expand(&stored, channels, &mut colours),
        }
        if pixel == 4 {
            for colour in colours.as_chunks().0 {
                let [red, green, blue, alpha] = colour.map(T::to_byte);
                transparent |= alpha < 255;
                out.extend([red, green, blue].map(|sample| over_white(sample, alpha)));
            }
        } else {
            out.extend(colours.iter().map(|sample| sample.to_byte()));
        }
    }
    if transparent {
        warnings.push(Warning::LaidOverWhite);
    }
    RgbImage::from_parts(width, height, out)
}

/// `sample` at opacity `alpha` over white, rounded as Pillow's `alpha_composite` does.
fn over_white(sample: u8, alpha: u8) -> u8 {
    let (sample, alpha) = (u32::from(sample), u32::from(alpha));
    // Seven bits of extra precision; dividing by 255 by way of two shifts.
    let sum = (sample * alpha + 255 * (255 - alpha)) * 128 + 128 * 128;
    ((((sum >> 8) + sum) >> 8) >> 7) as u8
}

/// Samples taken as sRGB, or as inks, in RGB and with alpha where there is one.
pub(super) fn expand<T: Sample>(stored: &[T], channels: Channels, colours: &mut [T]) {
    match channels {
        Channels::Rgb | Channels::Rgba => colours.copy_from_slice(stored),
        Channels::Grey => {
            for (colour, &grey) in colours.as_chunks_mut().0.iter_mut().zip(stored) {
                *colour = [grey; 3];
            }
        }
        Channels::GreyAlpha => {
            for (colour, &[grey, alpha]) in colours.as_chunks_mut().0.iter_mut().zip(stored.as_chunks().0) {
                *colour = [grey, grey, grey, alpha];
            }
        }
        Channels::Inks => {
            for (colour, inks) in colours.as_chunks_mut().0.iter_mut().zip(stored.as_chunks().0) {
                let [cyan, magenta, yellow, light] = inks.map(|ink: T| T::MAX - ink.to_u32());
                *colour =
                    [cyan, magenta, yellow].map(|paper| T::from_u32((paper * light + T::MAX / 2) / T::MAX));
            }
        }
    }
}
