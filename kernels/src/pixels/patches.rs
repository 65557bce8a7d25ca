//! Pixels to patches: what the vision tower reads.

use super::{Filter, PatchConfig, PatchError, RgbImage, resize};

/// A resized, normalised image cut into patches.
#[derive(Clone, Debug, PartialEq)]
pub struct Patches {
    /// `(patches, 3 * patch_size * patch_size)`, row by row. Patches that the model merges into one token
    /// stand next to each other; within a patch the order is channel, row, column. The frames of a still
    /// image are all equal, so one of them is kept.
    pub values: Vec<f32>,
    /// Number of patches in time, height and width; still images have 1 in time.
    pub grid: [usize; 3],
}

impl Patches {
    /// Resizes `image` as the configuration asks, normalises it and cuts it up, in the order of
    /// transformers' Qwen2-VL image processor.
    ///
    /// # Errors
    /// [`PatchError::Aspect`] for an image that is more than 200 times as long as wide.
    pub fn new(image: &RgbImage, config: &PatchConfig) -> Result<Self, PatchError> {
        let (height, width) = config.resized(image.height(), image.width())?;
        if (height, width) == (image.height(), image.width()) {
            return Ok(Self::cut(image, config));
        }
        Ok(Self::cut(&resize(image, width, height, Filter::Bicubic), config))
    }

    /// Number of patches.
    #[must_use]
    pub fn count(&self) -> usize {
        self.grid.iter().product()
    }

    /// Number of tokens that the patches become.
    #[must_use]
    pub fn tokens(&self, config: &PatchConfig) -> usize {
        self.count() / (config.merge_size * config.merge_size)
    }

    /// Cuts up an image whose sides are multiples of the configuration's factor.
    fn cut(image: &RgbImage, config: &PatchConfig) -> Self {
        let (side, merge) = (config.patch_size, config.merge_size);
        let (rows, columns) = (image.height() / side, image.width() / side);
        let levels = normalised_levels(config);

        let mut values = Vec::with_capacity(rows * columns * config.patch_len());
        for window_row in (0..rows).step_by(merge) {
            for window_column in (0..columns).step_by(merge) {
                for row in window_row..window_row + merge {
                    for column in window_column..window_column + merge {
                        for (channel, levels) in levels.iter().enumerate() {
                            for y in row * side..(row + 1) * side {
                                let start = 3 * (y * image.width() + column * side);
                                let pixels = image.data()[start..start + 3 * side].chunks_exact(3);
                                values.extend(pixels.map(|pixel| levels[usize::from(pixel[channel])]));
                            }
                        }
                    }
                }
            }
        }
        Self { values, grid: [1, rows, columns] }
    }
}

/// For each channel, the normalised value of each of the 256 levels. The reference rescales in double
/// precision, then normalises in single precision; so does this, which makes the values equal to the bit.
fn normalised_levels(config: &PatchConfig) -> [[f32; 256]; 3] {
    std::array::from_fn(|channel| {
        std::array::from_fn(|level| {
            let rescaled = (level as f64 * (1.0 / 255.0)) as f32;
            (rescaled - config.mean[channel]) / config.std[channel]
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers each pixel by its position, cuts, and reads the positions back in the order that the
    /// reference's reshape and transpose give.
    #[test]
    fn patches_of_a_merge_window_stand_together() {
        let config = PatchConfig {
            patch_size: 2,
            merge_size: 2,
            min_pixels: 1,
            mean: [0.0; 3],
            std: [1.0 / 255.0; 3],
            ..PatchConfig::default()
        };
        let (width, height) = (8, 4);
        let data = (0..width * height).flat_map(|index| [index as u8, index as u8 + 100, 0]).collect();
        let image = RgbImage::from_parts(width, height, data);
        let patches = Patches::new(&image, &config).expect("an ordinary shape");

        assert_eq!((patches.grid, patches.count(), patches.tokens(&config)), ([1, 2, 4], 8, 2));
        let reds: Vec<usize> =
            patches.values.chunks_exact(config.patch_len()).map(|patch| patch[0].round() as usize).collect();
        assert_eq!(reds, [0, 2, 16, 18, 4, 6, 20, 22]);
        let first: Vec<usize> = patches.values[..8].iter().map(|value| value.round() as usize).collect();
        assert_eq!(first, [0, 1, 8, 9, 100, 101, 108, 109]);
    }
}
