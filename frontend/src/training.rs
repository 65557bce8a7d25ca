//! Calls of `/api/v1` about jobs, and the stream of one.

use std::collections::BTreeMap;
use std::time::Duration;

use gloo_net::http::Request;
use gloo_timers::future::sleep;
use leptos::prelude::*;
use leptos::task::spawn_local;
use qponder_shared::JobId;
use qponder_shared::api::Page;
use qponder_shared::job::{
    Artifact, Attempt, CheckRecipe, Completions, CreateJob, CreatePipeline, EditJob, EditRecipe,
    EditedRecipe, Job, JobEvent, JobKind, JobState, Line, LogLine, MetricPart, Metrics, MetricsSoFar,
    RecipeCheck, RecipeDifference, Worker, hints,
};
use qponder_shared::recipe::RecipeField;
use qponder_shared::registry::Measurement;
use wasm_bindgen::JsCast as _;
use wasm_bindgen::prelude::*;
use web_sys::{EventSource, MessageEvent};

use crate::api::{Failure, NOTHING, get, read, send};
use crate::state::App;

const JOBS: &str = "/api/v1/jobs";
/// Pause before a stream that the server refused is opened again.
const PAUSE: Duration = Duration::from_secs(2);
/// Points of a line: about as many as there are pixels.
const POINTS: u32 = 1000;
/// Lines of the log that the page keeps.
const MOST_LINES: usize = 2000;

/// Which jobs are listed.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Filter {
    #[default]
    All,
    State(JobState),
    Kind(JobKind),
    Tag(String),
}

/// One page of jobs, newest first.
pub async fn jobs(filter: &Filter, cursor: Option<&str>) -> Result<Page<Job>, Failure> {
    let filter = match filter {
        Filter::All => String::new(),
        Filter::State(state) => format!("&state={}", state.name()),
        Filter::Kind(kind) => format!("&kind={}", kind.name()),
        Filter::Tag(tag) => format!("&tag={}", js_sys::encode_uri_component(tag)),
    };
    let cursor = cursor.map(|cursor| format!("&cursor={cursor}"));
    get(&format!("{JOBS}?limit=25{filter}{}", cursor.unwrap_or_default())).await
}

/// A job.
pub async fn job(id: JobId) -> Result<Job, Failure> {
    get(&format!("{JOBS}/{id}")).await
}

/// Queues everything from a dataset to a measured model.
pub async fn create_pipeline(body: &CreatePipeline) -> Result<Vec<Job>, Failure> {
    read(send(Request::post, "/api/v1/pipelines", Some(body)).await?).await
}

/// What is wrong with a recipe, or what it will need.
pub async fn check(kind: JobKind, recipe: String) -> Result<RecipeCheck, Failure> {
    read(send(Request::post, "/api/v1/recipes/check", Some(&CheckRecipe { kind, recipe })).await?).await
}

/// The keys of a kind of recipe.
pub async fn fields(kind: JobKind) -> Result<Vec<RecipeField>, Failure> {
    get(&format!("/api/v1/recipes/fields?kind={}", kind.name())).await
}

/// A recipe with one key changed.
pub async fn set(body: &EditRecipe) -> Result<EditedRecipe, Failure> {
    read(send(Request::post, "/api/v1/recipes/edit", Some(body)).await?).await
}

/// The keys in which the recipes of jobs differ.
pub async fn differences(jobs: &[JobId]) -> Result<Vec<RecipeDifference>, Failure> {
    let jobs: Vec<String> = jobs.iter().map(ToString::to_string).collect();
    get(&format!("/api/v1/recipes/differences?jobs={}", jobs.join(","))).await
}

/// Changes what a job is called, its notes or its tags.
pub async fn edit(id: JobId, body: &EditJob) -> Result<Job, Failure> {
    read(send(Request::patch, &format!("{JOBS}/{id}"), Some(body)).await?).await
}

/// The files that a job made.
pub async fn artifacts(id: JobId) -> Result<Vec<Artifact>, Failure> {
    get(&format!("{JOBS}/{id}/artifacts")).await
}

/// The jobs that came before a job.
pub async fn lineage(id: JobId) -> Result<Vec<Job>, Failure> {
    get(&format!("{JOBS}/{id}/lineage")).await
}

/// What evaluations found of the model that a job trained.
pub async fn measurements(id: JobId) -> Result<Vec<Measurement>, Failure> {
    get(&format!("{JOBS}/{id}/measurements")).await
}

/// The numbers of a job so far.
pub async fn numbers(id: JobId) -> Result<Series, Failure> {
    let so_far: MetricsSoFar = get(&format!("{JOBS}/{id}/metrics?points={POINTS}")).await?;
    let mut series = Series::default();
    series.add(so_far.metrics);
    Ok(series)
}

/// Queues a job.
pub async fn create(body: &CreateJob) -> Result<Job, Failure> {
    read(send(Request::post, JOBS, Some(body)).await?).await
}

/// Cancels a job.
pub async fn cancel(id: JobId) -> Result<Job, Failure> {
    read(send(Request::delete, &format!("{JOBS}/{id}"), NOTHING).await?).await
}

/// Tries a job again.
pub async fn retry(id: JobId) -> Result<Job, Failure> {
    read(send(Request::post, &format!("{JOBS}/{id}/retry"), NOTHING).await?).await
}

/// Where the numbers of a job are, as finely as the server gives them.
pub fn numbers_url(id: JobId) -> String {
    format!("{JOBS}/{id}/metrics?points=5000")
}

/// The attempts at a job.
pub async fn attempts(id: JobId) -> Result<Vec<Attempt>, Failure> {
    get(&format!("{JOBS}/{id}/attempts")).await
}

