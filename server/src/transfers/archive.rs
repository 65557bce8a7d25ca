//! The file of an import: a zip or tar archive, or a label file alone. Nothing is ever unpacked to disk, so no
//! name within an archive leads anywhere.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use zip::ZipArchive;

/// Files of one archive at most.
const MOST_FILES: usize = 1_000_000;
/// Where a tar archive says that it is one.
const TAR_MAGIC: (u64, &[u8]) = (257, b"ustar");

/// An opened file of an import.
pub struct Archive {
    kind: Kind,
    /// Names of its files, in its order, without folders and what systems add.
    files: Vec<String>,
}

/// Where the bytes of each file lie, and how many there are.
type Places = HashMap<String, (u64, u64)>;

enum Kind {
    Zip(Box<ZipArchive<File>>),
    Tar { file: File, places: Places },
    Bare(File),
}

impl Archive {
    /// Opens a file that came under the name `name`.
    ///
    /// # Errors
    /// When it is an archive that cannot be read, in words.
    pub fn open(path: &Path, name: &str) -> Result<Self, String> {
        let damaged = |error: &dyn std::error::Error| {
            format!(
                "{name} cannot be read as an archive ({error}): make it again, or send the files it holds"
            )
        };
        let mut file = File::open(path).map_err(|error| damaged(&error))?;
        let starts = |file: &mut File, at: u64, magic: &[u8]| -> io::Result<bool> {
            let mut found = Vec::new();
            file.seek(SeekFrom::Start(at))?;
            file.by_ref().take(magic.len() as u64).read_to_end(&mut found)?;
            file.rewind()?;
            Ok(found == magic)
        };
        let is = |file: &mut File, at, magic| starts(file, at, magic).map_err(|error| damaged(&error));
        if is(&mut file, 0, b"PK\x03\x04")? || is(&mut file, 0, b"PK\x05\x06")? {
            let zip = ZipArchive::new(file).map_err(|error| damaged(&error))?;
            let names = zip.file_names().collect::<Result<Vec<_>, _>>().map_err(|error| damaged(&error))?;
            let files = plain(names.into_iter().map(|name| name.into_owned()))?;
            return Ok(Self { kind: Kind::Zip(Box::new(zip)), files });
        }
        if is(&mut file, TAR_MAGIC.0, TAR_MAGIC.1)? {
            let (names, places) = tar_places(&file).map_err(|error| damaged(&error))?;
            return Ok(Self { files: plain(names)?, kind: Kind::Tar { file, places } });
        }
        if is(&mut file, 0, b"\x1f\x8b")? {
            return Err(format!(
                "{name} is compressed with gzip: send a zip, or the tar without compression"
            ));
        }
        Ok(Self { kind: Kind::Bare(file), files: vec![name.to_owned()] })
    }

    /// Whether there can be images beside the label file.
    pub fn is_archive(&self) -> bool {
        !matches!(self.kind, Kind::Bare(_))
    }

    /// Names of its files.
    pub fn files(&self) -> &[String] {
        &self.files
    }

    /// The bytes of a file of [`Archive::files`], `most` at most.
    ///
    /// # Errors
    /// When it is larger, or damaged, in words.
    pub fn read(&mut self, name: &str, most: usize) -> Result<Vec<u8>, String> {
        let (most, mut bytes) = (most as u64, Vec::new());
        let damaged = |error: &dyn std::error::Error| format!("{name} cannot be read: {error}");
        // What the archive says of a size is not believed.
        match &mut self.kind {
            Kind::Zip(zip) => {
                let file = zip.by_name(name).map_err(|error| damaged(&error))?;
                file.take(most + 1).read_to_end(&mut bytes).map_err(|error| damaged(&error))?;
            }
            Kind::Tar { file, places } => {
                let (at, size) = places.get(name).copied().unwrap_or_default();
                file.seek(SeekFrom::Start(at)).map_err(|error| damaged(&error))?;
                file.take(size.min(most + 1)).read_to_end(&mut bytes).map_err(|error| damaged(&error))?;
            }
            Kind::Bare(file) => {
                file.rewind().map_err(|error| damaged(&error))?;
                file.take(most + 1).read_to_end(&mut bytes).map_err(|error| damaged(&error))?;
            }
        }
        if bytes.len() as u64 > most {
            return Err(format!("{name} has more than {} MB", most / 1_000_000));
        }
        Ok(bytes)
    }
}

/// Names of the regular files of a tar archive, and where their bytes lie.
fn tar_places(file: &File) -> io::Result<(Vec<String>, Places)> {
    let (mut names, mut places) = (Vec::new(), HashMap::new());
    let mut archive = tar::Archive::new(file.try_clone()?);
    for entry in archive.entries_with_seek()? {
        let entry = entry?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        // No label file can name what is no text.
        let Ok(name) = String::from_utf8(entry.path_bytes().into_owned()) else { continue };
        places.insert(name.clone(), (entry.raw_file_position(), entry.size()));
        names.push(name);
        if names.len() > MOST_FILES {
            break;
        }
    }
    Ok((names, places))
}

/// Names without folders and without what systems add.
fn plain(names: impl IntoIterator<Item = String>) -> Result<Vec<String>, String> {
    let is_plain = |name: &String| {
        let last = name.rsplit('/').next().unwrap_or_default();
        !last.is_empty() && !last.starts_with('.') && !name.starts_with("__MACOSX/")
    };
    let files: Vec<String> = names.into_iter().filter(is_plain).take(MOST_FILES + 1).collect();
    if files.len() > MOST_FILES {
        return Err(format!("the archive has more than {MOST_FILES} files: split it"));
    }
    Ok(files)
}
