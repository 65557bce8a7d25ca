//! An archive of images and nothing else.

use super::{Import, find};
use crate::transfers::work::{Halt, Work};

/// Stores every file of the archive.
///
/// # Errors
/// When there is no archive, or it should not go on.
pub fn run(work: &mut Work, import: &mut Import<'_>) -> Result<(), Halt> {
    if !import.archive.is_archive() {
        return Err(Halt::Failed("this is no zip or tar archive: upload single images instead".to_owned()));
    }
    let files = import.archive.files().to_vec();
    for (done, file) in files.iter().enumerate() {
        work.progress(done, files.len())?;
        let before = import.report.images;
        match find::store(work, import, file)? {
            Ok(_) if import.report.images == before => import.report.repeated += 1,
            Ok(_) => import.report.lines += 1,
            Err(problem) => import.report.refuse(file.clone(), problem),
        }
    }
    if import.report.lines + import.report.repeated == 0 {
        return Err(Halt::Failed("the archive holds no image that can be read".to_owned()));
    }
    work.progress(files.len(), files.len())
}