/// Sampled answers of a step, or of the newest one.
pub async fn completions(id: JobId, step: Option<u64>) -> Result<Completions, Failure> {
    let step = step.map(|step| format!("?step={step}"));
    get(&format!("{JOBS}/{id}/completions{}", step.unwrap_or_default())).await
}

/// The workers that are there.
pub async fn workers() -> Result<Vec<Worker>, Failure> {
    get("/api/v1/workers").await
}

/// Numbers of a job by their names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series(BTreeMap<(MetricPart, String), Line>);

impl Series {
    /// Adds numbers. Those of a step take the place of all of its part from that step on: a job that was interrupted
    /// makes some steps again.
    fn add(&mut self, rows: Vec<Metrics>) {
        for row in rows {
            for (_, line) in self.0.iter_mut().filter(|((part, _), _)| *part == row.part) {
                let kept = line.partition_point(|(step, _)| *step < row.step);
                line.truncate(kept);
            }
            for (name, number) in row.numbers {
                self.0.entry((row.part, name)).or_default().push((row.step, number));
            }
        }
    }

    /// The names that have numbers.
    pub fn names(&self) -> Vec<(MetricPart, String)> {
        self.0.iter().filter(|(_, line)| !line.is_empty()).map(|(name, _)| name.clone()).collect()
    }

    /// What the numbers say of the training.
    pub fn hints(&self) -> Vec<String> {
        hints(|part, name| self.line(&(part, name.to_owned())))
    }

    /// The numbers of a name.
    pub fn line(&self, name: &(MetricPart, String)) -> Line {
        self.0.get(name).cloned().unwrap_or_default()
    }
}

/// A job that a page follows.
#[derive(Clone, Copy)]
pub struct Followed {
    pub id: JobId,
    /// Nothing until it came.
    pub job: RwSignal<Option<Job>>,
    pub series: RwSignal<Series>,
    pub log: RwSignal<Vec<LogLine>>,
    /// Whether the page sees everything as it comes.
    pub is_live: RwSignal<bool>,
    stream: StoredValue<Option<Stream>, LocalStorage>,
    /// Where the numbers and lines end that came, as the stream names it.
    place: StoredValue<String>,
}

impl Followed {
    /// Follows a job for as long as the page shows it.
    pub fn begin(app: App, id: JobId) -> Self {
        let followed = Self {
            id,
            job: RwSignal::new(None),
            series: RwSignal::default(),
            log: RwSignal::default(),
            is_live: RwSignal::new(false),
            stream: StoredValue::new_local(None),
            place: StoredValue::new("0.0".to_owned()),
        };
        spawn_local(async move {
            loop {
                match get::<MetricsSoFar>(&format!("{JOBS}/{id}/metrics?points={POINTS}")).await {
                    Ok(so_far) => {
                        let _ = followed.series.try_update(|series| series.add(so_far.metrics));
                        let _ = followed.place.try_set_value(format!("{}.0", so_far.place));
                        return followed.open(app);
                    }
                    Err(failure) if failure.status() == Some(404) => return app.report(&failure),
                    Err(_) => app.reach(),
                }
                sleep(PAUSE).await;
            }
        });
        on_cleanup(move || followed.close());
        followed
    }

    fn close(self) {
        drop(self.stream.try_update_value(Option::take));
    }

    /// Opens the stream where it ended, and again after it breaks. After the end of a job it stays closed.
    pub fn open(self, app: App) {
        let Some(place) = self.place.try_get_value() else { return };
        let Some((metrics, log)) = place.split_once('.') else { return };
        let url = format!("{JOBS}/{}/events?metrics={metrics}&log={log}", self.id);
        let Ok(source) = EventSource::new(&url) else { return };
        let receive = OnEvent::new(move |message: MessageEvent| {
            let id = message.last_event_id();
            if id.contains('.') {
                let _ = self.place.try_set_value(id);
            }
            let data = message.data().as_string().unwrap_or_default();
            let Ok(event) = serde_json::from_str::<JobEvent>(&data) else { return };
            let is_over = matches!(&event, JobEvent::Job { job } if job.state.is_final());
            self.receive(event);
            if is_over {
                // The stream ends here; the browser would open it again.
                spawn_local(async move { self.close() });
            }
        });
        for name in ["job", "metrics", "log"] {
            let _ = source.add_event_listener_with_callback(name, receive.as_ref().unchecked_ref());
        }
        let failed = {
            let source = source.clone();
            Closure::<dyn FnMut()>::new(move || {
                let _ = self.is_live.try_set(false);
                app.reach();
                // Otherwise the browser connects again by itself and names the last event that it saw.
                if source.ready_state() == EventSource::CLOSED {
                    spawn_local(async move {
                        sleep(PAUSE).await;
                        self.open(app);
                    });
                }
            })
        };
        source.set_onerror(Some(failed.as_ref().unchecked_ref()));
        let opened = Stream { source, _receive: receive, _failed: failed };
        let _ = self.stream.try_set_value(Some(opened));
    }

    fn receive(self, event: JobEvent) {
        match event {
            JobEvent::Job { job } => {
                let _ = self.is_live.try_set(!job.state.is_final());
                let _ = self.job.try_set(Some(*job));
            }
            JobEvent::Metrics { metrics } => drop(self.series.try_update(|series| series.add(metrics))),
            JobEvent::Log { lines } => {
                let _ = self.log.try_update(|log| {
                    log.extend(lines);
                    let spare = log.len().saturating_sub(MOST_LINES);
                    log.drain(..spare);
                });
            }
        }
    }
}

type OnEvent = Closure<dyn FnMut(MessageEvent)>;

struct Stream {
    source: EventSource,
    _receive: OnEvent,
    _failed: Closure<dyn FnMut()>,
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.source.close();
    }
}
