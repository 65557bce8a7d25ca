//! One connection that hears of jobs that change, and everybody on this server who wants to know.

use std::time::Duration;

use qponder_shared::JobId;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;

use crate::store::Store;

/// Changes that a listener may be behind; who falls further behind is told to look at everything.
const BACKLOG: usize = 1024;
/// How long to wait after the database failed.
const PAUSE: Duration = Duration::from_secs(2);

/// Tells of jobs that change: which one, or `None` where any may have.
#[derive(Clone)]
pub struct JobNews {
    sender: broadcast::Sender<Option<JobId>>,
}

impl JobNews {
    /// Begins to listen; the task ends when it is aborted.
    pub fn start(store: Store) -> (Self, JoinHandle<()>) {
        let (sender, _) = broadcast::channel(BACKLOG);
        let news = Self { sender: sender.clone() };
        let task = tokio::spawn(async move {
            loop {
                match store.listen_for_jobs().await {
                    Ok(mut listener) => loop {
                        // Nobody may be listening.
                        match listener.next().await {
                            Ok(job) => drop(sender.send(job)),
                            Err(error) => {
                                tracing::warn!(%error, "news of jobs are interrupted");
                                break;
                            }
                        }
                    },
                    Err(error) => tracing::warn!(%error, "news of jobs wait for the database"),
                }
                tokio::time::sleep(PAUSE).await;
                let _ = sender.send(None);
            }
        });
        (news, task)
    }

    /// Hears what comes from now on.
    pub fn listen(&self) -> Listener {
        Listener { receiver: self.sender.subscribe() }
    }
}

/// Somebody who wants to know.
pub struct Listener {
    receiver: broadcast::Receiver<Option<JobId>>,
}

impl Listener {
    /// Waits for the next change; `None` where any job may have changed.
    pub async fn next(&mut self) -> Option<JobId> {
        match self.receiver.recv().await {
            Ok(job) => job,
            Err(broadcast::error::RecvError::Lagged(_)) => None,
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }

    /// Waits until that job changes, or any may have.
    pub async fn wait_for(&mut self, job: JobId) {
        while self.next().await.is_some_and(|changed| changed != job) {}
    }
}
