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
mod lanes;
mod prepare;
mod recorder;
mod roster;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use qponder_shared::api::{Mode, ModelInfo, ModelRole, Sampling, ServedModel};
use qponder_shared::prompt;
use qponder_shared::{AssessmentId, ImageId};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::decoding::Decoder;
use crate::metrics::Metrics;
use crate::store::objects::Objects;
use crate::store::{Store, StoreError};
use feed::Feeds;
use lanes::{Lane, Lanes};
use qponder_pipeline::assess::Assessor;
use recorder::Report;
use roster::Seat;

pub use feed::{Feed, Listener, Phase};
pub use roster::{Roster, SameName, Teacher, Words, prompt_version, takes, words_of};

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
    permit: mpsc::OwnedPermit<Watched>,
    lane: usize,
    feeds: &'a Feeds,
}

impl Slot<'_> {
    /// Takes the place.
    pub fn submit(self, job: Job) -> Arc<Feed> {
        let recorded = matches!(job.picture, Picture::Stored(_));
        let feed = Arc::new(Feed::new(job.id, self.lane, job.cancel_on_disconnect, recorded));
        self.feeds.insert(&feed);
        drop(self.permit.send(Watched { job, feed: Arc::clone(&feed) }));
        feed
    }
}

/// The handle that the web side holds. Models are named by their place in the order in which they came.
#[derive(Clone)]
pub struct Inference {
    lanes: Arc<Lanes>,
    feeds: Arc<Feeds>,
    finished: watch::Sender<u64>,
    stopping: watch::Sender<bool>,
    workshop: Arc<Workshop>,
}

/// What a model needs to be served.
struct Workshop {
    store: Store,
    objects: Objects,
    decoder: Decoder,
    metrics: Arc<Metrics>,
    /// Weak: the recorder ends with the last model.
    report: mpsc::WeakUnboundedSender<Report>,
    engines: Mutex<Vec<std::thread::JoinHandle<()>>>,
    callers: Mutex<Vec<JoinHandle<()>>>,
}

