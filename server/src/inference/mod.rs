//! The way of an assessment through the server: queue, pixels, engine, rows.
//!
//! ```text
//! POST ─▶ queue (bounded) ─▶ prepare: bytes → pixels ─▶ engine thread: batches ─▶ recorder: rows
//!                             blocking pool, in order        │ text
//!                                                            ▼
//!                                                          feeds ─▶ event streams
//! ```
//!
//! Every model has a queue of its own; one behind an endpoint is called by `caller` in the place of an engine.
//! A local model lives on a thread of its own and the web side never waits for it: a full queue is an
//! error at once, text travels through watch channels, and the end is written by the recorder.

mod caller;
mod engine;
mod feed;
mod prepare;
mod recorder;
mod roster;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use qponder_shared::api::{Mode, ModelInfo, Sampling, ServedModel};
use qponder_shared::{AssessmentId, ImageId};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::decoding::Decoder;
use crate::metrics::Metrics;
use crate::store::objects::Objects;
use crate::store::{Store, StoreError};
use feed::Feeds;
use roster::Seat;

pub use feed::{Feed, Listener, Phase};
pub use roster::{Roster, Teacher, Words, prompt_version, takes, words_of};

/// Assessments that may wait for one model. More is refused, since nobody waits that long.
pub const QUEUE: usize = 256;

/// An assessment that stopped the server this often is not tried again.
const MAX_ATTEMPTS: i32 = 3;

/// One assessment on its way to its model.
pub struct Job {
    /// Its id.
    pub id: AssessmentId,
    /// The image to look at.
    pub picture: Picture,
    /// How the model is asked.
    pub mode: Mode,
    /// How tokens are sampled.
    pub sampling: Sampling,
    /// Other words than the mode's prompt.
    pub words: Option<Words>,
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

/// A place in a model's queue.
pub struct Slot<'a> {
    permit: mpsc::Permit<'a, Watched>,
    lane: usize,
    feeds: &'a Feeds,
}

impl Slot<'_> {
    /// Takes the place.
    pub fn submit(self, job: Job) -> Arc<Feed> {
        let recorded = matches!(job.picture, Picture::Stored(_));
        let feed = Arc::new(Feed::new(job.id, self.lane, job.cancel_on_disconnect, recorded));
        self.feeds.insert(&feed);
        self.permit.send(Watched { job, feed: Arc::clone(&feed) });
        feed
    }
}

/// The handle that the web side holds. Models are named by their place in the list, the default one is 0.
#[derive(Clone)]
pub struct Inference {
    queues: Arc<[mpsc::Sender<Watched>]>,
    models: Arc<[ServedModel]>,
    /// The default model.
    info: Arc<ModelInfo>,
    feeds: Arc<Feeds>,
    finished: watch::Sender<u64>,
    stopping: watch::Sender<bool>,
}

/// What must be waited for when the server stops.
pub struct Running {
    inference: Inference,
    engines: Vec<std::thread::JoinHandle<()>>,
    callers: Vec<JoinHandle<()>>,
    recorder: JoinHandle<()>,
    store: Store,
}

/// What every model works with.
pub struct Surroundings<'a> {
    /// Rows.
    pub store: &'a Store,
    /// Bytes.
    pub objects: &'a Objects,
    /// Pixels.
    pub decoder: &'a Decoder,
    /// Counters.
    pub metrics: &'a Arc<Metrics>,
}

/// Starts a thread for each local model, a task for each endpoint, and what is around them. Call inside a
/// tokio runtime.
///
/// # Errors
/// When the operating system gives no thread.
pub fn start(roster: Roster, around: &Surroundings<'_>) -> std::io::Result<(Inference, Running)> {
    let (report, reports) = mpsc::unbounded_channel();
    let (queues, queued): (Vec<_>, Vec<_>) = roster.seats.iter().map(|_| mpsc::channel(QUEUE)).unzip();
    let inference = Inference {
        queues: queues.into(),
        models: roster.seats.iter().map(Seat::served).collect(),
        info: Arc::new(roster.default),
        feeds: Arc::default(),
        finished: watch::channel(0).0,
        stopping: watch::channel(false).0,
    };
    let (mut engines, mut callers) = (Vec::new(), Vec::new());
    for (lane, (seat, queued)) in roster.seats.into_iter().zip(queued).enumerate() {
        let stopping = inference.stopping.subscribe();
        let (store, objects) = (around.store.clone(), around.objects.clone());
        match seat {
            Seat::Local { assessor, .. } => {
                let (ready_in, ready) = mpsc::channel(engine::MAX_BATCH);
                let sources = prepare::Sources { store, objects, decoder: around.decoder.clone() };
                tokio::spawn(prepare::run(sources, queued, ready_in, report.clone(), stopping.clone()));
                let (runtime, report) = (tokio::runtime::Handle::current(), report.clone());
                let metrics = Arc::clone(around.metrics);
                let thread =
                    std::thread::Builder::new().name(format!("inference-{lane}")).stack_size(16 << 20);
                engines.push(thread.spawn(move || {
                    engine::run(&assessor, lane, &runtime, ready, &report, &stopping, &metrics);
                })?);
            }
            Seat::Endpoint(teacher) => {
                let teacher = Arc::new(teacher);
                let caller = caller::Caller { lane, teacher, store, objects, report: report.clone() };
                callers.push(tokio::spawn(Arc::new(caller).run(queued, stopping)));
            }
        }
    }
    let metrics = Arc::clone(around.metrics);
    let recorder = tokio::spawn(recorder::run(around.store.clone(), inference.clone(), reports, metrics));
    let store = around.store.clone();
    Ok((inference.clone(), Running { inference, engines, callers, recorder, store }))
}

