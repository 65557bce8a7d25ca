//! What can be watched of an assessment while it is not final: its text as it grows.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use qponder_shared::AssessmentId;
use qponder_shared::api::{Assessment, AssessmentStatus};
use tokio::sync::watch;

use crate::store::assessments::Outcome;

/// How far an assessment is.
#[derive(Clone, Debug)]
pub enum Phase {
    /// Others run before it.
    Queued,
    /// The model writes.
    Running,
    /// It is final, and its row says so.
    Final(Box<Assessment>),
    /// It is final and has no row; this is its end.
    Unrecorded(Arc<Outcome>),
    /// Nothing more will come here: it was deleted, or the server stops and will answer it when
    /// it runs again.
    Gone,
}

impl Phase {
    /// Whether nothing follows it.
    pub fn is_last(&self) -> bool {
        matches!(self, Phase::Final(_) | Phase::Unrecorded(_) | Phase::Gone)
    }
}

/// What a listener sees.
#[derive(Clone, Debug)]
pub struct Progress {
    /// How far it is.
    pub phase: Phase,
    /// Everything written so far.
    pub text: String,
}

/// One unfinished assessment.
pub struct Feed {
    /// Its id.
    pub id: AssessmentId,
    progress: watch::Sender<Progress>,
    cancelled: watch::Sender<bool>,
    /// Which model answers.
    pub(super) lane: usize,
    cancel_on_disconnect: bool,
    /// It has a row, which the recorder writes.
    pub(super) recorded: bool,
    listeners: AtomicUsize,
}

impl Feed {
    pub(super) fn new(id: AssessmentId, lane: usize, cancel_on_disconnect: bool, recorded: bool) -> Self {
        let (progress, _) = watch::channel(Progress { phase: Phase::Queued, text: String::new() });
        Self {
            id,
            progress,
            cancelled: watch::channel(false).0,
            lane,
            cancel_on_disconnect,
            recorded,
            listeners: AtomicUsize::new(0),
        }
    }

    /// Asks the engine to stop; what is written so far stays.
    pub fn cancel(&self) {
        self.cancelled.send_replace(true);
    }

    /// Whether somebody asked to stop.
    pub fn is_cancelled(&self) -> bool {
        *self.cancelled.borrow()
    }

    /// Waits until somebody asks to stop.
    pub(super) async fn cancellation(&self) {
        // Fails only when the sender is gone, which this feed holds.
        let _ = self.cancelled.subscribe().wait_for(|cancelled| *cancelled).await;
    }

    /// Begins to listen.
    pub fn listen(self: &Arc<Self>) -> Listener {
        self.listeners.fetch_add(1, Ordering::AcqRel);
        Listener { feed: Arc::clone(self), progress: self.progress.subscribe() }
    }

    /// Waits until the assessment is final; `None` when it is gone.
    pub async fn finished(&self) -> Option<Assessment> {
        let mut progress = self.progress.subscribe();
        let last = progress.wait_for(|now| now.phase.is_last()).await.ok()?;
        match &last.phase {
            Phase::Final(assessment) => Some((**assessment).clone()),
            _ => None,
        }
    }

    /// The row as it would stand if what is written so far were stored.
    pub fn overlay(&self, assessment: &mut Assessment) {
        let progress = self.progress.borrow();
        match &progress.phase {
            Phase::Final(stored) => *assessment = (**stored).clone(),
            Phase::Running => {
                assessment.status = AssessmentStatus::Running;
                assessment.response =
                    crate::store::assessments::response(assessment.mode, &progress.text, None);
                assessment.text.clone_from(&progress.text);
            }
            Phase::Queued | Phase::Unrecorded(_) | Phase::Gone => {}
        }
    }

    pub(super) fn text(&self) -> String {
        self.progress.borrow().text.clone()
    }

    pub(super) fn set_phase(&self, phase: Phase) {
        self.progress.send_modify(|now| now.phase = phase);
    }

    pub(super) fn append(&self, text: &str) {
        self.progress.send_modify(|now| now.text.push_str(text));
    }
}

/// One who listens to a feed. When the last one goes, an assessment that was asked for with
/// cancel-on-disconnect stops.
pub struct Listener {
    feed: Arc<Feed>,
    /// Changes with every piece of text and every phase.
    pub progress: watch::Receiver<Progress>,
}

impl Drop for Listener {
    fn drop(&mut self) {
        let last = self.feed.listeners.fetch_sub(1, Ordering::AcqRel) == 1;
        let running = !self.progress.borrow().phase.is_last();
        if last && running && self.feed.cancel_on_disconnect {
            tracing::info!(assessment = %self.feed.id, "the last listener has gone");
            self.feed.cancel();
        }
    }
}

/// All unfinished assessments. Ids are ordered by time, so the map is the queue's order.
#[derive(Default)]
pub(super) struct Feeds {
    by_id: Mutex<std::collections::BTreeMap<AssessmentId, Arc<Feed>>>,
}

impl Feeds {
    fn lock(&self) -> std::sync::MutexGuard<'_, std::collections::BTreeMap<AssessmentId, Arc<Feed>>> {
        // A map of pointers is whole after any panic.
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn insert(&self, feed: &Arc<Feed>) {
        self.lock().insert(feed.id, Arc::clone(feed));
    }

    pub(super) fn remove(&self, id: AssessmentId) {
        self.lock().remove(&id);
    }

    pub(super) fn get(&self, id: AssessmentId) -> Option<Arc<Feed>> {
        self.lock().get(&id).cloned()
    }

    pub(super) fn all(&self) -> Vec<Arc<Feed>> {
        self.lock().values().cloned().collect()
    }

    pub(super) fn ahead_of(&self, id: AssessmentId) -> usize {
        let feeds = self.lock();
        let Some(lane) = feeds.get(&id).map(|feed| feed.lane) else { return 0 };
        feeds.range(..id).filter(|(_, feed)| feed.lane == lane).count()
    }

    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }
}
