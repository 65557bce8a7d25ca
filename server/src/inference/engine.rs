//! The thread that owns a model: gathers what is ready into batches and answers them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use qponder_pipeline::assess::{Answer, Assessor, Event, Finish, Flow, Request};
use qponder_shared::api::AssessmentStatus;
use tokio::sync::{mpsc, watch};

use super::Job;
use super::feed::{Feed, Phase};
use super::prepare::Ready;
use super::recorder::Report;
use crate::metrics::Metrics;
use crate::store::assessments::Outcome;

/// Requests that are answered together at most.
pub(super) const MAX_BATCH: usize = 8;

/// How long a batch waits for company. Requests of one page arrive within this; a single one
/// hardly notices it.
const WINDOW: Duration = Duration::from_millis(4);

/// Answers until the server stops or nothing can come any more.
pub(super) fn run(
    assessor: &Assessor,
    lane: usize,
    runtime: &tokio::runtime::Handle,
    mut ready: mpsc::Receiver<Ready>,
    report: &mpsc::UnboundedSender<Report>,
    stopping: &watch::Receiver<bool>,
    metrics: &Metrics,
) {
    let mut stop = stopping.clone();
    loop {
        let batch = runtime.block_on(async {
            tokio::select! {
                biased;
                _ = stop.wait_for(|stopping| *stopping) => Vec::new(),
                batch = gather(&mut ready) => batch,
            }
        });
        if batch.is_empty() {
            return;
        }
        let start = Instant::now();
        let size = batch.len();
        answer(assessor, lane, batch, report, stopping);
        metrics.batch(size, start.elapsed());
    }
}

async fn gather(ready: &mut mpsc::Receiver<Ready>) -> Vec<Ready> {
    let mut batch = Vec::new();
    let Some(first) = ready.recv().await else {
        return batch;
    };
    batch.push(first);
    let deadline = tokio::time::Instant::now() + WINDOW;
    while batch.len() < MAX_BATCH {
        match tokio::time::timeout_at(deadline, ready.recv()).await {
            Ok(Some(next)) => batch.push(next),
            Ok(None) | Err(_) => break,
        }
    }
    batch
}

fn answer(
    assessor: &Assessor,
    lane: usize,
    batch: Vec<Ready>,
    report: &mpsc::UnboundedSender<Report>,
    stopping: &watch::Receiver<bool>,
) {
    let mut feeds = Vec::with_capacity(batch.len());
    let mut requests = Vec::with_capacity(batch.len());
    let mut pixels = Vec::with_capacity(batch.len());
    let mut versions = Vec::with_capacity(batch.len());
    for Ready { watched, image, _pixels } in batch {
        let Job { mode, sampling, words, .. } = watched.job;
        versions.push(words.as_ref().and_then(|words| words.version));
        let wording = words.map(|words| words.wording);
        requests.push(Request { image, mode, sampling, wording });
        feeds.push(watched.feed);
        pixels.push(_pixels);
    }
    for feed in &feeds {
        feed.set_phase(Phase::Running);
    }
    let _ = report.send(Report::Started { lane, ids: feeds.iter().map(|feed| feed.id).collect() });

    let mut open: Vec<Option<Arc<Feed>>> = feeds.into_iter().map(Some).collect();
    let finish = |feed: Arc<Feed>, outcome: Outcome| {
        let _ = report.send(Report::Finished { feed, outcome: Arc::new(outcome) });
    };
    // A bug in the model's code must not take the queue down: its batch fails, the next one runs.
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        assessor.answer(&requests, &mut |index, event| {
            let Some(slot) = open.get_mut(index) else {
                return Flow::Cancel;
            };
            match event {
                Event::Text(text) => {
                    let Some(feed) = slot else {
                        return Flow::Cancel;
                    };
                    feed.append(&storable(text));
                    if feed.is_cancelled() { Flow::Cancel } else { Flow::Continue }
                }
                Event::Done(answer) => {
                    if let Some(feed) = slot.take() {
                        // Stopped by the server and not by its user: left for the next start.
                        if !(matches!(answer.finish, Finish::Cancelled) && *stopping.borrow()) {
                            let version = versions.get(index).copied().flatten();
                            finish(feed, outcome_of(answer, version));
                        }
                    }
                    Flow::Continue
                }
                Event::Refused(reason) => {
                    if let Some(feed) = slot.take() {
                        let status = AssessmentStatus::Failed;
                        let outcome = Outcome::without_answer(status, String::new(), Some(reason));
                        finish(feed, Outcome { refused: true, ..outcome });
                    }
                    Flow::Continue
                }
                Event::Failed(reason) => {
                    if let Some(feed) = slot.take() {
                        let text = feed.text();
                        finish(feed, Outcome::without_answer(AssessmentStatus::Failed, text, Some(reason)));
                    }
                    Flow::Continue
                }
            }
        });
    }));
    let reason = match outcome {
        Ok(()) => "the model ended without an answer",
        Err(_) => "the model stopped on an internal error",
    };
    for feed in open.into_iter().flatten() {
        if *stopping.borrow() {
            continue;
        }
        let text = feed.text();
        finish(feed, Outcome::without_answer(AssessmentStatus::Failed, text, Some(reason.to_owned())));
    }
    drop(pixels);
}

/// Postgres text cannot hold NUL, and a model can write one.
pub(super) fn storable(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}

/// `version` names the prompt where it was not the mode's own.
fn outcome_of(answer: Answer, version: Option<&'static str>) -> Outcome {
    let (status, finish) = match answer.finish {
        Finish::Stop => (AssessmentStatus::Done, "stop"),
        Finish::Length => (AssessmentStatus::Done, "length"),
        Finish::Cancelled => (AssessmentStatus::Cancelled, "cancelled"),
    };
    let done = status == AssessmentStatus::Done;
    Outcome {
        status,
        text: storable(answer.text),
        score: answer.score.filter(|_| done),
        level_probabilities: answer.level_probabilities.filter(|_| done),
        parse_ok: done.then_some(answer.score.is_some()),
        error: None,
        refused: false,
        finish: Some(finish),
        prompt_version: Some(version.map_or(answer.prompt_version, str::to_owned)),
        prompt_tokens: Some(answer.prompt_tokens),
        new_tokens: Some(answer.new_tokens),
        ms: Some(answer.ms),
    }
}
