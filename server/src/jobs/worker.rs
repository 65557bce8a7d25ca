//! A worker: claims one job after the other.

use std::sync::Arc;
use std::time::{Duration, Instant};

use qponder_shared::WorkerId;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::Instrument as _;

use super::attempt::{self, Around, LEASE};
use super::inputs::Places;
use super::news::JobNews;
use crate::store::Store;
use crate::store::leases::Takes;
use crate::store::objects::Objects;

/// How often a worker looks for jobs of which it was not told: those that were put off, or whose worker is gone.
const POLL: Duration = Duration::from_secs(3);

/// What a worker is, and what it works with.
pub struct WorkerSettings {
    pub store: Store,
    pub objects: Objects,
    pub places: Places,
    /// What people call it.
    pub name: String,
    /// Where it trains, as `--device` has it.
    pub device: String,
    /// Which jobs it takes.
    pub takes: Takes,
    pub news: JobNews,
}

/// A worker that works.
pub struct Worker {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Worker {
    /// Starts a worker beside everything else.
    pub fn start(settings: WorkerSettings) -> Self {
        let (stop, stopped) = watch::channel(false);
        Self { stop, task: tokio::spawn(work(settings, stopped)) }
    }

    /// Lets the job that it has write a checkpoint, gives it back, and stops.
    pub async fn stop(self, grace: Duration) {
        self.stop.send_replace(true);
        if tokio::time::timeout(grace, self.task).await.is_err() {
            tracing::warn!("a job was cut off; it goes on from its newest checkpoint");
        }
    }
}

async fn work(settings: WorkerSettings, mut stop: watch::Receiver<bool>) {
    let WorkerSettings { store, objects, places, name, device, takes, news } = settings;
    let around = Arc::new(Around { store, objects, places, worker: WorkerId::new(), device });
    let mut changes = news.listen();
    let mut is_known = false;
    while !*stop.borrow() {
        let asked = Instant::now();
        let claimed = async {
            if !is_known {
                around.store.add_worker(around.worker, &name, &around.device, &takes).await?;
                is_known = true;
            }
            around.store.claim(around.worker, &takes, LEASE).await
        };
        match claimed.await {
            Ok(Some(lease)) => {
                let request = lease.request.map(tracing::field::display);
                let span = tracing::info_span!("job", request, kind = lease.kind.name());
                async {
                    tracing::info!(job = %lease.job, attempt = lease.attempt, "a job begins");
                    attempt::run(&around, lease, asked, stop.clone()).await;
                }
                .instrument(span)
                .await;
                continue;
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "jobs wait for the database"),
        }
        tokio::select! {
            () = tokio::time::sleep(POLL) => {}
            _ = changes.next() => {}
            () = stopped(&mut stop) => {}
        }
    }
}

/// Waits until the worker is to stop.
pub async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}
