//! What is asked of files in many places.

use std::path::Path;

/// Whether two paths lead to the same file or directory. One that leads nowhere is no other.
#[must_use]
pub fn are_same(a: &Path, b: &Path) -> bool {
    a.canonicalize().ok().zip(b.canonicalize().ok()).is_some_and(|(a, b)| a == b)
}
