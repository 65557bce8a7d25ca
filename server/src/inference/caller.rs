//! Asks a teacher behind an endpoint: what an engine is to a local model.
//!
//! Calls run on the blocking pool, as many at once as the endpoint's settings allow. Whoever cancels does not
//! wait for the endpoint: the call that runs goes on unheard and keeps its place until it ends, so that their
//! number stays bounded.

use std::sync::Arc;
use std::time::{Duration, Instant};

use qponder_pipeline::assess::Wording;
use qponder_pipeline::endpoint::{Backoff, CallError, Cause, Pace, Picture as File, Question, Reply};
use qponder_shared::api::{AssessmentStatus, Sampling};
use qponder_shared::grammar;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinSet;

use super::engine::storable;
use super::feed::Phase;
use super::recorder::Report;
use super::roster::Teacher;
use super::{Job, Picture, Watched};
use crate::store::Store;
use crate::store::assessments::Outcome;
use crate::store::objects::{Kind, Objects};

/// One teacher and what calling it needs.
pub(super) struct Caller {
    /// Its place in the list of models.
    pub lane: usize,
    pub teacher: Arc<Teacher>,
    pub store: Store,
    pub objects: Objects,
    pub report: mpsc::UnboundedSender<Report>,
}

impl Caller {
    /// Calls until the queue closes or the server stops; running calls then end by themselves.
    pub(super) async fn run(
        self: Arc<Self>,
        mut queued: mpsc::Receiver<Watched>,
        mut stopping: watch::Receiver<bool>,
    ) {
        let places = Arc::new(Semaphore::new(self.teacher.settings.concurrency));
        let pace = Arc::new(Pace::new(self.teacher.settings.requests_per_minute));
        let mut calls = JoinSet::new();
        loop {
            let next = async {
                let place = Arc::clone(&places).acquire_owned().await.ok()?;
                Some((place, queued.recv().await?))
            };
            let next = tokio::select! {
                biased;
                _ = stopping.wait_for(|stopping| *stopping) => None,
                next = next => next,
            };
            let Some((place, watched)) = next else { break };
            while calls.try_join_next().is_some() {}
            let (caller, pace, stopping) = (Arc::clone(&self), Arc::clone(&pace), stopping.clone());
            calls.spawn(async move { caller.answer(watched, &pace, place, &stopping).await });
        }
        while calls.join_next().await.is_some() {}
    }

    async fn answer(
        &self,
        watched: Watched,
        pace: &Pace,
        place: OwnedSemaphorePermit,
        stopping: &watch::Receiver<bool>,
    ) {
        let Watched { job, feed } = watched;
        let begun = Instant::now();
        let outcome = tokio::select! {
            biased;
            () = feed.cancellation() => {
                if *stopping.borrow() {
                    // Stopped by the server and not by its user: left for the next start.
                    return;
                }
                Outcome::without_answer(AssessmentStatus::Cancelled, String::new(), None)
            }
            answered = async {
                tokio::time::sleep(pace.take(Instant::now())).await;
                feed.set_phase(Phase::Running);
                let _ = self.report.send(Report::Started { lane: self.lane, ids: vec![feed.id] });
                self.ask(&job, place).await
            } => match answered {
                Ok(reply) => {
                    let outcome = read(reply, &job, begun.elapsed());
                    feed.append(&outcome.text);
                    outcome
                }
                Err(reason) => Outcome::without_answer(AssessmentStatus::Failed, String::new(), Some(reason)),
            },
        };
        let _ = self.report.send(Report::Finished { feed, outcome: Arc::new(outcome) });
    }

