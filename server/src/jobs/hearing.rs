//! What a child says, taken down until it is written into the database: steps, numbers, lines, answers.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use qponder_shared::job::{JobKind, LogLevel, MetricPart, Metrics};
use serde_json::{Map, Value};

use super::answers::Answers;
use super::batch::Batch;
use super::child::{Child, Usage};
use super::gpu::Gpu;
use super::numbers;
use crate::store::leases::{Happenings, Lease};

/// How often it is looked at what the child takes of the machine.
const LOOKED_EVERY: Duration = Duration::from_secs(1);
/// Most lines that are kept while the database is away.
const MAX_LINES: usize = 10_000;

/// What was heard of a job.
pub struct Hearing {
    /// What is still to be written down.
    pub what: Happenings,
    /// What the child said last on its standard error.
    pub last_error: Option<String>,
    /// The newest checkpoint, or number of answers, that can be gone on from.
    pub reached: Option<u64>,
    kind: JobKind,
    /// Where the child writes.
    out: PathBuf,
    /// Steps whose numbers stand in the database.
    known: u64,
    answers: Answers,
    batch: Option<Batch>,
    load: Load,
}

/// What the child takes of the machine, as it was looked at last.
#[derive(Default)]
struct Load {
    looked: Option<(Instant, Usage)>,
    /// Processors that were busy for it between the last two looks.
    processors: Option<f64>,
    gpu: Option<Gpu>,
}

impl Hearing {
    /// Of a job whose child writes into `out`.
    pub fn new(lease: &Lease, out: &Path) -> Self {
        Self {
            what: Happenings::default(),
            last_error: None,
            reached: None,
            kind: lease.kind,
            out: out.to_owned(),
            known: lease.step,
            answers: Answers::new(out),
            batch: None,
            load: Load::default(),
        }
    }

    /// From here on the child computes on a device.
    pub fn watch(&mut self, device: &str) {
        self.load.gpu = Gpu::watch(device);
    }

    /// The child's answers are those of models with these names.
    pub fn name_models(&mut self, names: Vec<String>) {
        self.batch = Some(Batch::new(&self.out, names));
    }

    /// Takes in some answers of a batch, unless there are some already; whether there may be more.
    pub fn take_answers(&mut self) -> bool {
        let Some(batch) = &mut self.batch else { return false };
        if self.what.answers.is_empty() {
            match batch.read() {
                Ok(answers) => self.what.answers = answers,
                Err(error) => tracing::warn!(%error, "answers of a batch could not be read"),
            }
        }
        !self.what.answers.is_empty()
    }

    /// Looks, once in a while, at what the child takes of the machine.
    pub fn look(&mut self, child: &Child) {
        let before = self.load.looked;
        if before.is_some_and(|(at, _)| at.elapsed() < LOOKED_EVERY) {
            return;
        }
        let Some(now) = child.usage() else { return };
        if let Some((at, then)) = before {
            let busy = (now.processor_seconds - then.processor_seconds).max(0.0);
            self.load.processors = Some(busy / at.elapsed().as_secs_f64());
        }
        self.load.looked = Some((Instant::now(), now));
    }

    /// The numbers of an event, with what the child takes of the machine.
    fn numbers(&self, event: &Map<String, Value>) -> Option<Metrics> {
        let mut row = numbers::of(event)?;
        if row.part == MetricPart::Train {
            let memory = self.load.looked.map(|(_, usage)| usage.memory as f64 / 1e9);
            row.numbers.extend(memory.map(|gigabytes| ("memory_gb".to_owned(), gigabytes)));
            row.numbers.extend(self.load.processors.map(|busy| ("processors".to_owned(), busy)));
            if let Some(now) = self.load.gpu.as_ref().and_then(Gpu::now) {
                row.numbers.insert("gpu_busy".to_owned(), now.busy);
                row.numbers.insert("gpu_memory_gb".to_owned(), now.memory as f64 / 1e9);
            }
        }
        Some(row)
    }