/// What must be waited for when the server stops.
pub struct Running {
    inference: Inference,
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

/// Why a model cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum Unservable {
    #[error(transparent)]
    SameName(#[from] SameName),
    #[error("the server is stopping")]
    Stopping,
    #[error("the operating system gives no thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// Starts a thread for each local model, a task for each endpoint, and what is around them. Call inside a
/// tokio runtime.
///
/// # Errors
/// When the operating system gives no thread.
pub fn start(roster: Roster, around: &Surroundings<'_>) -> Result<(Inference, Running), Unservable> {
    let (report, reports) = mpsc::unbounded_channel();
    let workshop = Workshop {
        store: around.store.clone(),
        objects: around.objects.clone(),
        decoder: around.decoder.clone(),
        metrics: Arc::clone(around.metrics),
        report: report.downgrade(),
        engines: Mutex::default(),
        callers: Mutex::default(),
    };
    let inference = Inference {
        lanes: Arc::default(),
        feeds: Arc::default(),
        finished: watch::channel(0).0,
        stopping: watch::channel(false).0,
        workshop: Arc::new(workshop),
    };
    for seat in roster.seats {
        inference.seat(seat)?;
    }
    let metrics = Arc::clone(around.metrics);
    let recorder = tokio::spawn(recorder::run(around.store.clone(), inference.clone(), reports, metrics));
    let store = around.store.clone();
    Ok((inference.clone(), Running { inference, recorder, store }))
}

impl Inference {
    /// Serves a model in a role beside the others; its place. Call inside a tokio runtime.
    ///
    /// # Errors
    /// When another model that is served has its name, or the server is stopping.
    pub fn serve(&self, assessor: Assessor, role: ModelRole) -> Result<usize, Unservable> {
        self.seat(Seat::Local { role, assessor, prompt: prompt::current(Mode::Reason) })
    }

    fn seat(&self, seat: Seat) -> Result<usize, Unservable> {
        let report = self.workshop.report.upgrade().filter(|_| !*self.stopping.borrow());
        let report = report.ok_or(Unservable::Stopping)?;
        let (queue, queued) = mpsc::channel(QUEUE);
        let served = seat.served();
        let name = served.name.clone();
        let info = seat.info().map(Arc::new);
        let lane = self.lanes.add(Lane { served: Arc::new(served), info, queue: Some(queue) });
        let lane = lane.ok_or(SameName { name })?;
        let stopping = self.stopping.subscribe();
        let Workshop { store, objects, decoder, metrics, engines, callers, .. } = &*self.workshop;
        let (store, objects) = (store.clone(), objects.clone());
        match seat {
            Seat::Local { assessor, .. } => {
                let (ready_in, ready) = mpsc::channel(engine::MAX_BATCH);
                let sources = prepare::Sources { store, objects, decoder: decoder.clone() };
                tokio::spawn(prepare::run(sources, queued, ready_in, report.clone(), stopping.clone()));
                let (runtime, metrics) = (tokio::runtime::Handle::current(), Arc::clone(metrics));
                let thread =
                    std::thread::Builder::new().name(format!("inference-{lane}")).stack_size(16 << 20);
                let engine = thread.spawn(move || {
                    engine::run(&assessor, lane, &runtime, ready, &report, &stopping, &metrics);
                });
                lock(engines).push(engine?);
            }
            Seat::Endpoint(teacher) => {
                let teacher = Arc::new(teacher);
                let caller = caller::Caller { lane, teacher, store, objects, report };
                lock(callers).push(tokio::spawn(Arc::new(caller).run(queued, stopping)));
            }
        }
        Ok(lane)
    }

    /// The default model, the one that answers where none is named.
    pub fn default_lane(&self) -> usize {
        self.lanes.default()
    }

    /// What the default model is.
    pub fn info(&self) -> Option<Arc<ModelInfo>> {
        self.lanes.info()
    }

    /// Every model that is served with its place, the default one first.
    pub fn models(&self) -> Vec<(usize, Arc<ServedModel>)> {
        self.lanes.served()
    }

    /// The model at a place.
    pub fn model(&self, lane: usize) -> Option<Arc<ServedModel>> {
        self.lanes.model(lane)
    }

    /// The place of a model that is served.
    pub fn lane_of(&self, name: &str) -> Option<usize> {
        self.lanes.of_name(name)
    }

    /// Makes a model the default one.
    pub fn set_default(&self, lane: usize) {
        self.lanes.set_default(lane);
    }

    /// Gives a model another role. A model of Q-Ponder's knows the short prompt alone, whatever its role.
    pub fn set_role(&self, lane: usize, role: ModelRole) {
        self.lanes.set_role(lane, role, prompt::current(Mode::Reason).version);
    }

    /// Lets a model go. What waits for it is answered.
    pub fn retire(&self, lane: usize) {
        self.lanes.retire(lane);
    }

    /// A place in a model's queue.
    ///
    /// # Errors
    /// When there is none, now or ever.
    pub fn reserve(&self, lane: usize) -> Result<Slot<'_>, Refused> {
        let queue = self.lanes.queue(lane).filter(|_| !*self.stopping.borrow()).ok_or(Refused::Stopping)?;
        match queue.try_reserve_owned() {
            Ok(permit) => Ok(Slot { permit, lane, feeds: &self.feeds }),
            Err(mpsc::error::TrySendError::Full(_)) => Err(Refused::Full),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(Refused::Stopping),
        }
    }

    /// How many assessments wait in a model's queue.
    pub fn waiting(&self, lane: usize) -> usize {
        self.lanes.queue(lane).map_or(0, |queue| QUEUE - queue.capacity())
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
        let mut of_model = std::collections::BTreeMap::<usize, Vec<Job>>::new();
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
            of_model.entry(lane).or_default().push(Job {
                id: earlier.id,
                picture: Picture::Stored(earlier.image_id),
                mode: earlier.mode,
                sampling: earlier.sampling,
                words: words_of(&model, earlier.mode),
                cancel_on_disconnect: earlier.cancel_on_disconnect,
            });
        }
        let queue = |(lane, jobs): (usize, Vec<Job>)| async move {
            let Some(queue) = self.lanes.queue(lane) else { return };
            for job in jobs {
                match queue.clone().reserve_owned().await {
                    Ok(permit) => drop(Slot { permit, lane, feeds: &self.feeds }.submit(job)),
                    Err(_) => return,
                }
            }
        };
        futures_util::future::join_all(of_model.into_iter().map(queue)).await;
        Ok(())
    }
}

impl Running {
    /// Takes nothing more, lets running batches and calls finish for `grace`, and stops it then. What is
    /// not final goes back to the queue, in its row, for the next server.
    pub async fn stop(self, grace: Duration) {
        let Self { inference, recorder, store } = self;
        inference.stopping.send_replace(true);
        let engines = std::mem::take(&mut *lock(&inference.workshop.engines));
        let callers = std::mem::take(&mut *lock(&inference.workshop.callers));
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

fn lock<T>(list: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    list.lock().unwrap_or_else(PoisonError::into_inner)
}
