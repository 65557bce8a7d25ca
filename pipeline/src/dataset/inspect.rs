//! Whether an image file decodes, and what its bytes are.

use std::fs;
use std::path::Path;

use qponder_kernels::pixels::{Limits, PatchConfig, PatchError, decode};
use sha2::{Digest, Sha256};

/// Why a file is of no use.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    #[error("cannot be read: {0}")]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Decode(#[from] qponder_kernels::pixels::DecodeError),
    #[error(transparent)]
    Shape(#[from] PatchError),
}

/// Whether a model could be shown an image of this size.
///
/// # Errors
/// When it is too long for its width, or the reverse.
pub(super) fn check_shape(height: usize, width: usize) -> Result<(), PatchError> {
    PatchConfig::default().resized(height, width).map(drop)
}

/// The lower-case hexadecimal SHA-256 of an image that decodes within the limits and has a shape that a model takes.
///
/// # Errors
/// When it does not.
pub fn inspect(path: &Path) -> Result<String, InspectError> {
    let limits = Limits::default();
    limits.check_bytes(usize::try_from(fs::metadata(path)?.len()).unwrap_or(usize::MAX))?;
    let bytes = fs::read(path)?;
    let image = decode(&bytes, &limits)?.image;
    check_shape(image.height(), image.width())?;
    Ok(format!("{:x}", Sha256::digest(&bytes)))
}
