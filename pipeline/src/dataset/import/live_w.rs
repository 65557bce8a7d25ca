//! The labels of LIVE in the Wild as they are published: three MATLAB files in the folder `Data`.

use std::fs;
use std::path::Path;

use super::ImportError;
use super::mat::{self, Value};

/// Images with which the authors trained their subjects; they come first and have no opinions to learn from.
const TRAINING: usize = 7;
const FILES: [&str; 3] = ["AllImages_release", "AllMOS_release", "AllStdDev_release"];

/// Whether a folder holds the files.
pub(super) fn is_folder(dir: &Path) -> bool {
    FILES.iter().all(|name| dir.join(name).with_extension("mat").is_file())
}

/// The CSV `image,mos,std` of a folder, without the images of the subjects' training; the line of an image is its
/// number in the files.
///
/// # Errors
/// When a file cannot be read or the three do not go together.
pub(super) fn text(dir: &Path) -> Result<String, ImportError> {
    let [images, mos, std] = FILES.map(|name| {
        let path = dir.join(name).with_extension("mat");
        let bytes = fs::read(&path).map_err(ImportError::io("read", &path))?;
        mat::variable(&bytes, name).map_err(|reason| ImportError::Matlab { path, reason })
    });
    let (images, mos, std) = (names(images?), numbers(mos?), numbers(std?));
    if images.len() != mos.len() || mos.len() != std.len() {
        let reason = format!("{} images have {} MOS and {} deviations", images.len(), mos.len(), std.len());
        return Err(ImportError::Matlab { path: dir.to_owned(), reason });
    }
    let rows = images.iter().zip(&mos).zip(&std).skip(TRAINING);
    let lines = rows.map(|((image, mos), std)| format!("\"{image}\",{mos},{std}\n"));
    let above = "\n".repeat(TRAINING - 1);
    Ok(format!("{above}image,mos,std\n{}", lines.collect::<String>()))
}

/// The texts in cells; what is none is empty, which the CSV's reader refuses by its line.
fn names(value: Value) -> Vec<String> {
    let Value::Cells(cells) = value else { return Vec::new() };
    let name = |cell| match cell {
        Value::Text(text) => text.replace('"', ""),
        _ => String::new(),
    };
    cells.into_iter().map(name).collect()
}

fn numbers(value: Value) -> Vec<f64> {
    if let Value::Numbers(numbers) = value { numbers } else { Vec::new() }
}
