//! Exports: a file of rows, alone or in a zip with the images.

mod answers;
mod rows;
mod sheet;
mod votes;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::PathBuf;

use qponder_shared::dataset::ConversationFormat;
use qponder_shared::transfer::{CreateExport, ExportFormat, ExportSource};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::work::{Halt, Work};
use crate::store::objects::Kind;
use crate::store::transfers::End;

/// Images of an export: where each lies beside the file, by the SHA-256 of its bytes.
pub type Images = BTreeMap<String, String>;

/// Makes the file that was asked for.
///
/// # Errors
/// Why there is none.
pub fn run(work: &mut Work) -> Result<End, Halt> {
    let wish: CreateExport = serde_json::from_value(work.transfer.query.clone())
        .map_err(|error| Halt::Failed(format!("another version asked for this in other words: {error}")))?;
    let (path, file) = work.file("rows")?;
    let mut out = BufWriter::new(file);
    let images = match &wish.source {
        ExportSource::Votes(filter) => votes::write(work, filter, &mut out)?,
        ExportSource::Answers(filter) => answers::write(work, filter, wish.format, &mut out)?,
        ExportSource::Study(filter) => rows::write_study(work, filter, wish.format, &mut out)?,
        ExportSource::Dataset { id, split } => rows::write_dataset(work, *id, *split, wish.format, &mut out)?,
    };
    out.flush()?;
    drop(out);
    let path = if wish.with_images { pack(work, path, wish.format, &images)? } else { path };
    let file = work.publish(&path)?;
    Ok(End::Done { report: None, file: Some(file) })
}

/// Packs the file and the images that it names.
fn pack(work: &mut Work, rows: PathBuf, format: ExportFormat, images: &Images) -> Result<PathBuf, Halt> {
    let failed = |error: zip::result::ZipError| Halt::Failed(format!("the zip could not be made: {error}"));
    let (path, file) = work.file("zip")?;
    let mut zip = ZipWriter::new(BufWriter::new(file));
    let text = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated).large_file(true);
    zip.start_file(format.file(), text).map_err(failed)?;
    std::io::copy(&mut File::open(rows)?, &mut zip)?;
    if format == ExportFormat::LlamaFactory
        && let Some(description) = ConversationFormat::LlamaFactory.description(format.file())
    {
        zip.start_file("dataset_info.json", text).map_err(failed)?;
        zip.write_all(description.to_string().as_bytes())?;
    }
    // They are compressed as they are.
    let image = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (done, (sha256, place)) in images.iter().enumerate() {
        work.progress(done, images.len())?;
        let bytes = work.wait(work.shelf.objects.get(Kind::Original, sha256))?;
        let bytes = bytes.ok_or_else(|| {
            Halt::Failed(format!("the image {sha256} was deleted meanwhile: start the export again"))
        })?;
        zip.start_file(place.as_str(), image).map_err(failed)?;
        zip.write_all(&bytes)?;
    }
    zip.finish().map_err(failed)?.flush()?;
    Ok(path)
}

/// Where an image lies beside the file. It is named by its bytes, never by what somebody called it.
fn place(sha256: &str, format: &str) -> String {
    format!("images/{sha256}.{format}")
}
