//! From the names that a label file uses to images: those of the archive, which are stored, or else those
//! that are here already.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use qponder_pipeline::dataset::import::{Names, ProblemKind};
use qponder_shared::ImageId;

use super::Import;
use crate::decoding::limits;
use crate::store::lookup::Known;
use crate::transfers::work::{Halt, Work};

/// An image that a name leads to.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its id.
    pub id: ImageId,
    /// SHA-256 of its bytes.
    pub sha256: String,
    /// `png`, `jpeg` or `webp`.
    pub format: String,
}

impl Found {
    /// Where it lies in a dataset.
    pub fn path(&self) -> String {
        format!("images/{}.{}", self.sha256, self.format)
    }
}

/// The image of each name, or why there is none.
pub type FoundImages = HashMap<String, Result<Found, String>>;

/// Finds the images of `names`, and stores those of the archive.
///
/// # Errors
/// When the import should not go on.
pub fn find(work: &mut Work, import: &mut Import<'_>, names: &BTreeSet<String>) -> Result<FoundImages, Halt> {
    let mut found = FoundImages::new();
    let mut elsewhere: Vec<String> = Vec::new();
    let index = Names::new(import.archive.files().iter().cloned());
    for (done, name) in names.iter().enumerate() {
        work.progress(done, names.len())?;
        let file = match index.find(name) {
            Ok(file) if import.archive.is_archive() => file.to_owned(),
            Ok(_) | Err(ProblemKind::Missing) => {
                elsewhere.push(name.clone());
                continue;
            }
            Err(problem) => {
                found.insert(name.clone(), Err(problem.to_string()));
                continue;
            }
        };
        let stored = store(work, import, &file)?;
        found.insert(name.clone(), stored);
    }
    let known = work.wait(work.shelf.store.look_up(&elsewhere))?;
    for name in elsewhere {
        let image = match known.get(&name) {
            Some(Known::Image(id, sha256, format)) => {
                Ok(Found { id: *id, sha256: sha256.clone(), format: format.clone() })
            }
            Some(Known::Several(count)) => Err(format!(
                "{count} images here have this name: name the image by its SHA-256, in a column `sha256`"
            )),
            None if import.archive.is_archive() => {
                Err("no such image is in the archive, or here already".to_owned())
            }
            None => Err("no such image is here: upload it, or send an archive with the images".to_owned()),
        };
        found.insert(name, image);
    }
    Ok(found)
}

/// Stores an image of the archive, unless its bytes are here already.
///
/// # Errors
/// When the import should not go on; what is wrong with the image is inside.
pub fn store(work: &mut Work, import: &mut Import<'_>, file: &str) -> Result<Result<Found, String>, Halt> {
    let bytes = match import.archive.read(file, limits().max_bytes) {
        Ok(bytes) => Bytes::from(bytes),
        Err(problem) => return Ok(Err(problem)),
    };
    let stored = work.wait(work.shelf.add(&crate::api::clean_name(file), None, bytes, &work.by));
    let stored = stored.map_err(|error| Halt::Failed(error.detail().to_owned()))?;
    Ok(match (stored.image, stored.problem) {
        (Some(image), _) => {
            import.report.images += u64::from(!stored.duplicate);
            Ok(Found { id: image.id, sha256: image.sha256, format: image.format })
        }
        (None, Some(problem)) => Err(problem.detail),
        (None, None) => Err("it could not be stored".to_owned()),
    })
}
