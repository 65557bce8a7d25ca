//! Backup and restore: the database as Postgres' own dump, and the files of the object store.
//!
//! Files are kept by content and never change, so a second backup into the same folder copies new ones alone. What can
//! be made again is left out: thumbnails, renderings, files of served models, and checkpoints.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::postgres::{ClusterError, Tools};
use crate::store::objects::{Kind, ObjectError, Objects, hash_file};

/// What says that a backup is whole; written last.
const INDEX: &str = "backup.json";
/// Kinds of files that cannot be made again.
const KINDS: [Kind; 3] = [Kind::Original, Kind::Export, Kind::Artifact];

/// Why there is no backup, or nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error(transparent)]
    Objects(#[from] ObjectError),
    #[error("{}: {source}", .path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{program} failed: {words}")]
    Failed { program: &'static str, words: String },
    #[error("{} holds no backup that is whole: it has no {INDEX}", .0.display())]
    NoBackup(PathBuf),
    #[error("{} is damaged: {reason}", .path.display())]
    Damaged { path: PathBuf, reason: String },
    #[error("{} has something in it already; restore into a new folder", .0.display())]
    NotEmpty(PathBuf),
}

/// What a folder of backups holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Index {
    /// Oldest first.
    pub backups: Vec<Backup>,
}

/// One backup.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Backup {
    /// Version of Q-Ponder.
    pub version: String,
    /// When it began, in UTC.
    pub at: String,
    /// The file with the database.
    pub dump: String,
    /// SHA-256 of that file.
    pub sha256: String,
    /// Rows of the tables that people ask for first.
    pub rows: BTreeMap<String, i64>,
}

/// How many files were copied, and how many were there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    pub new: u64,
    pub known: u64,
}

/// How to reach a database with Postgres' own programs.
pub struct Target {
    /// Arguments that name it.
    pub arguments: Vec<String>,
    /// Its password, which no argument holds: other users of the machine see those.
    pub password: Option<String>,
}

impl Target {
    /// The database of the embedded cluster.
    pub fn embedded(sockets: &Path, database: &str) -> Self {
        let arguments = [
            format!("--host={}", sockets.display()),
            "--port=5432".to_owned(),
            "--username=qponder".to_owned(),
            format!("--dbname={database}"),
        ];
        Self { arguments: arguments.to_vec(), password: None }
    }

    /// The database of a URL.
    pub fn url(url: &str) -> Self {
        let (scheme, rest) = url.split_once("://").unwrap_or(("postgres", url));
        // An @ further behind belongs to the database's name or to a parameter.
        let (authority, behind) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (user, host) =
            authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
        let (name, password) = match user.map(|user| user.split_once(':').unwrap_or((user, ""))) {
            Some((name, password)) => (format!("{name}@"), Some(password).filter(|text| !text.is_empty())),
            None => (String::new(), None),
        };
        let arguments = vec![format!("--dbname={scheme}://{name}{host}{behind}")];
        Self { arguments, password: password.map(decoded) }
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.args(&self.arguments).arg("--no-password");
        if let Some(password) = &self.password {
            command.env("PGPASSWORD", password);
        }
        command
    }
}

/// Text of a URL without its percent signs.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(|_| *first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    let path = path.to_owned();
    |source| BackupError::Io { path, source }
}

/// Writes the database of `target` into a file; the file's SHA-256.
pub fn dump(tools: &Tools, target: &Target, file: &Path) -> Result<String, BackupError> {
    let unfinished = file.with_extension("part");
    let mut command = target.command(&tools.pg_dump);
    command.args(["--format=custom", "--no-owner", "--no-privileges"]).arg("--file").arg(&unfinished);
    run("pg_dump", command)?;
    File::open(&unfinished).and_then(|file| file.sync_all()).map_err(io_error(&unfinished))?;
    let sha256 = hash(&unfinished)?;
    fs::rename(&unfinished, file).map_err(io_error(file))?;
    Ok(sha256)
}

/// Reads a dump into an empty database.
pub fn load(tools: &Tools, target: &Target, file: &Path) -> Result<(), BackupError> {
    let mut command = target.command(&tools.pg_restore);
    command.args(["--exit-on-error", "--single-transaction", "--no-owner", "--no-privileges"]).arg(file);
    run("pg_restore", command)
}