    /// Takes in a line of the child's output.
    pub fn hear(&mut self, line: String) {
        match serde_json::from_str(&line) {
            Ok(Value::Object(event)) => self.note(event),
            _ => self.line(LogLevel::Info, line),
        }
    }

    /// Takes in a line of the child's errors.
    pub fn hear_error(&mut self, line: String) {
        self.last_error = Some(line.clone());
        self.line(LogLevel::Error, line);
    }

    /// Adds a line to the job's log.
    pub fn line(&mut self, level: LogLevel, line: String) {
        if self.what.lines.len() < MAX_LINES {
            self.what.lines.push((level, line));
        }
    }

    /// Takes in an event.
    fn note(&mut self, event: Map<String, Value>) {
        let number = |name: &str| event.get(name).and_then(Value::as_u64);
        let step = number("step").unwrap_or_default();
        self.what.metrics.extend(self.numbers(&event));
        match event.get("event").and_then(Value::as_str) {
            // A distillation counts answers.
            Some("started") if number("wanted").is_some() => {
                self.what.begun = number("wanted").map(|wanted| (wanted, 0));
                let of = |name: &str| number(name).unwrap_or_default();
                self.line(LogLevel::Info, format!("{} images, {} answers", of("images"), of("wanted")));
            }
            Some("known") => {
                let answered = number("answered").unwrap_or_default();
                self.what.begun = self.what.begun.map(|(wanted, _)| (wanted, answered));
                self.what.step = Some(answered);
                self.what.saved = Some(answered);
                self.reached = Some(answered);
            }
            Some("answered") => {
                // Each is in the journal by now.
                self.what.step = number("answered");
                self.what.saved = number("answered");
                self.reached = number("answered").or(self.reached);
            }
            Some("retrying" | "failed" | "skipped" | "limit_reached") => {
                let of = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default();
                let what = [of("id"), of("cause"), of("message"), of("reason"), of("limit")];
                let what: Vec<&str> = what.into_iter().filter(|word| !word.is_empty()).collect();
                let kind = of("event").replace('_', " ");
                self.line(LogLevel::Warning, format!("{kind}: {}", what.join(", ")));
            }
            Some("progress") => {
                self.what.step = Some(step);
                self.reached = Some(step);
                // Each answer is in the journal by now.
                self.what.saved = (self.kind == JobKind::AssessBatch).then_some(step).or(self.what.saved);
            }
            Some("started") => {
                self.what.begun = number("steps").map(|steps| (steps, step));
                let known = self.known.min(step);
                self.answers.begin(known);
                if step > 0 {
                    self.catch_up(known, step);
                }
                if !self.kind.trains() {
                    return;
                }
                let of = |name: &str| number(name).unwrap_or_default();
                let from = if step > 0 { format!(", going on after step {step}") } else { String::new() };
                let line = format!(
                    "{} steps, {} of {} parameters, {} images, {} for validation{from}",
                    of("steps"),
                    of("trained"),
                    of("parameters"),
                    of("images"),
                    of("validation_images")
                );
                self.line(LogLevel::Info, line);
            }
            Some("step" | "policy") => {
                self.what.step = Some(step);
                match self.answers.read() {
                    Ok(read) => self.what.completions.extend(read),
                    Err(error) => {
                        tracing::warn!(%error, "sampled answers could not be read")
                    }
                }
            }
            Some("saved") => {
                self.what.saved = Some(step);
                self.reached = Some(step);
                self.line(LogLevel::Info, format!("checkpoint after step {step}"));
            }
            Some("damaged") => {
                let error = event.get("error").and_then(Value::as_str).unwrap_or_default();
                self.line(LogLevel::Warning, format!("{error}; going on from the checkpoint before it"));
            }
            _ => {}
        }
    }

    /// Takes in the numbers of steps `known` to `step` that attempts before this one could not write down.
    fn catch_up(&mut self, known: u64, step: u64) {
        match numbers::kept(&self.out, known, step) {
            Ok(kept) => self.what.metrics.extend(kept),
            Err(error) => tracing::warn!(%error, "earlier numbers could not be read"),
        }
    }
}
