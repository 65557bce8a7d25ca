//! Since when the server runs, and where.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use qponder_shared::operation::Disk;
use time::OffsetDateTime;

use crate::store::images::rfc3339;

/// Since when the server runs, and its data directory.
#[derive(Clone)]
pub struct Uptime {
    begun: Instant,
    started_at: OffsetDateTime,
    data_dir: Arc<Path>,
}

impl Uptime {
    /// Now.
    pub fn new(data_dir: &Path) -> Self {
        Self { begun: Instant::now(), started_at: OffsetDateTime::now_utc(), data_dir: data_dir.into() }
    }

    /// When it began.
    pub fn started_at(&self) -> String {
        rfc3339(self.started_at)
    }

    /// Seconds since then, whatever was done to the clock.
    pub fn seconds(&self) -> u64 {
        self.begun.elapsed().as_secs()
    }

    /// The file system of the data directory.
    ///
    /// # Errors
    /// When it does not say.
    pub fn disk(&self) -> io::Result<Disk> {
        let found = rustix::fs::statvfs(&*self.data_dir)?;
        Ok(Disk { total: found.f_blocks * found.f_frsize, free: found.f_bavail * found.f_frsize })
    }
}
