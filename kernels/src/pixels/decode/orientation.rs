//! Turning a picture the way the camera was held.

use image::metadata::Orientation;

use super::RgbImage;

/// Side of the squares in which pixels are moved: rows of one image are columns of the other, and both stay in
/// the cache.
const TILE: usize = 32;

/// The orientation in a TIFF-formatted EXIF block; upright where there is none or it makes no sense.
pub(super) fn of_exif(exif: Option<&[u8]>) -> Orientation {
    exif.and_then(Orientation::from_exif_chunk).unwrap_or(Orientation::NoTransforms)
}

/// The picture that `image`, stored with this orientation, shows.
pub(super) fn upright(image: RgbImage, orientation: Orientation) -> RgbImage {
    // How to find the source of a target pixel: whether its column is the target's row, and which of the
    // source's rows and columns count from the far end.
    let (swap, far_row, far_column) = match orientation {
        Orientation::NoTransforms => return image,
        Orientation::FlipHorizontal => (false, false, true),
        Orientation::FlipVertical => (false, true, false),
        Orientation::Rotate180 => (false, true, true),
        Orientation::Rotate90FlipH => (true, false, false),
        Orientation::Rotate90 => (true, true, false),
        Orientation::Rotate270 => (true, false, true),
        Orientation::Rotate270FlipH => (true, true, true),
    };
    let (width, height) = (image.width(), image.height());
    let (out_width, out_height) = if swap { (height, width) } else { (width, height) };
    let (pixels, _) = image.data().as_chunks::<3>();
    let source = |x: usize, y: usize| {
        let (row, column) = if swap { (x, y) } else { (y, x) };
        let row = if far_row { height - 1 - row } else { row };
        let column = if far_column { width - 1 - column } else { column };
        pixels[row * width + column]
    };

    let mut out = vec![[0; 3]; pixels.len()];
    for top in (0..out_height).step_by(TILE) {
        for left in (0..out_width).step_by(TILE) {
            for y in top..(top + TILE).min(out_height) {
                for x in left..(left + TILE).min(out_width) {
                    out[y * out_width + x] = source(x, y);
                }
            }
        }
    }
    RgbImage::from_parts(out_width, out_height, out.into_flattened())
}
