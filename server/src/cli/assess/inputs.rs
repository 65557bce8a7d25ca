//! Files and directories from the command line, and the pixels in them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use qponder_kernels::pixels::RgbImage;

use crate::decoding;

/// Largest file that is read, in bytes.
const MAX_BYTES: u64 = 1 << 30;

/// All files to assess: files as they are named, directories as the images below them, by name. A
/// path that is not there counts as a file, whose turn to fail comes when it is read.
///
/// # Errors
/// When a directory cannot be read.
pub fn collect(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            walk(path, &mut files)?;
        } else {
            files.push(path.clone());
        }
    }
    Ok(files)
}

fn walk(directory: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let named = || directory.display().to_string();
    let mut entries = fs::read_dir(directory)
        .and_then(|entries| {
            entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()
        })
        .with_context(named)?;
    entries.sort_unstable();
    for entry in entries {
        // A link to a directory could lead in circles; a link to a file is a file.
        if entry.is_dir() && !entry.is_symlink() {
            walk(&entry, files)?;
        } else if (entry.is_file() || leads_nowhere(&entry)) && has_image_extension(&entry) {
            files.push(entry);
        }
    }
    Ok(())
}

/// A link to what is not there: it counts as a file that fails when it is read.
fn leads_nowhere(path: &Path) -> bool {
    path.is_symlink() && !path.exists()
}

fn has_image_extension(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    ["png", "jpg", "jpeg", "webp"].iter().any(|known| extension.eq_ignore_ascii_case(known))
}

/// Reads and decodes one file.
///
/// # Errors
/// When it cannot be read, is too large, or is no image.
pub fn read(file: &Path) -> anyhow::Result<RgbImage> {
    let length = fs::metadata(file)?.len();
    ensure!(length <= MAX_BYTES, "{length} bytes are more than the {MAX_BYTES} that are read");
    Ok(decoding::decode(&fs::read(file)?)?.image)
}
