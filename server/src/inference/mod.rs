//! The way of an assessment through the server: queue, pixels, engine, rows.
//!
//! ```text
//! POST ─▶ queue (bounded) ─▶ prepare: bytes → pixels ─▶ engine thread: batches ─▶ recorder: rows
//!                             blocking pool, in order        │ text
//!                                                            ▼
//!                                                          feeds ─▶ event streams
//! ```
//!
//! The model lives on a thread of its own and the web side never waits for it: a full queue is an
//! error at once, text travels through watch channels, and the end is written by the recorder.

mod engine;
mod feed;
mod prepare;
mod recorder;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use qponder_pipeline::assess::{Assessor, Wording};
use qponder_shared::api::{Mode, ModelInfo, Sampling};
use qponder_shared::{AssessmentId, ImageId};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::decoding::Decoder;
use crate::metrics::Metrics;
use crate::store::Store;
use crate::store::objects::Objects;
use feed::Feeds;

pub use feed::{Feed, Listener, Phase};

/// Assessments that may wait. More is refused, since nobody waits that long.
pub const QUEUE: usize = 256;

/// An assessment that stopped the server this often is not tried again.
const MAX_ATTEMPTS: i32 = 3;

/// One assessment on its way to the engine.
pub struct Job {
    /// Its id.
    pub id: AssessmentId,
    /// The image to look at.
    pub picture: Picture,
    /// How the model is asked.
    pub mode: Mode,
    /// How tokens are sampled.
    pub sampling: Sampling,
    /// A caller's own words; else the mode's prompt.
    pub wording: Option<Wording>,
    /// Stop when the last listener has gone.
    pub cancel_on_disconnect: bool,
}

/// Where the pixels of a job come from.
pub enum Picture {
    /// An uploaded image; the job has a row.
    Stored(ImageId),
    /// The request itself, which has been examined; there is no row, and nothing is kept.
    Sent {
        /// The file.
        bytes: Bytes,
        /// How many pixels it has.
        pixels: u64,
    },
}

/// A [`Job`] that others can watch.
struct Watched {
    job: Job,
    feed: Arc<Feed>,
}

/// Why nothing more is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The queue is full.
    Full,
    /// The server is stopping.
    Stopping,
}

/// A place in the queue.
pub struct Slot<'a> {
    permit: mpsc::Permit<'a, Watched>,
    feeds: &'a Feeds,
}

impl Slot<'_> {
    /// Takes the place.
    pub fn submit(self, job: Job) -> Arc<Feed> {
        let recorded = matches!(job.picture, Picture::Stored(_));
        let feed = Arc::new(Feed::new(job.id, job.cancel_on_disconnect, recorded));
        self.feeds.insert(&feed);
        self.permit.send(Watched { job, feed: Arc::clone(&feed) });
        feed
    }
}

/// The handle that the web side holds.
#[derive(Clone)]
pub struct Inference {
    queue: mpsc::Sender<Watched>,
    feeds: Arc<Feeds>,
    info: Arc<ModelInfo>,
    finished: watch::Sender<u64>,
    stopping: watch::Sender<bool>,
}

/// What must be waited for when the server stops.
pub struct Running {
    inference: Inference,
    engine: std::thread::JoinHandle<()>,
    recorder: JoinHandle<()>,
    store: Store,
}

/// Starts the engine thread and the tasks around it. Call inside a tokio runtime.
///
/// # Errors
/// When the operating system gives no thread.
pub fn start(
    assessor: Assessor,
    store: &Store,
    objects: &Objects,
    decoder: &Decoder,
    metrics: &Arc<Metrics>,
) -> std::io::Result<(Inference, Running)> {
    let (queue, queued) = mpsc::channel(QUEUE);
    let (ready_in, ready) = mpsc::channel(engine::MAX_BATCH);
    let (report, reports) = mpsc::unbounded_channel();
    let inference = Inference {
        queue,
        feeds: Arc::default(),
        info: Arc::new(assessor.info().clone()),
        finished: watch::channel(0).0,
        stopping: watch::channel(false).0,
    };
    let sources =
        prepare::Sources { store: store.clone(), objects: objects.clone(), decoder: decoder.clone() };
    tokio::spawn(prepare::run(sources, queued, ready_in, report.clone(), inference.stopping.subscribe()));
    let stopping = inference.stopping.subscribe();
    let (runtime, measured) = (tokio::runtime::Handle::current(), Arc::clone(metrics));
    let engine = std::thread::Builder::new()
        .name("inference".into())
        .stack_size(16 << 20)
        .spawn(move || engine::run(&assessor, &runtime, ready, &report, &stopping, &measured))?;
    let recorder =
        tokio::spawn(recorder::run(store.clone(), inference.clone(), reports, Arc::clone(metrics)));
    let running = Running { inference: inference.clone(), engine, recorder, store: store.clone() };
    Ok((inference, running))
}

