//! Decoded pixels.

/// Side of the squares in which pixels change places: where rows become columns, both then stay in the cache.
const TILE: usize = 32;

/// An image in interleaved 8-bit sRGB, row by row: `3 * width * height` bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RgbImage {
    width: usize,
    height: usize,
    data: Vec<u8>,
}

impl RgbImage {
    /// An image from its bytes; `None` when their number is not `3 * width * height` or it is empty.
    #[must_use]
    pub fn new(width: usize, height: usize, data: Vec<u8>) -> Option<Self> {
        let expected = width.checked_mul(height)?.checked_mul(3)?;
        (expected > 0 && data.len() == expected).then_some(Self { width, height, data })
    }

    /// An image whose bytes were made for this size; the neighbours in `pixels` vouch for it.
    pub(super) fn from_parts(width: usize, height: usize, data: Vec<u8>) -> Self {
        debug_assert!(width > 0 && height > 0);
        debug_assert_eq!(data.len(), 3 * width * height);
        Self { width, height, data }
    }

    /// Width in pixels, at least 1.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// Height in pixels, at least 1.
    #[must_use]
    pub fn height(&self) -> usize {
        self.height
    }

    /// Interleaved bytes, row by row.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// Interleaved bytes, row by row, owned.
    #[must_use]
    pub fn into_data(self) -> Vec<u8> {
        self.data
    }

    /// The rectangle at `(left, top)`; `None` when it is empty or reaches outside.
    #[must_use]
    pub fn crop(&self, left: usize, top: usize, width: usize, height: usize) -> Option<Self> {
        if left.checked_add(width)? > self.width || top.checked_add(height)? > self.height {
            return None;
        }
        let mut data = Vec::with_capacity(3 * width * height);
        for y in top..top + height {
            let start = 3 * (y * self.width + left);
            data.extend_from_slice(&self.data[start..start + 3 * width]);
        }
        Self::new(width, height, data)
    }

    /// One of the eight symmetries of a square: bit 0 swaps the axes, bit 1 mirrors the columns, bit 2
    /// the rows, both of the original; 0 changes nothing.
    #[must_use]
    pub fn symmetry(&self, index: usize) -> Self {
        let [swap, mirror_columns, mirror_rows] = [1, 2, 4].map(|bit| index & bit != 0);
        let (width, height) = if swap { (self.height, self.width) } else { (self.width, self.height) };
        let (pixels, _) = self.data.as_chunks::<3>();
        let source = |x: usize, y: usize| {
            let (column, row) = if swap { (y, x) } else { (x, y) };
            let column = if mirror_columns { self.width - 1 - column } else { column };
            let row = if mirror_rows { self.height - 1 - row } else { row };
            pixels[row * self.width + column]
        };
        let mut out = vec![[0; 3]; pixels.len()];
        for top in (0..height).step_by(TILE) {
            for left in (0..width).step_by(TILE) {
                for y in top..(top + TILE).min(height) {
                    for x in left..(left + TILE).min(width) {
                        out[y * width + x] = source(x, y);
                    }
                }
            }
        }
        Self { width, height, data: out.into_flattened() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_eight_symmetries_differ_and_keep_all_pixels() {
        let image = RgbImage::new(3, 2, (0..18).collect()).expect("3 x 2");
        let all: Vec<_> = (0..8).map(|index| image.symmetry(index)).collect();
        for (index, a) in all.iter().enumerate() {
            let mut bytes = a.data().to_vec();
            bytes.sort_unstable();
            assert_eq!(bytes, image.data());
            assert!(all[..index].iter().all(|b| a != b), "{index}");
        }
    }
}
