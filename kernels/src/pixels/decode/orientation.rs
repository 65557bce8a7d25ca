//! Turning a picture the way the camera was held.

use image::metadata::Orientation;

use super::RgbImage;

/// The orientation in a TIFF-formatted EXIF block; upright where there is none or it makes no sense.
pub(super) fn of_exif(exif: Option<&[u8]>) -> Orientation {
    exif.and_then(Orientation::from_exif_chunk).unwrap_or(Orientation::NoTransforms)
}

/// The picture that `image`, stored with this orientation, shows.
pub(super) fn upright(image: RgbImage, orientation: Orientation) -> RgbImage {
    // Bits as `symmetry` takes them: swap the axes, mirror the stored columns, mirror the stored rows.
    image.symmetry(match orientation {
        Orientation::NoTransforms => return image,
        Orientation::FlipHorizontal => 0b010,
        Orientation::FlipVertical => 0b100,
        Orientation::Rotate180 => 0b110,
        Orientation::Rotate90FlipH => 0b001,
        Orientation::Rotate90 => 0b101,
        Orientation::Rotate270 => 0b011,
        Orientation::Rotate270FlipH => 0b111,
    })
}
