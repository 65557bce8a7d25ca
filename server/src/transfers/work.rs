//! What a transfer works with: rows, bytes, a place for its files, and whether it is still wanted.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use qponder_shared::transfer::Transfer;
use sha2::{Digest, Sha256};
use tokio::runtime::Handle;

use crate::api::Shelf;
use crate::store::StoreError;
use crate::store::audit::By;
use crate::store::objects::{Kind, ObjectError};

/// How often progress is written down.
const NOTED_EVERY: Duration = Duration::from_millis(300);
/// Bytes that are read at a time.
const PIECE: usize = 1 << 20;

/// Why a transfer did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum Halt {
    /// The server stops.
    #[error("the server stops")]
    Stopping,
    /// Nobody wants it any more.
    #[error("it was cancelled")]
    Cancelled,
    /// It cannot be done, in words for whoever asked.
    #[error("{0}")]
    Failed(String),
}

impl From<StoreError> for Halt {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "a transfer failed");
        Self::Failed("the database failed, and the server's log says why; start it again".to_owned())
    }
}

impl From<ObjectError> for Halt {
    fn from(error: ObjectError) -> Self {
        tracing::error!(%error, "a transfer failed");
        Self::Failed("the object store failed, and the server's log says why; start it again".to_owned())
    }
}

impl From<io::Error> for Halt {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::StorageFull {
            return Self::Failed("the server's disk is full: make room, then start it again".to_owned());
        }
        tracing::error!(%error, "a transfer failed");
        Self::Failed(format!("a file could not be read or written: {error}"))
    }
}

/// One transfer that is worked on. It runs on a thread that may wait.
pub struct Work {
    /// Rows, bytes and pixels.
    pub shelf: Shelf,
    /// What was asked for.
    pub transfer: Transfer,
    /// Who asked.
    pub by: By,
    folder: PathBuf,
    stopping: Arc<AtomicBool>,
    runtime: Handle,
    noted: Instant,
    made: Vec<PathBuf>,
}

impl Work {
    /// Work on `transfer`, with its files in `folder`; made on a thread of the runtime.
    pub fn new(shelf: Shelf, folder: &Path, transfer: Transfer, by: By, stopping: Arc<AtomicBool>) -> Self {
        let (folder, runtime) = (folder.to_owned(), Handle::current());
        Self { shelf, transfer, by, folder, stopping, runtime, noted: Instant::now(), made: Vec::new() }
    }

    /// Waits for what is asynchronous.
    pub fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// Says how far it is.
    ///
    /// # Errors
    /// When it should not go on.
    pub fn progress(&mut self, done: usize, total: usize) -> Result<(), Halt> {
        if self.stopping.load(Ordering::Relaxed) {
            return Err(Halt::Stopping);
        }
        if self.noted.elapsed() < NOTED_EVERY && done < total {
            return Ok(());
        }
        self.noted = Instant::now();
        let noted = self.shelf.store.note_progress(self.transfer.id, done as u64, total as u64);
        if self.wait(noted)? { Ok(()) } else { Err(Halt::Cancelled) }
    }

    /// The file that came.
    pub fn incoming(&self) -> PathBuf {
        super::incoming(&self.folder, self.transfer.id)
    }

    /// A new file for this transfer, which [`Work::clean`] removes.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn file(&mut self, name: &str) -> io::Result<(PathBuf, File)> {
        let path = self.folder.join(format!("{}.{name}", self.transfer.id));
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&path)?;
        self.made.push(path.clone());
        Ok((path, file))
    }

    /// Puts a file where it can be downloaded; its size and SHA-256.
    ///
    /// # Errors
    /// When it cannot be read or kept.
    pub fn publish(&mut self, path: &Path) -> Result<(u64, String), Halt> {
        let mut file = File::open(path)?;
        let name = self.transfer.id.to_string();
        let mut kept = self.wait(self.shelf.objects.writer(Kind::Export, &name))?;
        let (mut hash, mut bytes, mut piece) = (Sha256::new(), 0, vec![0; PIECE]);
        loop {
            let read = file.read(&mut piece)?;
            if read == 0 {
                break;
            }
            hash.update(&piece[..read]);
            bytes += read as u64;
            self.wait(kept.write(&piece[..read]))?;
        }
        self.wait(kept.finish())?;
        Ok((bytes, format!("{:x}", hash.finalize())))
    }

    /// Removes the files that were made on the way.
    pub fn clean(&mut self) {
        for path in self.made.drain(..) {
            if let Err(error) = fs::remove_file(&path) {
                tracing::warn!(%error, path = %path.display(), "a temporary file could not be removed");
            }
        }
    }
}