fn run(program: &'static str, mut command: Command) -> Result<(), BackupError> {
    let output = command.output().map_err(io_error(Path::new(program)))?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    Err(BackupError::Failed { program, words: words.trim().lines().last().unwrap_or_default().to_owned() })
}

/// Copies the files that cannot be made again from one object store into another, but for those that are there. The
/// hash of each is compared with its name.
pub async fn copy(from: &Objects, into: &Objects) -> Result<Copied, BackupError> {
    let mut copied = Copied::default();
    for kind in KINDS {
        let mut files = from.list(kind);
        while let Some(file) = files.next().await {
            let (name, bytes) = file?;
            if into.size(kind, &name).await? == Some(bytes) {
                copied.known += 1;
                continue;
            }
            // A file that was deleted meanwhile is no file of the backup any more.
            let Some((_, mut pieces)) = from.stream(kind, &name).await? else { continue };
            let (mut writer, mut hash) = (into.writer(kind, &name).await?, Sha256::new());
            while let Some(piece) = pieces.next().await {
                let piece = piece.map_err(ObjectError::from)?;
                hash.update(&piece);
                writer.write(&piece).await?;
            }
            // Exports have no hash for a name.
            if kind != Kind::Export && format!("{:x}", hash.finalize()) != name {
                let reason = "its hash is not its name".to_owned();
                return Err(BackupError::Damaged { path: Path::new(kind.folder()).join(name), reason });
            }
            writer.finish().await?;
            copied.new += 1;
        }
    }
    Ok(copied)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, BackupError> {
    let entries = fs::read_dir(folder).map_err(io_error(folder))?;
    entries.map(|entry| Ok(entry.map_err(io_error(folder))?.path())).collect()
}

fn hash(path: &Path) -> Result<String, BackupError> {
    Ok(hash_file(path).map_err(io_error(path))?.0)
}

impl Index {
    /// What a folder holds; nothing where it holds no backup.
    pub fn read(folder: &Path) -> Result<Self, BackupError> {
        let path = folder.join(INDEX);
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            text => text.map_err(io_error(&path))?,
        };
        serde_json::from_str(&text).map_err(|error| BackupError::Damaged { path, reason: error.to_string() })
    }

    /// Writes it down, whole or not at all, and removes the dumps that are no longer in it.
    pub fn write(&self, folder: &Path) -> Result<(), BackupError> {
        let (path, unfinished) = (folder.join(INDEX), folder.join("backup.part"));
        let text = serde_json::to_string_pretty(self).unwrap_or_default();
        fs::write(&unfinished, text).map_err(io_error(&unfinished))?;
        File::open(&unfinished).and_then(|file| file.sync_all()).map_err(io_error(&unfinished))?;
        fs::rename(&unfinished, &path).map_err(io_error(&path))?;
        for file in entries(folder)? {
            let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.ends_with(".dump") && self.backups.iter().all(|one| one.dump != name) {
                fs::remove_file(&file).map_err(io_error(&file))?;
            }
        }
        Ok(())
    }

    /// The newest backup, after a look whether its dump is what was written.
    pub fn newest(&self, folder: &Path) -> Result<&Backup, BackupError> {
        let newest = self.backups.last().ok_or_else(|| BackupError::NoBackup(folder.to_owned()))?;
        let path = folder.join(&newest.dump);
        if hash(&path)? != newest.sha256 {
            return Err(BackupError::Damaged { path, reason: "its hash is another one".to_owned() });
        }
        Ok(newest)
    }
}

/// Whether a folder is there and has something in it.
pub fn is_used(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_no_argument() {
        let target = Target::url("postgres://me:s%40cret@db.example:5433/qponder?sslmode=require");
        assert_eq!(target.arguments, ["--dbname=postgres://me@db.example:5433/qponder?sslmode=require"]);
        assert_eq!(target.password.as_deref(), Some("s@cret"));
        for url in
            ["postgresql://db/qponder", "postgres://db?application_name=a@b", "postgres:///qponder@home"]
        {
            let target = Target::url(url);
            assert_eq!((target.arguments, target.password), (vec![format!("--dbname={url}")], None));
        }
    }
}
