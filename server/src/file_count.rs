//! Counting the files of the object store, and removing those that no row names.
//!
//! A count walks over every file, so it runs in the background, when somebody asks for it, and is remembered
//! until the next.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::StreamExt as _;
use qponder_shared::operation::{FileCount, KindCount};
use time::OffsetDateTime;

use crate::store::audit::By;
use crate::store::images::rfc3339;
use crate::store::objects::{Kind, ObjectError, Objects};
use crate::store::{Store, StoreError};

/// Files whose rows are looked up at once.
const BATCH: usize = 1000;

/// Why a count ended early.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Objects(#[from] ObjectError),
}

/// The files of one object store.
#[derive(Clone)]
pub struct Files {
    store: Store,
    objects: Objects,
    last: Arc<Mutex<Last>>,
}

#[derive(Default)]
struct Last {
    count: Option<FileCount>,
    /// Names of files without a row, with their kind and size.
    orphans: Vec<(Kind, String, u64)>,
}

impl Files {
    /// Not counted yet.
    pub fn new(store: Store, objects: Objects) -> Self {
        Self { store, objects, last: Arc::default() }
    }

    /// The last count, or the one under way.
    pub fn last(&self) -> Option<FileCount> {
        self.lock(|last| last.count.clone())
    }

    /// Begins to count, unless a count is under way.
    pub fn count(&self) {
        let begun = self.lock(|last| {
            if last.count.as_ref().is_some_and(|count| count.finished_at.is_none()) {
                return false;
            }
            *last = Last::default();
            last.count = Some(FileCount { started_at: now(), ..FileCount::default() });
            true
        });
        if begun {
            let files = self.clone();
            tokio::spawn(async move {
                let error = files.walk().await.err().map(|error| error.to_string());
                if let Some(error) = &error {
                    tracing::error!(error, "the files could not be counted");
                }
                files.lock(|last| {
                    if let Some(count) = &mut last.count {
                        count.finished_at = Some(now());
                        count.error = error;
                    }
                });
            });
        }
    }

    /// Removes the files that the last count found without a row, if they still have none. Returns how many
    /// and their bytes.
    ///
    /// # Errors
    /// When the database fails; some may be removed by then.
    pub async fn remove_orphans(&self, by: &By) -> Result<KindCount, StoreError> {
        let orphans = self.lock(|last| std::mem::take(&mut last.orphans));
        let mut hashes: BTreeMap<String, Vec<(Kind, u64)>> = BTreeMap::new();
        for (kind, name, bytes) in orphans {
            hashes.entry(name).or_default().push((kind, bytes));
        }
        let mut removed = KindCount { kind: "orphans".to_owned(), ..KindCount::default() };
        for (name, kinds) in hashes {
            let delete = async {
                for (kind, bytes) in &kinds {
                    match self.objects.delete(*kind, &name).await {
                        Ok(()) => {
                            removed.files += 1;
                            removed.bytes += bytes;
                        }
                        Err(error) => tracing::warn!(%error, name, "a file could not be removed"),
                    }
                }
            };
            if kinds.iter().all(|(kind, _)| *kind == Kind::Export) {
                if self.store.named_files(std::slice::from_ref(&name)).await?.is_empty() {
                    delete.await;
                }
            } else if kinds.iter().all(|(kind, _)| *kind == Kind::Checkpoint) {
                self.store.with_unused_piece(&name, delete).await?;
            } else {
                // Under the lock of the hash, so that an upload of the same bytes waits.
                self.store.with_unused_hash(&name, delete).await?;
            }
        }
        self.store.note_removed_files(removed.files, removed.bytes, by).await?;
        self.count();
        Ok(removed)
    }

    async fn walk(&self) -> Result<(), Broken> {
        for kind in Kind::ALL {
            self.lock(|last| {
                if let Some(count) = &mut last.count {
                    count.kinds.push(KindCount { kind: kind.folder().to_owned(), files: 0, bytes: 0 });
                }
            });
            let mut listed = self.objects.list(kind).ready_chunks(BATCH);
            while let Some(files) = listed.next().await {
                let files = files.into_iter().collect::<Result<Vec<_>, _>>()?;
                let names: Vec<String> = files.iter().map(|(name, _)| name.clone()).collect();
                let named = match kind {
                    Kind::Checkpoint => self.store.named_pieces(&names).await?,
                    _ => self.store.named_files(&names).await?,
                };
                self.lock(|last| {
                    let Some(count) = &mut last.count else { return };
                    if let Some(of_kind) = count.kinds.last_mut() {
                        of_kind.files += files.len() as u64;
                        of_kind.bytes += files.iter().map(|(_, bytes)| bytes).sum::<u64>();
                    }
                    for (name, bytes) in files.into_iter().filter(|(name, _)| !named.contains(name)) {
                        count.orphans.files += 1;
                        count.orphans.bytes += bytes;
                        last.orphans.push((kind, name, bytes));
                    }
                });
            }
        }
        Ok(())
    }

    fn lock<T>(&self, work: impl FnOnce(&mut Last) -> T) -> T {
        work(&mut self.last.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn now() -> String {
    rfc3339(OffsetDateTime::now_utc())
}
