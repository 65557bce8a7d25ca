//! Imports and exports. Each is a row that says what was asked for and how far it is; one at a time is worked
//! on, on a thread of its own, beside everything else.
//!
//! A transfer survives a restart: what was under way begins again. That is harmless, since an export makes its
//! file anew, and an import knows what it brought before by hashes and keys.

mod archive;
mod export;
mod import;
mod work;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use qponder_shared::TransferId;
use qponder_shared::transfer::Direction;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::api::Shelf;
use crate::store::Store;
use crate::store::transfers::{Begun, End};
use work::{Halt, Work};

/// A transfer during which the server ended this often is given up.
const MAX_ATTEMPTS: i32 = 3;
/// Extension of the files that came.
const INCOMING: &str = "in";
/// How long to wait after the database failed.
const PAUSE: Duration = Duration::from_secs(2);

/// The handle that the web side holds.
#[derive(Clone)]
pub struct Transfers {
    wake: Arc<Notify>,
    folder: Arc<Path>,
}

/// What must be waited for when the server stops.
pub struct Running {
    stopping: Arc<AtomicBool>,
    wake: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Transfers {
    /// Wakes whoever works on transfers: there is a new one.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Where the file of an import is kept until it was read.
    pub fn incoming(&self, id: TransferId) -> PathBuf {
        incoming(&self.folder, id)
    }
}

impl Running {
    /// Stops. What is under way begins again when a server starts.
    pub async fn stop(self, grace: Duration) {
        self.stopping.store(true, Ordering::Relaxed);
        self.wake.notify_one();
        if tokio::time::timeout(grace, self.task).await.is_err() {
            tracing::warn!("a transfer was cut off; it begins again when the server starts");
        }
    }
}

/// Starts to work on transfers, with what an earlier server left. Files lie in `folder`.
///
/// # Errors
/// When the folder cannot be made.
pub async fn start(shelf: Shelf, folder: PathBuf) -> io::Result<(Transfers, Running)> {
    fs::create_dir_all(&folder)?;
    // Before anybody can send a file.
    remove_leftovers(&shelf.store, &folder).await?;
    let wake = Arc::new(Notify::new());
    let stopping = Arc::new(AtomicBool::new(false));
    let transfers = Transfers { wake: Arc::clone(&wake), folder: folder.into() };
    let (folder, stop) = (Arc::clone(&transfers.folder), Arc::clone(&stopping));
    let woken = Arc::clone(&wake);
    let task = tokio::spawn(async move {
        let mut is_requeued = false;
        while !stop.load(Ordering::Relaxed) {
            if !is_requeued {
                is_requeued = requeue(&shelf.store).await;
            }
            match shelf.store.begin_transfer().await {
                Ok(Some(begun)) => run(&shelf, &folder, begun, &stop).await,
                Ok(None) if is_requeued => woken.notified().await,
                Ok(None) => tokio::time::sleep(PAUSE).await,
                Err(error) => {
                    tracing::warn!(%error, "transfers wait for the database");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    });
    Ok((transfers, Running { stopping, wake, task }))
}

/// Takes up what an earlier server left; whether it could.
async fn requeue(store: &Store) -> bool {
    match store.requeue_transfers().await {
        Ok(count) => {
            if count > 0 {
                tracing::info!(count, "transfers begin again");
            }
            true
        }
        Err(error) => {
            tracing::warn!(%error, "earlier transfers could not be taken up yet");
            false
        }
    }
}

/// Removes what earlier servers left, but for the files of imports that are still to be read.
async fn remove_leftovers(store: &Store, folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let id = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
        let is_needed = match id {
            Some(id) if path.extension().is_some_and(|extension| extension == INCOMING) => {
                let transfer = store.transfer(id).await;
                // When in doubt it stays.
                transfer.map_or(true, |transfer| transfer.is_some_and(|found| !found.state.is_final()))
            }
            _ => false,
        };
        if !is_needed {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// Works on one transfer to its end.
async fn run(shelf: &Shelf, folder: &Path, begun: Begun, stop: &Arc<AtomicBool>) {
    let Begun { transfer, by, attempts } = begun;
    let id = transfer.id;
    let end = if attempts > MAX_ATTEMPTS {
        let error = format!("the server ended {MAX_ATTEMPTS} times while this ran; its log may say why");
        End::Failed { error, report: None }
    } else {
        let mut work = Work::new(shelf.clone(), folder, transfer.clone(), by.clone(), Arc::clone(stop));
        let done = tokio::task::spawn_blocking(move || {
            let done = match work.transfer.direction {
                Direction::Export => export::run(&mut work),
                Direction::Import => import::run(&mut work),
            };
            work.clean();
            done
        });
        match done.await {
            Ok(Ok(end)) => end,
            Ok(Err(Halt::Stopping)) => return,
            Ok(Err(Halt::Cancelled)) => End::Cancelled,
            Ok(Err(Halt::Failed(error))) => End::Failed { error, report: None },
            Err(error) => {
                tracing::error!(%error, transfer = %id, "a transfer broke off");
                let error = "it broke off by a defect of the program; the server's log says more".to_owned();
                End::Failed { error, report: None }
            }
        }
    };
    // The database may be away for a while; what was done must not be lost by that.
    while let Err(error) = shelf.store.end_transfer(id, &end, &by).await {
        tracing::warn!(%error, transfer = %id, "the end of a transfer waits for the database");
        if stop.load(Ordering::Relaxed) {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
    if transfer.direction == Direction::Import {
        let _ = fs::remove_file(incoming(folder, id));
    }
}

fn incoming(folder: &Path, id: TransferId) -> PathBuf {
    folder.join(format!("{id}.{INCOMING}"))
}
