//! Colour profiles: from the colours that a file means to sRGB.

use moxcms::{ColorProfile, DataColorSpace, Layout};

use super::colour::{Channels, expand};
use super::sample::{Sample, Transform};

/// The conversion of an embedded profile's colours to sRGB.
pub(super) struct Managed<T> {
    transform: Transform<T>,
    /// Grey samples are repeated before they enter a profile for RGB.
    repeat: Option<Channels>,
}

impl<T: Sample> Managed<T> {
    /// `None` when the profile is sRGB in all but name.
    pub(super) fn new(profile: &[u8], channels: Channels) -> Result<Option<Self>, String> {
        let profile = ColorProfile::new_from_slice(profile).map_err(|error| error.to_string())?;
        let (from, repeat) = match (profile.color_space, channels) {
            (DataColorSpace::Rgb, Channels::Rgb) => (Layout::Rgb, None),
            (DataColorSpace::Rgb, Channels::Rgba) => (Layout::Rgba, None),
            (DataColorSpace::Rgb, Channels::Grey) => (Layout::Rgb, Some(channels)),
            (DataColorSpace::Rgb, Channels::GreyAlpha) => (Layout::Rgba, Some(channels)),
            (DataColorSpace::Gray, Channels::Grey) => (Layout::Gray, None),
            (DataColorSpace::Gray, Channels::GreyAlpha) => (Layout::GrayAlpha, None),
            (DataColorSpace::Cmyk, Channels::Inks) => (Layout::Rgba, None),
            (space, _) => return Err(format!("it is for {space:?} and the pixels are {channels:?}")),
        };
        if profile.color_space == DataColorSpace::Rgb
            && is_srgb(&profile).map_err(|error| error.to_string())?
        {
            return Ok(None);
        }
        let to = if channels.has_alpha() { Layout::Rgba } else { Layout::Rgb };
        let transform = T::transform(&profile, from, to).map_err(|error| error.to_string())?;
        Ok(Some(Self { transform, repeat }))
    }

    /// Converts a row.
    pub(super) fn convert(&self, stored: &[T], colours: &mut [T]) {
        let converted = match self.repeat {
            Some(channels) => {
                let mut repeated = vec![T::default(); colours.len()];
                expand(stored, channels, &mut repeated);
                self.transform.transform(&repeated, colours)
            }
            None => self.transform.transform(stored, colours),
        };
        debug_assert!(converted.is_ok(), "only row lengths can be wrong, and they are not");
    }
}

/// Whether a profile moves no colour by more than two levels of 255. Most photographs carry some sRGB
/// profile; converting them would only add rounding errors to what the camera stored.
fn is_srgb(profile: &ColorProfile) -> Result<bool, moxcms::CmsError> {
    let steps = || (0..=255_u8).step_by(15);
    let grid: Vec<u8> =
        steps().flat_map(|r| steps().flat_map(move |g| steps().flat_map(move |b| [r, g, b]))).collect();
    let mut converted = vec![0; grid.len()];
    u8::transform(profile, Layout::Rgb, Layout::Rgb)?.transform(&grid, &mut converted)?;
    Ok(grid.iter().zip(&converted).all(|(&before, &after)| before.abs_diff(after) <= 2))
}
