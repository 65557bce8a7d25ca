//! Photographs in memory, from which training draws samples.

use std::path::Path;

use qponder_shared::manifest::Split;
use qponder_shared::{DistortionKind, Severity};
use rayon::prelude::*;

use super::sample::{self, Photograph};
use super::{DatasetError, Sample, sources};
use crate::degrade::Rng;

/// One sample in so many is pristine.
const PRISTINE: usize = 25;

/// Shrunk copies of the photographs of a split.
pub struct Gallery {
    photographs: Vec<Photograph>,
}

impl Gallery {
    /// Reads the photographs in `dir` that belong to `split`, or all.
    ///
    /// # Errors
    /// When a photograph cannot be read or there is none.
    pub fn load(dir: &Path, split: Option<Split>) -> Result<Self, DatasetError> {
        let mut sources = sources(dir)?;
        sources.retain(|source| split.is_none_or(|split| source.split == split));
        if sources.is_empty() {
            return Err(DatasetError::Empty { dir: dir.to_owned(), note: " of the split asked for" });
        }
        let photographs: Result<_, DatasetError> =
            sources.par_iter().map(|source| Ok(Photograph::new(source, &source.image()?))).collect();
        Ok(Self { photographs: photographs? })
    }

    /// The number of photographs.
    #[must_use]
    pub fn photographs(&self) -> usize {
        self.photographs.len()
    }

    /// Square crops of `size` pixels from the photographs that are large enough.
    ///
    /// # Errors
    /// When none is.
    pub fn crops(&self, size: usize) -> Result<Crops<'_>, DatasetError> {
        let photographs: Vec<&Photograph> =
            self.photographs.iter().filter(|photograph| photograph.roomy(size) > 0).collect();
        if photographs.is_empty() || size == 0 {
            return Err(DatasetError::TooSmall { size });
        }
        Ok(Crops { photographs, size })
    }
}

/// An endless supply of samples of one size.
pub struct Crops<'a> {
    photographs: Vec<&'a Photograph>,
    size: usize,
}

impl Crops<'_> {
    /// The number of photographs that are large enough.
    #[must_use]
    pub fn photographs(&self) -> usize {
        self.photographs.len()
    }

    /// Sample number `index` of a seed: a function of these, the size and the photographs alone.
    ///
    /// Photograph, shrinking, place, symmetry, kind and level are drawn uniformly; one sample in
    /// twenty-five is pristine.
    #[must_use]
    pub fn sample(&self, seed: u64, index: u64) -> Sample {
        let rng = &mut Rng::new(seed, index);
        let photograph = self.photographs[rng.below(self.photographs.len())];
        let pristine =
            photograph.crop(self.size, rng).expect("only photographs with a large enough copy were kept");
        let distortion = if rng.below(PRISTINE) == 0 {
            None
        } else {
            sample::draw(&DistortionKind::ALL, &Severity::ALL, rng)
        };
        let id = format!("{}-{}-{seed}-{index}", photograph.id, self.size);
        Sample::new(id, photograph, &pristine, distortion, rng.next_u64())
    }
}
