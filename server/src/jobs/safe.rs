//! What a job can go on from on another machine: its newest checkpoint and its logs, kept in the object store while it
//! is under way.
//!
//! Where the object store is a directory, workers share that disk, and a checkpoint is safe as soon as it is written.
//! Files are kept piece by piece: a log only grows, so that each time its new end alone is sent.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use qponder_shared::JobId;
use sha2::{Digest as _, Sha256};

use super::artifacts::{self, ArtifactError};
use crate::store::Store;
use crate::store::job_checkpoints::{KeptState, Piece};
use crate::store::leases::Lease;
use crate::store::objects::{Kind, ObjectError, Objects};

/// Largest piece, in bytes: small enough for the 10,000 parts of 5 MiB that an upload to S3 has.
const PIECE: u64 = 1 << 30;
/// Bytes that are read at a time.
const CHUNK: usize = 1 << 20;
/// Most pieces of a log before it is sent anew as a whole.
const MOST_PIECES: usize = 256;
/// How the files of checkpoints are called, before and after the step.
const CHECKPOINT: (&str, &str) = ("checkpoint-", ".safetensors");
/// What a log ends in.
const LOG: &str = ".jsonl";
/// What a file that is being fetched ends in.
const UNFINISHED: &str = "part";

/// Why a state could not be kept or fetched.
#[derive(Debug, thiserror::Error)]
pub enum SafeError {
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
}

impl From<io::Error> for SafeError {
    fn from(error: io::Error) -> Self {
        Self::Artifact(error.into())
    }
}

impl From<ObjectError> for SafeError {
    fn from(error: ObjectError) -> Self {
        Self::Artifact(error.into())
    }
}

/// Pieces of logs that are kept already, by file.
pub type Sent = BTreeMap<String, Vec<Piece>>;

/// The step of the newest checkpoint in a folder.
pub fn newest(out: &Path) -> Option<u64> {
    let names = fs::read_dir(out).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let step = |name: std::ffi::OsString| {
        name.to_str()?.strip_prefix(CHECKPOINT.0)?.strip_suffix(CHECKPOINT.1)?.parse().ok()
    };
    names.filter_map(step).max()
}

/// Keeps the state that a job is in: the checkpoint of `step`, where the job makes any, and all logs. Returns what is
/// sent by now; `None` where the job is in other hands.
pub async fn keep(
    lease: &Lease,
    out: &Path,
    step: u64,
    sent: &Sent,
    (store, objects): (&Store, &Objects),
) -> Result<Option<Sent>, SafeError> {
    // Opened before anything else: the training removes old checkpoints while this goes on.
    let (mut files, folder) = (BTreeMap::new(), out.to_owned());
    for entry in fs::read_dir(&folder)? {
        let Ok(name) = entry?.file_name().into_string() else { continue };
        if name.ends_with(LOG) || name == checkpoint(step) {
            files.insert(name.clone(), File::open(folder.join(&name))?);
        }
    }
    if files.is_empty() || lease.kind.trains() && !files.contains_key(&checkpoint(step)) {
        return Ok(Some(sent.clone()));
    }
    let mut known = sent.clone();
    let cut = tokio::task::spawn_blocking(move || {
        let (mut pieces, mut fresh) = (Sent::new(), Vec::new());
        for (name, file) in &files {
            let mut of_file = known.remove(name).filter(|_| name.ends_with(LOG)).unwrap_or_default();
            if of_file.len() >= MOST_PIECES {
                of_file.clear();
            }
            let mut at = of_file.iter().map(|piece| piece.bytes.unsigned_abs()).sum();
            while let Some(piece) = cut(name, file, at, of_file.len())? {
                fresh.push((piece.clone(), at));
                at += piece.bytes.unsigned_abs();
                of_file.push(piece);
            }
            pieces.insert(name.clone(), of_file);
        }
        Ok::<_, io::Error>((files, pieces, fresh))
    });
    let (files, pieces, fresh) = cut.await.map_err(io::Error::other)??;
    let state = KeptState { step, pieces: pieces.values().flatten().cloned().collect() };
    let Some(replaced) = store.name_state(lease, &state).await? else { return Ok(None) };
    remove(&replaced, store, objects).await?;
    for (piece, at) in &fresh {
        if let Some(file) = files.get(&piece.name) {
            send(file, *at, piece, objects).await?;
        }
    }
    let needless = store.complete_state(lease, step).await?;
    remove(&needless, store, objects).await?;
    Ok(Some(pieces))
}

