//! Where things are when nobody says: beside the working directory, or beside the binary.

use std::path::{Path, PathBuf};

use crate::store::objects::Location;

/// The directory `relative` as seen from the working directory or else from any directory above the
/// binary: `target/debug/qponder` finds the repository's `models/nano` from anywhere. Where there
/// is none, the path as it is, for an error message to name.
pub fn find(relative: &str) -> PathBuf {
    let relative = Path::new(relative);
    if relative.is_dir() {
        return relative.to_owned();
    }
    let binary = std::env::current_exe().unwrap_or_default();
    let beside = binary.ancestors().skip(1).map(|above| above.join(relative)).find(|place| place.is_dir());
    beside.unwrap_or_else(|| relative.to_owned())
}

/// The model to use: the one that was named, or the one that ships with Q-Ponder.
pub fn model(named: Option<&Path>) -> PathBuf {
    named.map_or_else(|| find("models/nano"), Path::to_owned)
}

/// The object store: the one that was named, or the folder in the data directory.
pub fn objects(named: Option<&Location>, data_dir: &Path) -> Location {
    named.cloned().unwrap_or_else(|| Location::Directory(data_dir.join("objects")))
}