    /// Calls until there is an answer or no hope of one.
    async fn ask(&self, job: &Job, place: OwnedSemaphorePermit) -> Result<Reply, String> {
        let settings = &self.teacher.settings;
        let file = Arc::new(File::new(self.bytes(&job.picture).await?).map_err(|error| error.to_string())?);
        let wording =
            job.words.as_ref().map(|words| words.wording.clone()).ok_or("there is nothing to ask it")?;
        let (first, longest) = (seconds(settings.first_wait), seconds(settings.longest_wait));
        let mut backoff = Backoff::new(first, longest, job.id.0.as_u64_pair().1, 0);
        let place = Arc::new(place);
        let mut attempt = 0;
        loop {
            let call = Call {
                teacher: Arc::clone(&self.teacher),
                file: Arc::clone(&file),
                wording: wording.clone(),
                sampling: job.sampling,
                _place: Arc::clone(&place),
            };
            let answered = tokio::task::spawn_blocking(move || call.make()).await;
            match answered.map_err(|_| "the call stopped on an internal error".to_owned())? {
                Ok(reply) => return Ok(reply),
                Err(error) if error.cause.may_pass() && attempt < settings.retries => {
                    tracing::warn!(model = settings.model, %error, attempt, "a teacher gave no answer; trying again");
                    tokio::time::sleep(backoff.wait(attempt, error.wait)).await;
                    attempt += 1;
                }
                Err(error) => return Err(self.explain(&error, attempt + 1)),
            }
        }
    }

    async fn bytes(&self, picture: &Picture) -> Result<Vec<u8>, String> {
        let id = match picture {
            Picture::Stored(id) => *id,
            Picture::Sent { bytes, .. } => return Ok(bytes.to_vec()),
        };
        let image = self.store.image(id).await.map_err(|error| error.to_string())?;
        let image = image.ok_or("the image was deleted")?;
        let bytes = self.objects.get(Kind::Original, &image.sha256).await;
        let bytes = bytes.map_err(|error| error.to_string())?;
        Ok(bytes.ok_or("the original file is missing from the object store")?.to_vec())
    }

    /// What happened, and what to do about it.
    fn explain(&self, error: &CallError, calls: u32) -> String {
        let name = &self.teacher.settings.model;
        let advice = match error.cause {
            Cause::Connection | Cause::Timeout | Cause::CutOff => {
                "check that its endpoint runs, then ask again"
            }
            Cause::RateLimited => {
                "ask again later, or lower requests_per_minute in the file of --teacher-endpoint"
            }
            Cause::Unavailable => "its endpoint has a problem that may pass; ask again later",
            Cause::Unreadable => {
                "check that base_url in the file of --teacher-endpoint leads to a chat endpoint"
            }
            Cause::Unauthorised => {
                "check the key in the variable that api_key_env names, and restart the server"
            }
            Cause::NotFound => {
                "check base_url and model in the file of --teacher-endpoint, and restart the server"
            }
            Cause::Refused => "its endpoint does not accept the request",
        };
        let tries = if calls == 1 { "after one call".to_owned() } else { format!("after {calls} calls") };
        format!("{name} gave no answer {tries}: {error}; {advice}")
    }
}

/// A call on its way to the blocking pool. It holds nothing that a stopping server waits for.
struct Call {
    teacher: Arc<Teacher>,
    file: Arc<File>,
    wording: Wording,
    sampling: Sampling,
    _place: Arc<OwnedSemaphorePermit>,
}

impl Call {
    fn make(&self) -> Result<Reply, CallError> {
        let Wording { system, user } = &self.wording;
        let question = Question { system, user, picture: &self.file, sampling: self.sampling };
        self.teacher.endpoint.call(&question)
    }
}

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// A reply as the end of an assessment: read by the one parser, as every answer is.
fn read(reply: Reply, job: &Job, took: Duration) -> Outcome {
    let text = storable(reply.text);
    let score = grammar::parse(&text).score;
    let tokens = |count: u64| usize::try_from(count).ok();
    Outcome {
        score,
        parse_ok: Some(score.is_some()),
        finish: ["stop", "length"].into_iter().find(|known| *known == reply.finish),
        prompt_version: job.words.as_ref().and_then(|words| words.version).map(str::to_owned),
        prompt_tokens: reply.usage.and_then(|usage| tokens(usage.prompt_tokens)),
        new_tokens: reply.usage.and_then(|usage| tokens(usage.completion_tokens)),
        ms: u64::try_from(took.as_millis()).ok(),
        ..Outcome::without_answer(AssessmentStatus::Done, text, None)
    }
}
