//! A journal: every call that was made and what came of it, one line a call, never changed.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::CallsError;
use crate::endpoint::{Cause, Usage};

/// One call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// What is asked about and the prompt's version, such as `a-jpeg-3/0@distil-blind-1`.
    pub id: String,
    /// SHA-256 of everything that was asked: model, words, sampling and the image's bytes. Another
    /// question under the same id is another request.
    pub digest: String,
    /// Calls for this request before this one, in its sitting.
    pub attempt: u32,
    /// When the call ended, in seconds since 1970.
    pub at: u64,
    /// How long it took, in milliseconds.
    pub ms: u64,
    /// Status of the answer, where one came.
    pub status: Option<u16>,
    #[serde(flatten)]
    pub outcome: Outcome,
    /// As the endpoint counts; `None` where it does not.
    pub usage: Option<Usage>,
    /// What it cost, or may have cost where that is not known.
    pub cost: f64,
    /// What the endpoint sent, as far as it came.
    pub body: String,
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    Answered { text: String, finish: String },
    Failed { cause: Cause, message: String },
}

/// A journal's file, held by one run at a time.
pub(super) struct Journal {
    file: File,
    path: PathBuf,
}

/// What a journal held.
pub(super) struct Opened {
    pub journal: Journal,
    pub entries: Vec<Entry>,
    /// The last line was torn and was dropped.
    pub torn: bool,
}

impl Journal {
    /// Opens the journal, or begins one, and claims it.
    pub(super) fn open(path: &Path) -> Result<Opened, CallsError> {
        let path = path.to_owned();
        let io = |source| CallsError::Io { path: path.clone(), source };
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(&path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(CallsError::InUse { path }),
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(io)?;
        let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        let torn = whole < bytes.len();
        if torn {
            file.set_len(whole as u64).and_then(|()| file.sync_all()).map_err(io)?;
            file.seek(SeekFrom::End(0)).map_err(io)?;
        }
        let entries = read(&path, &bytes[..whole])?;
        Ok(Opened { journal: Self { file, path }, entries, torn })
    }

    /// Appends a call; it is on the disk when this returns.
    pub(super) fn append(&mut self, entry: &Entry) -> Result<(), CallsError> {
        let io = |source| CallsError::Io { path: self.path.clone(), source };
        let mut line = serde_json::to_vec(entry).map_err(|error| io(error.into()))?;
        line.push(b'\n');
        self.file.write_all(&line).and_then(|()| self.file.sync_data()).map_err(io)
    }
}

/// The calls of a journal without claiming it; none where there is no journal.
///
/// # Errors
/// When it cannot be read.
pub fn peek(path: &Path) -> Result<Vec<Entry>, CallsError> {
    match std::fs::read(path) {
        Ok(bytes) => {
            let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
            read(path, &bytes[..whole])
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(CallsError::Io { path: path.to_owned(), source }),
    }
}

/// The answers of a journal by id and digest.
#[must_use]
pub fn answered(entries: &[Entry]) -> HashMap<(&str, &str), &str> {
    let answers = entries.iter().filter_map(|entry| match &entry.outcome {
        Outcome::Answered { text, .. } => Some(((entry.id.as_str(), entry.digest.as_str()), text.as_str())),
        Outcome::Failed { .. } => None,
    });
    answers.collect()
}

fn read(path: &Path, bytes: &[u8]) -> Result<Vec<Entry>, CallsError> {
    let lines = bytes.split(|&byte| byte == b'\n').enumerate().filter(|(_, line)| !line.is_empty());
    lines
        .map(|(index, line)| {
            serde_json::from_slice(line).map_err(|error| CallsError::Journal {
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

    fn entry(id: &str) -> Entry {
        Entry {
            id: id.into(),
            digest: "d".into(),
            attempt: 0,
            at: 1,
            ms: 2,
            status: Some(200),
            outcome: Outcome::Answered { text: "line\nline".into(), finish: "stop".into() },
            usage: Some(Usage { prompt_tokens: 3, completion_tokens: 4 }),
            cost: 0.5,
            body: "{}".into(),
        }
    }

    #[test]
    fn what_was_appended_comes_back_and_a_torn_line_goes() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("replies.jsonl");
        let open = || Journal::open(&path).expect("opens");
        let mut opened = open();
        assert!(matches!(Journal::open(&path), Err(CallsError::InUse { .. })));
        opened.journal.append(&entry("a")).expect("appends");
        opened.journal.append(&entry("b")).expect("appends");
        drop(opened);
        let whole = std::fs::read(&path).expect("bytes");
        let first = whole.iter().position(|&byte| byte == b'\n').expect("a line") + 1;
        for cut in first..=whole.len() {
            std::fs::write(&path, &whole[..cut]).expect("writes");
            let mut opened = open();
            let both = cut == whole.len();
            assert_eq!(opened.entries.len(), 1 + usize::from(both), "{cut}");
            assert_eq!(opened.torn, !both && cut > first, "{cut}");
            opened.journal.append(&entry("c")).expect("appends");
            drop(opened);
            let ids: Vec<String> = open().entries.into_iter().map(|entry| entry.id).collect();
            assert_eq!(ids, if both { vec!["a", "b", "c"] } else { vec!["a", "c"] }, "{cut}");
        }
        assert_eq!(open().entries[0], entry("a"));
        std::fs::write(&path, "{\"id\":3}\n").expect("writes");
        let error = Journal::open(&path).map(|_| ()).expect_err("no entry").to_string();
        assert!(error.contains("line 1"), "{error}");
    }
}
