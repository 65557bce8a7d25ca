//! Decoded pixels.

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
}