impl Inference {
    /// The default model.
    pub fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// Every model, the default one first.
    pub fn models(&self) -> &[ServedModel] {
        &self.models
    }

    /// The model at a place of the list.
    pub fn model(&self, lane: usize) -> Option<&ServedModel> {
        self.models.get(lane)
    }

    /// The place of a model in the list.
    pub fn lane_of(&self, name: &str) -> Option<usize> {
        self.models.iter().position(|model| model.name == name)
    }

    /// A place in a model's queue.
    ///
    /// # Errors
    /// When there is none, now or ever.
    pub fn reserve(&self, lane: usize) -> Result<Slot<'_>, Refused> {
        let queue = self.queues.get(lane).filter(|_| !*self.stopping.borrow()).ok_or(Refused::Stopping)?;
        match queue.try_reserve() {
            Ok(permit) => Ok(Slot { permit, lane, feeds: &self.feeds }),
            Err(mpsc::error::TrySendError::Full(())) => Err(Refused::Full),
            Err(mpsc::error::TrySendError::Closed(())) => Err(Refused::Stopping),
        }
    }

    /// How many assessments wait in a model's queue.
    pub fn waiting(&self, lane: usize) -> usize {
        self.queues.get(lane).map_or(0, |queue| QUEUE - queue.capacity())
    }

    /// The feed of an unfinished assessment.
    pub fn feed(&self, id: AssessmentId) -> Option<Arc<Feed>> {
        self.feeds.get(id)
    }

    /// How many unfinished assessments of the same model are older.
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

    /// Queues what an earlier server left, each for the model that was asked. Waits for places, so run it
    /// beside the rest; a full queue of one model does not keep those of another waiting.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn resume(&self, store: &Store) -> Result<(), StoreError> {
        let unfinished = store.requeue().await?;
        if !unfinished.is_empty() {
            tracing::info!(count = unfinished.len(), "answering what an earlier server left");
        }
        let mut of_model: Vec<Vec<Job>> = self.models.iter().map(|_| Vec::new()).collect();
        for earlier in unfinished {
            if earlier.attempts >= MAX_ATTEMPTS {
                let reason =
                    format!("the server stopped {MAX_ATTEMPTS} times while answering this; it was given up");
                recorder::fail(store, earlier.id, reason).await?;
                continue;
            }
            let lane = self.lane_of(&earlier.model);
            let Some((lane, model)) = lane.and_then(|lane| Some((lane, self.model(lane)?))) else {
                let reason = format!(
                    "the model {} is no longer served; start the server with it and ask again, or ask another",
                    earlier.model
                );
                recorder::fail(store, earlier.id, reason).await?;
                continue;
            };
            if let Some(jobs) = of_model.get_mut(lane) {
                jobs.push(Job {
                    id: earlier.id,
                    picture: Picture::Stored(earlier.image_id),
                    mode: earlier.mode,
                    sampling: earlier.sampling,
                    words: words_of(model, earlier.mode),
                    cancel_on_disconnect: earlier.cancel_on_disconnect,
                });
            }
        }
        let queue = |(lane, jobs): (usize, Vec<Job>)| async move {
            let Some(queue) = self.queues.get(lane) else { return };
            for job in jobs {
                match queue.reserve().await {
                    Ok(permit) => drop(Slot { permit, lane, feeds: &self.feeds }.submit(job)),
                    Err(_) => return,
                }
            }
        };
        futures_util::future::join_all(of_model.into_iter().enumerate().map(queue)).await;
        Ok(())
    }
}

impl Running {
    /// Takes nothing more, lets running batches and calls finish for `grace`, and stops it then. What is
    /// not final goes back to the queue, in its row, for the next server.
    pub async fn stop(self, grace: Duration) {
        let Self { inference, engines, callers, recorder, store } = self;
        inference.stopping.send_replace(true);
        let joined = async {
            let threads = tokio::task::spawn_blocking(move || {
                engines.into_iter().for_each(|engine| drop(engine.join()));
            });
            let _ = threads.await;
            futures_util::future::join_all(callers).await;
        };
        let mut joined = std::pin::pin!(joined);
        if tokio::time::timeout(grace, &mut joined).await.is_err() {
            for feed in inference.feeds.all() {
                feed.cancel();
            }
            // An engine looks at the feeds after every token; this waits for one token.
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
