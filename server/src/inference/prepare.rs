//! From a queued assessment to pixels: bytes are read and decoded ahead of the engine, in order.

use std::sync::Arc;

use futures_util::StreamExt;
use qponder_kernels::pixels::RgbImage;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use super::recorder::Report;
use super::{Job, Picture, Watched};
use crate::decoding::Decoder;
use crate::store::Store;
use crate::store::assessments::Outcome;
use crate::store::objects::{Kind, Objects};
use qponder_shared::api::AssessmentStatus;

/// How many images are read and decoded at once.
const AHEAD: usize = 4;

/// Pixels that may be decoded and not yet answered, in units of [`UNIT`]: about 800 MB.
const BUDGET: usize = 4096;
/// One unit of the budget in pixels.
const UNIT: u64 = 1 << 16;

/// Where pixels come from.
pub(super) struct Sources {
    pub store: Store,
    pub objects: Objects,
    pub decoder: Decoder,
}

/// A job that the engine can start at once.
pub(super) struct Ready {
    pub watched: Watched,
    pub image: RgbImage,
    /// Returns the pixels' share of the budget when the answer is complete.
    pub _pixels: OwnedSemaphorePermit,
}

/// Prepares jobs until the queue closes or the server stops.
pub(super) async fn run(
    sources: Sources,
    queued: mpsc::Receiver<Watched>,
    ready: mpsc::Sender<Ready>,
    report: mpsc::UnboundedSender<Report>,
    mut stopping: watch::Receiver<bool>,
) {
    let sources = Arc::new(sources);
    let budget = Arc::new(Semaphore::new(BUDGET));
    let jobs = futures_util::stream::unfold(queued, |mut queued| async {
        queued.recv().await.map(|watched| (watched, queued))
    });
    let prepared =
        jobs.map(|watched| prepare(Arc::clone(&sources), Arc::clone(&budget), watched)).buffered(AHEAD);
    let mut prepared = std::pin::pin!(prepared);
    loop {
        let next = tokio::select! {
            next = prepared.next() => next,
            _ = stopping.wait_for(|stopping| *stopping) => None,
        };
        match next {
            None => return,
            Some(Ok(job)) => {
                if ready.send(job).await.is_err() {
                    return;
                }
            }
            Some(Err((watched, outcome))) => {
                let _ = report.send(Report::Finished { feed: watched.feed, outcome: Arc::new(outcome) });
            }
        }
    }
}

async fn prepare(
    sources: Arc<Sources>,
    budget: Arc<Semaphore>,
    watched: Watched,
) -> Result<Ready, (Watched, Outcome)> {
    let found = pixels(&sources, budget, &watched.job).await;
    // Whoever cancelled meanwhile need not wait for the engine.
    if watched.feed.is_cancelled() {
        let outcome = Outcome::without_answer(AssessmentStatus::Cancelled, String::new(), None);
        return Err((watched, outcome));
    }
    match found {
        Ok((image, pixels)) => Ok(Ready { watched, image, _pixels: pixels }),
        Err(reason) => {
            Err((watched, Outcome::without_answer(AssessmentStatus::Failed, String::new(), Some(reason))))
        }
    }
}

async fn pixels(
    sources: &Sources,
    budget: Arc<Semaphore>,
    job: &Job,
) -> Result<(RgbImage, OwnedSemaphorePermit), String> {
    let image_id = match &job.picture {
        Picture::Stored(id) => *id,
        Picture::Sent { bytes, pixels } => {
            let permit =
                budget.acquire_many_owned(share(*pixels)).await.map_err(|error| error.to_string())?;
            let decoded = sources.decoder.decode(bytes.clone()).await.map_err(|error| error.to_string())?;
            return Ok((decoded.image, permit));
        }
    };
    let image = sources.store.image(image_id).await.map_err(|error| error.to_string())?;
    let image = image.ok_or("the image was deleted")?;
    let share = share(u64::from(image.width) * u64::from(image.height));
    let permit = budget.acquire_many_owned(share).await.map_err(|error| error.to_string())?;
    let bytes =
        sources.objects.get(Kind::Original, &image.sha256).await.map_err(|error| error.to_string())?;
    let bytes = bytes.ok_or("the original file is missing from the object store")?;
    let decoded = sources.decoder.decode(bytes).await.map_err(|error| error.to_string())?;
    Ok((decoded.image, permit))
}

/// An image's share of the budget; never more than all of it, or it would wait for ever.
fn share(pixels: u64) -> u32 {
    let units = pixels.div_ceil(UNIT);
    u32::try_from(units.clamp(1, BUDGET as u64)).unwrap_or(BUDGET as u32)
}
