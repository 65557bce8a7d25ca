//! The task that writes what the engine reports: a listener hears of an end only when it is stored.

use std::sync::Arc;
use std::time::Duration;

use qponder_shared::AssessmentId;
use qponder_shared::api::{Assessment, AssessmentStatus};
use tokio::sync::mpsc;

use super::Inference;
use super::feed::{Feed, Phase};
use crate::metrics::Metrics;
use crate::store::assessments::Outcome;
use crate::store::{Store, StoreError};

/// What the engine has to say.
pub(super) enum Report {
    /// A batch begins.
    Started {
        /// The model that answers.
        lane: usize,
        /// The assessments in it.
        ids: Vec<AssessmentId>,
    },
    /// An assessment ends.
    Finished {
        /// Who listens to it.
        feed: Arc<Feed>,
        /// How it ends.
        outcome: Arc<Outcome>,
    },
}

/// Waits between attempts to write an end while the database is away: half a minute in all. After
/// that the row stays unfinished, and the next start answers it again.
const RETRIES: [Duration; 6] = [
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(12),
];

/// Writes reports until the engine and everyone before it is gone.
pub(super) async fn run(
    store: Store,
    inference: Inference,
    mut reports: mpsc::UnboundedReceiver<Report>,
    metrics: Arc<Metrics>,
) {
    while let Some(report) = reports.recv().await {
        match report {
            Report::Started { lane, ids } => {
                let Some(model) = inference.model(lane) else { continue };
                if let Err(error) = store.start_assessments(&ids, &model.name, &model.sha256).await {
                    tracing::warn!(%error, "assessments could not be marked as running");
                }
            }
            Report::Finished { feed, outcome } => {
                let last = if feed.recorded {
                    let written = write(&store, feed.id, &outcome).await;
                    written.map_or(Phase::Gone, |assessment| Phase::Final(Box::new(assessment)))
                } else {
                    Phase::Unrecorded(Arc::clone(&outcome))
                };
                tracing::info!(
                    assessment = %feed.id,
                    status = ?outcome.status,
                    score = outcome.score.map(qponder_shared::Score::get),
                    parse_ok = outcome.parse_ok,
                    ms = outcome.ms,
                    new_tokens = outcome.new_tokens,
                    error = outcome.error,
                    "assessment finished"
                );
                metrics.assessment(&outcome);
                // Out of the map first: who asks from now on reads the row.
                inference.feeds.remove(feed.id);
                feed.set_phase(last);
                inference.finished.send_modify(|count| *count += 1);
            }
        }
    }
}

/// Ends an assessment that never reaches the engine.
pub(super) async fn fail(store: &Store, id: AssessmentId, reason: String) -> Result<(), StoreError> {
    let outcome = Outcome::without_answer(AssessmentStatus::Failed, String::new(), Some(reason));
    store.finish_assessment(id, &outcome).await?;
    Ok(())
}

async fn write(store: &Store, id: AssessmentId, outcome: &Outcome) -> Option<Assessment> {
    for wait in RETRIES {
        match store.finish_assessment(id, outcome).await {
            Ok(assessment) => return assessment,
            Err(error) => {
                tracing::warn!(%error, assessment = %id, "an answer could not be written; trying again")
            }
        }
        tokio::time::sleep(wait).await;
    }
    tracing::error!(assessment = %id, "an answer could not be written; it will be given again at the next start");
    None
}
