//! An image as three planes of `f32`, the form in which most distortions compute.

use qponder_kernels::pixels::RgbImage;

/// Three planes of equal size, row by row. What the channels mean is the caller's; sRGB lies in 0 to 1.
pub(super) struct Planes {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) channels: [Vec<f32>; 3],
}

impl Planes {
    /// The sRGB channels in 0 to 1.
    pub(super) fn from_rgb(image: &RgbImage) -> Self {
        Self::from_bytes(image, |pixel| pixel.map(|byte| f32::from(byte) * (1.0 / 255.0)))
    }

    /// Three planes from a function of each pixel.
    pub(super) fn from_bytes(image: &RgbImage, convert: impl Fn([u8; 3]) -> [f32; 3]) -> Self {
        let mut channels = [(); 3].map(|()| vec![0.0; image.width() * image.height()]);
        let [first, second, third] = &mut channels;
        let outputs = first.iter_mut().zip(second.iter_mut()).zip(third.iter_mut());
        for (pixel, ((first, second), third)) in image.data().as_chunks().0.iter().zip(outputs) {
            [*first, *second, *third] = convert(*pixel);
        }
        Self { width: image.width(), height: image.height(), channels }
    }

    /// The image whose sRGB channels in 0 to 1 these are, clipped and rounded.
    pub(super) fn to_rgb(&self) -> RgbImage {
        self.to_bytes(|pixel| pixel)
    }

    /// The image whose sRGB channels in 0 to 1 are a function of the planes, clipped and rounded.
    pub(super) fn to_bytes(&self, convert: impl Fn([f32; 3]) -> [f32; 3]) -> RgbImage {
        let mut data = vec![0; 3 * self.width * self.height];
        let [first, second, third] = &self.channels;
        let inputs = first.iter().zip(second).zip(third);
        for (out, ((&first, &second), &third)) in data.as_chunks_mut::<3>().0.iter_mut().zip(inputs) {
            *out = convert([first, second, third]).map(to_byte);
        }
        image_of(self.width, self.height, data)
    }

    /// Applies `change` to every plane: `(plane, width, height)`.
    pub(super) fn for_each(&mut self, mut change: impl FnMut(&mut Vec<f32>, usize, usize)) {
        for plane in &mut self.channels {
            change(plane, self.width, self.height);
        }
    }
}

/// 0 to 1 as a byte, clipped and rounded to nearest.
pub(super) fn to_byte(value: f32) -> u8 {
    // A float-to-int cast saturates, so negative values and those above 255 clip by themselves.
    (value * 255.0 + 0.5) as u8
}

/// The image with each byte replaced by `table[byte]`.
pub(super) fn look_up(image: &RgbImage, table: &[u8; 256]) -> RgbImage {
    image_of(
        image.width(),
        image.height(),
        image.data().iter().map(|&byte| table[usize::from(byte)]).collect(),
    )
}

/// The image with the tone curve applied to every channel; the curve maps 0..1 and is clipped.
pub(super) fn apply_curve(image: &RgbImage, curve: impl Fn(f32) -> f32) -> RgbImage {
    look_up(image, &std::array::from_fn(|byte| to_byte(curve(byte as f32 / 255.0))))
}

/// An image from bytes whose number the caller derived from the same width and height.
pub(super) fn image_of(width: usize, height: usize, data: Vec<u8>) -> RgbImage {
    RgbImage::new(width, height, data).expect("three bytes a pixel of an image that exists")
}
