//! What an import leaves on disk.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use qponder_shared::manifest::Row;
use rayon::prelude::*;

use super::images::{Found, Images};
use super::{Import, ImportError, Problem, bitmap};
use crate::dataset::hashes::{Hashes, HashesError, is_plain};
use crate::dataset::write_whole;

const MANIFEST: &str = "manifest.jsonl";
const PROBLEMS: &str = "problems.jsonl";
/// Where copies go.
const COPIES: &str = "images";

/// Refuses a folder that has a manifest, which may hold what no import can bring back.
pub(super) fn refuse_existing(out: &Path) -> Result<(), ImportError> {
    let path = out.join(MANIFEST);
    if path.exists() { Err(ImportError::Exists { path }) } else { Ok(()) }
}

/// Writes the problems, or removes those of an earlier attempt.
pub(super) fn problems(out: &Path, problems: &[Problem]) -> Result<(), ImportError> {
    fs::create_dir_all(out).map_err(ImportError::io("create", out))?;
    let path = out.join(PROBLEMS);
    if !problems.is_empty() {
        return lines(&path, problems);
    }
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(ImportError::io("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Writes hashes and manifest, the images before them where they are copied, and gives the manifest's path.
pub(super) fn manifest(
    import: &Import,
    images: &Images,
    rows: Vec<(Row, Found)>,
) -> Result<PathBuf, ImportError> {
    let out = import.out.canonicalize().map_err(ImportError::io("find", &import.out))?;
    let way = if import.copy { COPIES.to_owned() } else { way(&out, &images.root)? };
    let (mut hashes, mut done) = (Hashes::default(), Vec::with_capacity(rows.len()));
    rows.par_iter().try_for_each(|(_, found)| match found.is_bitmap {
        true => write_png(&found.path, &out.join(png_name(&found.relative))),
        false => Ok(()),
    })?;
    for (row, found) in rows {
        let image = match (found.is_bitmap, way.is_empty()) {
            (true, _) => png_name(&found.relative),
            (false, true) => found.relative,
            (false, false) => format!("{way}/{}", found.relative),
        };
        if import.copy && !found.is_bitmap {
            copy(&found.path, &out.join(&image))?;
        }
        hashes.0.insert(image.clone(), found.hash);
        done.push(Row { image, ..row });
    }
    hashes.write(&out)?;
    let path = import.out.join(MANIFEST);
    lines(&path, &done)?;
    Ok(path)
}

/// Where a BMP's PNG goes. It keeps the whole name, so that no other image has it.
fn png_name(bitmap: &str) -> String {
    format!("{COPIES}/{bitmap}.png")
}

/// Writes a BMP's pixels as PNG.
fn write_png(from: &Path, to: &Path) -> Result<(), ImportError> {
    let png = bitmap::png(from).map_err(io::Error::other).map_err(ImportError::io("convert", from))?;
    if let Some(dir) = to.parent() {
        fs::create_dir_all(dir).map_err(ImportError::io("create", dir))?;
    }
    fs::write(to, png).map_err(ImportError::io("write", to))
}

fn copy(from: &Path, to: &Path) -> Result<(), ImportError> {
    if let Some(dir) = to.parent() {
        fs::create_dir_all(dir).map_err(ImportError::io("create", dir))?;
    }
    fs::copy(from, to).map(drop).map_err(ImportError::io("copy to", to))
}

/// The way from one folder to another, both without links and dots, with slashes.
fn way(from: &Path, to: &Path) -> Result<String, ImportError> {
    let (from, to): (Vec<Component>, Vec<Component>) =
        (from.components().collect(), to.components().collect());
    let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let up = std::iter::repeat_n(Some(".."), from.len() - shared);
    let down = to[shared..].iter().map(|part| part.as_os_str().to_str());
    let parts: Option<Vec<&str>> = up.chain(down).collect();
    let named = || to.iter().collect::<PathBuf>().to_string_lossy().into_owned();
    let way = parts.map(|parts| parts.join("/")).filter(|way| is_plain(way));
    way.ok_or_else(|| HashesError::Name { image: named() }.into())
}

fn lines<T: serde::Serialize>(path: &Path, rows: &[T]) -> Result<(), ImportError> {
    let mut text = String::new();
    for row in rows {
        text +=
            &serde_json::to_string(row).map_err(io::Error::other).map_err(ImportError::io("write", path))?;
        text.push('\n');
    }
    write_whole(path, &text).map_err(ImportError::io("write", path))
}