impl Inference {
    /// The model that answers.
    pub fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// A place in the queue.
    ///
    /// # Errors
    /// When there is none, now or ever.
    pub fn reserve(&self) -> Result<Slot<'_>, Refused> {
        if *self.stopping.borrow() {
            return Err(Refused::Stopping);
        }
        match self.queue.try_reserve() {
            Ok(permit) => Ok(Slot { permit, feeds: &self.feeds }),
            Err(mpsc::error::TrySendError::Full(())) => Err(Refused::Full),
            Err(mpsc::error::TrySendError::Closed(())) => Err(Refused::Stopping),
        }
    }

    /// The feed of an unfinished assessment.
    pub fn feed(&self, id: AssessmentId) -> Option<Arc<Feed>> {
        self.feeds.get(id)
    }

    /// How many unfinished assessments are older.
    pub fn ahead_of(&self, id: AssessmentId) -> usize {
        self.feeds.ahead_of(id)
    }

    /// How many assessments are unfinished.
    pub fn unfinished(&self) -> usize {
        self.feeds.len()
    }

    /// Changes whenever an assessment becomes final.
    pub fn watch_finished(&self) -> watch::Receiver<u64> {
        self.finished.subscribe()
    }

    /// Queues what an earlier server left. Waits for places, so run it beside the rest.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn resume(&self, store: &Store) -> Result<(), crate::store::StoreError> {
        let unfinished = store.requeue().await?;
        if !unfinished.is_empty() {
            tracing::info!(count = unfinished.len(), "answering what an earlier server left");
        }
        for earlier in unfinished {
            if earlier.attempts >= MAX_ATTEMPTS {
                let reason =
                    format!("the server stopped {MAX_ATTEMPTS} times while answering this; it was given up");
                recorder::fail(store, earlier.id, reason).await?;
                continue;
            }
            let job = Job {
                id: earlier.id,
                picture: Picture::Stored(earlier.image_id),
                mode: earlier.mode,
                sampling: earlier.sampling,
                wording: None,
                cancel_on_disconnect: earlier.cancel_on_disconnect,
            };
            match self.queue.reserve().await {
                Ok(permit) => drop(Slot { permit, feeds: &self.feeds }.submit(job)),
                Err(_) => break,
            }
        }
        Ok(())
    }
}

impl Running {
    /// Takes nothing more, lets the running batch finish for `grace`, and stops it then. What is
    /// not final goes back to the queue, in its row, for the next server.
    pub async fn stop(self, grace: Duration) {
        let Self { inference, engine, recorder, store } = self;
        inference.stopping.send_replace(true);
        let joined = tokio::task::spawn_blocking(move || engine.join());
        let mut joined = std::pin::pin!(joined);
        if tokio::time::timeout(grace, &mut joined).await.is_err() {
            for feed in inference.feeds.all() {
                feed.cancel();
            }
            // The engine looks at the feeds after every token; this waits for one token.
            let _ = tokio::time::timeout(grace, &mut joined).await;
        }
        if tokio::time::timeout(grace, recorder).await.is_err() {
            tracing::warn!("some answers could not be written; they will be given again");
        }
        if let Err(error) = store.release().await {
            tracing::warn!(%error, "unfinished assessments stay marked as running until the next start");
        }
        for feed in inference.feeds.all() {
            feed.set_phase(Phase::Gone);
        }
    }
}
