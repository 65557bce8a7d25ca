//! The two depths of samples, so that the rest is written once.

use std::sync::Arc;

use moxcms::{ColorProfile, Layout, TransformExecutor, TransformOptions};

/// A sample of 8 or 16 bits.
pub(super) trait Sample: Copy + Default + 'static {
    /// The largest value.
    const MAX: u32;

    /// Reads a row of samples in the machine's byte order.
    fn read(bytes: &[u8], samples: &mut [Self]);

    /// Nearest of 256 levels.
    fn to_byte(self) -> u8;

    /// The value, at most [`Sample::MAX`].
    fn to_u32(self) -> u32;

    /// From a value of at most [`Sample::MAX`].
    fn from_u32(value: u32) -> Self;

    /// The conversion from a profile to sRGB, in this depth.
    fn transform(
        profile: &ColorProfile,
        from: Layout,
        to: Layout,
    ) -> Result<Transform<Self>, moxcms::CmsError>;
}

/// A conversion of colours from one profile to another.
pub(super) type Transform<T> = Arc<dyn TransformExecutor<T> + Send + Sync>;

/// Exact rather than quick: a photograph is converted once.
fn options() -> TransformOptions {
    TransformOptions { prefer_fixed_point: false, ..TransformOptions::default() }
}

impl Sample for u8 {
    const MAX: u32 = 255;

    fn read(bytes: &[u8], samples: &mut [u8]) {
        samples.copy_from_slice(bytes);
    }

    fn to_byte(self) -> u8 {
        self
    }

    fn to_u32(self) -> u32 {
        u32::from(self)
    }

    fn from_u32(value: u32) -> Self {
        value as u8
    }

    fn transform(
        profile: &ColorProfile,
        from: Layout,
        to: Layout,
    ) -> Result<Transform<u8>, moxcms::CmsError> {
        profile.create_transform_8bit(from, &ColorProfile::new_srgb(), to, options())
    }
}

impl Sample for u16 {
    const MAX: u32 = 65535;

    fn read(bytes: &[u8], samples: &mut [u16]) {
        for (sample, bytes) in samples.iter_mut().zip(bytes.as_chunks().0) {
            *sample = u16::from_ne_bytes(*bytes);
        }
    }

    fn to_byte(self) -> u8 {
        ((u32::from(self) + 128) / 257) as u8
    }

    fn to_u32(self) -> u32 {
        u32::from(self)
    }

    fn from_u32(value: u32) -> Self {
        value as u16
    }

    fn transform(
        profile: &ColorProfile,
        from: Layout,
        to: Layout,
    ) -> Result<Transform<u16>, moxcms::CmsError> {
        profile.create_transform_16bit(from, &ColorProfile::new_srgb(), to, options())
    }
}