/// Brings the newest state that is kept and not damaged into a job's folder, unless a newer one is there. Returns its
/// step; `damaged` gets what is wrong with newer ones.
pub async fn bring(
    lease: &Lease,
    out: &Path,
    (store, objects): (&Store, &Objects),
    damaged: &mut Vec<String>,
) -> Result<Option<u64>, SafeError> {
    for state in store.kept_states(lease.job).await? {
        let mut files: BTreeMap<&str, Vec<&Piece>> = BTreeMap::new();
        for piece in &state.pieces {
            files.entry(&piece.name).or_default().push(piece);
        }
        let bytes = |pieces: &[&Piece]| pieces.iter().map(|piece| piece.bytes.unsigned_abs()).sum::<u64>();
        let is_behind = |(name, pieces): (&&str, &Vec<&Piece>)| {
            fs::metadata(out.join(name)).map_or(0, |found| found.len()) < bytes(pieces)
        };
        let is_needed = if lease.kind.trains() {
            newest(out).is_none_or(|here| here < state.step)
        } else {
            files.iter().any(is_behind)
        };
        if !is_needed {
            return Ok(None);
        }
        fs::create_dir_all(out)?;
        // The checkpoint comes last: where it is, its logs are.
        let (logs, checkpoint): (Vec<_>, Vec<_>) =
            files.into_iter().partition(|(name, _)| name.ends_with(LOG));
        let mut fetched = Ok(());
        for (name, pieces) in logs.into_iter().chain(checkpoint) {
            fetched = fetch(out, name, &pieces, objects).await;
            if fetched.is_err() {
                break;
            }
        }
        match fetched {
            Ok(()) => return Ok(Some(state.step)),
            Err(error @ (ArtifactError::Gone { .. } | ArtifactError::Damaged { .. })) => {
                damaged.push(format!("what was kept after step {} cannot be used: {error}", state.step));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

/// Removes everything that is kept of a job that has ended.
pub async fn forget(job: JobId, store: &Store, objects: &Objects) -> Result<(), SafeError> {
    let needless = store.forget_states(job).await?;
    remove(&needless, store, objects).await
}

fn checkpoint(step: u64) -> String {
    format!("{}{step:08}{}", CHECKPOINT.0, CHECKPOINT.1)
}

/// The next piece of a file from a place on; `None` at its end. Blocks.
fn cut(name: &str, mut file: &File, at: u64, place: usize) -> io::Result<Option<Piece>> {
    file.seek(SeekFrom::Start(at))?;
    let (mut rest, mut hash, mut bytes) = (file.take(PIECE), Sha256::new(), 0);
    let mut buffer = vec![0; CHUNK];
    loop {
        let read = rest.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        hash.update(&buffer[..read]);
        bytes += read as i64;
    }
    let place = i32::try_from(place).map_err(io::Error::other)?;
    let piece = Piece { name: name.to_owned(), place, sha256: format!("{:x}", hash.finalize()), bytes };
    Ok((bytes > 0).then_some(piece))
}

/// Writes a piece of a file into the object store, unless it is there.
async fn send(mut file: &File, at: u64, piece: &Piece, objects: &Objects) -> Result<(), ArtifactError> {
    let length = piece.bytes.unsigned_abs();
    if objects.size(Kind::Checkpoint, &piece.sha256).await? == Some(length) {
        return Ok(());
    }
    file.seek(SeekFrom::Start(at))?;
    artifacts::send(file.take(length), (Kind::Checkpoint, &piece.sha256), objects).await
}

/// Writes a file of pieces, whole or not at all.
async fn fetch(out: &Path, name: &str, pieces: &[&Piece], objects: &Objects) -> Result<(), ArtifactError> {
    let path = out.join(name);
    let mut unfinished = path.clone().into_os_string();
    unfinished.push(format!(".{UNFINISHED}"));
    let unfinished = PathBuf::from(unfinished);
    let mut file = File::create(&unfinished)?;
    for piece in pieces {
        let from = (Kind::Checkpoint, piece.sha256.as_str());
        let written = artifacts::receive(&mut file, from, name, objects).await;
        if written.is_err() {
            fs::remove_file(&unfinished)?;
            return written;
        }
    }
    // This waits for the disk, which takes long where the file is large.
    tokio::task::spawn_blocking(move || file.sync_all()).await.map_err(io::Error::other)??;
    Ok(fs::rename(&unfinished, path)?)
}

/// Deletes pieces that no job needs.
async fn remove(hashes: &[String], store: &Store, objects: &Objects) -> Result<(), SafeError> {
    for sha256 in hashes {
        let delete = async {
            // What stays is found by the count of files.
            if let Err(error) = objects.delete(Kind::Checkpoint, sha256).await {
                tracing::warn!(%error, sha256, "a needless piece of a checkpoint could not be deleted");
            }
        };
        store.with_unused_piece(sha256, delete).await?;
    }
    Ok(())
}
