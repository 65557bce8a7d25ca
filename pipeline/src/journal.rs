//! Journals: files of JSON objects, one a line, that work adds to and goes on from. No line ever changes.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{path} line {line} cannot be read ({reason}); move the file away to begin anew")]
    Line { path: PathBuf, line: usize, reason: String },
    #[error("{path} is in use by another run; wait for it, or write elsewhere")]
    InUse { path: PathBuf },
}

/// A journal's file, held by one run at a time.
pub struct Journal<T> {
    file: File,
    path: PathBuf,
    entries: PhantomData<fn(T)>,
}

/// What a journal held.
pub struct Opened<T> {
    pub journal: Journal<T>,
    pub entries: Vec<T>,
    /// The last line was torn and was dropped.
    pub torn: bool,
}

impl<T: Serialize + DeserializeOwned> Journal<T> {
    /// Opens the journal, or begins one, and claims it.
    ///
    /// # Errors
    /// When another run has it, or a line cannot be read.
    pub fn open(path: &Path) -> Result<Opened<T>, JournalError> {
        let path = path.to_owned();
        let io = |source| JournalError::Io { path: path.clone(), source };
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(&path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(JournalError::InUse { path }),
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(io)?;
        let whole = whole_lines(&bytes).len();
        let torn = whole < bytes.len();
        if torn {
            file.set_len(whole as u64).and_then(|()| file.sync_all()).map_err(io)?;
            file.seek(SeekFrom::End(0)).map_err(io)?;
        }
        let entries = read(&path, &bytes[..whole])?;
        Ok(Opened { journal: Self { file, path, entries: PhantomData }, entries, torn })
    }

    /// Appends entries; they are on the disk when this returns.
    ///
    /// # Errors
    /// When the disk is full, or fails.
    pub fn append<'a>(&mut self, entries: impl IntoIterator<Item = &'a T>) -> Result<(), JournalError>
    where
        T: 'a,
    {
        let io = |source| JournalError::Io { path: self.path.clone(), source };
        let mut lines = Vec::new();
        for entry in entries {
            serde_json::to_writer(&mut lines, entry).map_err(|error| io(error.into()))?;
            lines.push(b'\n');
        }
        self.file.write_all(&lines).and_then(|()| self.file.sync_data()).map_err(io)
    }
}

/// The entries of a journal without claiming it; none where there is no journal.
///
/// # Errors
/// When it cannot be read.
pub fn peek<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, JournalError> {
    match std::fs::read(path) {
        Ok(bytes) => read(path, whole_lines(&bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(JournalError::Io { path: path.to_owned(), source }),
    }
}

/// The lines that have an end.
fn whole_lines(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1)]
}

fn read<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<Vec<T>, JournalError> {
    let lines = bytes.split(|&byte| byte == b'\n').enumerate().filter(|(_, line)| !line.is_empty());
    lines
        .map(|(index, line)| {
            serde_json::from_slice(line).map_err(|error| JournalError::Line {
                path: path.to_owned(),
                line: index + 1,
                reason: error.to_string(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_appended_comes_back_and_a_torn_line_goes() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("replies.jsonl");
        let entry = |name: &str| (name.to_owned(), "line\nline".to_owned());
        let open = || Journal::<(String, String)>::open(&path).expect("opens");
        let mut opened = open();
        let again = Journal::<(String, String)>::open(&path);
        assert!(matches!(again, Err(JournalError::InUse { .. })));
        opened.journal.append(&[entry("a"), entry("b")]).expect("appends");
        drop(opened);
        let whole = std::fs::read(&path).expect("bytes");
        let first = whole.iter().position(|&byte| byte == b'\n').expect("a line") + 1;
        for cut in first..=whole.len() {
            std::fs::write(&path, &whole[..cut]).expect("writes");
            let mut opened = open();
            let both = cut == whole.len();
            assert_eq!(opened.entries.len(), 1 + usize::from(both), "{cut}");
            assert_eq!(opened.torn, !both && cut > first, "{cut}");
            opened.journal.append(&[entry("c")]).expect("appends");
            drop(opened);
            let names: Vec<String> = open().entries.into_iter().map(|entry| entry.0).collect();
            assert_eq!(names, if both { vec!["a", "b", "c"] } else { vec!["a", "c"] }, "{cut}");
        }
        assert_eq!(peek::<(String, String)>(&path).expect("reads")[0], entry("a"));
        std::fs::write(&path, "[3]\n").expect("writes");
        let error = Journal::<(String, String)>::open(&path).map(|_| ()).expect_err("no entry").to_string();
        assert!(error.contains("line 1"), "{error}");
    }
}
