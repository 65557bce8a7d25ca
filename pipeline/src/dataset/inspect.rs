//! Whether an image file decodes, and what its bytes are.

use std::fs;
use std::path::Path;

use qponder_kernels::pixels::{Limits, decode};
use sha2::{Digest, Sha256};

/// Why a file is of no use.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    #[error("cannot be read: {0}")]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Decode(#[from] qponder_kernels::pixels::DecodeError),
}

/// The lower-case hexadecimal SHA-256 of an image that decodes within the limits.
///
/// # Errors
/// When it does not.
pub fn inspect(path: &Path) -> Result<String, InspectError> {
    let limits = Limits::default();
    limits.check_bytes(usize::try_from(fs::metadata(path)?.len()).unwrap_or(usize::MAX))?;
    let bytes = fs::read(path)?;
    decode(&bytes, &limits)?;
    Ok(format!("{:x}", Sha256::digest(&bytes)))
}
