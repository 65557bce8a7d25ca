//! Imports: a label file, alone or in an archive with its images.

mod conversations;
mod find;
mod images;
mod labels;
mod votes;

use qponder_shared::transfer::{CreateImport, ImportContent, Report};

use super::archive::Archive;
use super::work::{Halt, Work};
use crate::store::transfers::End;

/// Largest label file, in bytes.
const MOST_TEXT: usize = 512 << 20;

/// Brings in what came.
///
/// # Errors
/// Why nothing was brought in.
pub fn run(work: &mut Work) -> Result<End, Halt> {
    let wish: CreateImport = serde_json::from_value(work.transfer.query.clone())
        .map_err(|error| Halt::Failed(format!("another version asked for this in other words: {error}")))?;
    wish.check().map_err(Halt::Failed)?;
    let name = work.transfer.file_name.clone();
    let mut archive = Archive::open(&work.incoming(), &name).map_err(Halt::Failed)?;
    let mut import = Import { wish: &wish, archive: &mut archive, report: Report::default() };
    let done = match &wish.content {
        ImportContent::Images {} => images::run(work, &mut import),
        ImportContent::Manifest { name } => labels::manifest(work, &mut import, name),
        ImportContent::Labels { name, .. } => labels::labels(work, &mut import, name),
        ImportContent::Conversations { model } => conversations::run(work, &mut import, model),
        ImportContent::Votes { study } => votes::run(work, &mut import, *study),
    };
    let report = import.report;
    match done {
        Ok(()) => Ok(End::Done { report: Some(report), file: None }),
        // What was found out before is told with it.
        Err(Halt::Failed(error)) => Ok(End::Failed { error, report: Some(report) }),
        Err(halt) => Err(halt),
    }
}

/// An import under way.
struct Import<'a> {
    wish: &'a CreateImport,
    archive: &'a mut Archive,
    report: Report,
}

impl Import<'_> {
    /// The text of the label file, which has one of these extensions.
    fn text(&mut self, extensions: &[&str]) -> Result<String, Halt> {
        let name = self.label_file(extensions).map_err(Halt::Failed)?;
        let bytes = self.archive.read(&name, MOST_TEXT).map_err(Halt::Failed)?;
        if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"\xd0\xcf\x11\xe0") {
            return Err(Halt::Failed(format!("{name} is a spreadsheet: save its first sheet as CSV")));
        }
        String::from_utf8(bytes)
            .map_err(|_| Halt::Failed(format!("{name} is no UTF-8 text: save it as UTF-8")))
    }

    fn label_file(&self, extensions: &[&str]) -> Result<String, String> {
        let files = self.archive.files();
        if !self.archive.is_archive() {
            return files.first().cloned().ok_or_else(|| "the file has no name".to_owned());
        }
        if let Some(wanted) = &self.wish.file {
            let is_it = |file: &&String| *file == wanted || file.ends_with(&format!("/{wanted}"));
            return files.iter().find(is_it).cloned().ok_or_else(|| format!("the archive has no {wanted}"));
        }
        let fits = |file: &&String| {
            let extension = file.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
            extension.is_some_and(|extension| extensions.contains(&extension.as_str()))
        };
        let fitting: Vec<&String> = files.iter().filter(fits).collect();
        match fitting[..] {
            [only] => Ok(only.clone()),
            [] => Err(format!("the archive has no file with labels (.{})", extensions.join(", ."))),
            _ => {
                let names: Vec<&str> = fitting.iter().take(10).map(|name| name.as_str()).collect();
                Err(format!(
                    "{} files of the archive could be the one with labels: say which ({})",
                    fitting.len(),
                    names.join(", ")
                ))
            }
        }
    }

    /// Refuses to go on when lines have problems, unless they are to be skipped.
    fn check(&self) -> Result<(), Halt> {
        let refused = self.report.refused;
        if refused == 0 || self.wish.skip_problems {
            return Ok(());
        }
        let what = if refused == 1 {
            "one line has a problem".to_owned()
        } else {
            format!("{refused} lines have problems")
        };
        Err(Halt::Failed(format!(
            "{what}, so nothing was imported but the images that are good: mend them, or import again and skip them"
        )))
    }
}
