//! Counters for `/metrics`, in Prometheus' text format.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use qponder_shared::api::AssessmentStatus;

use crate::store::assessments::Outcome;
use crate::store::job_facts::QueueNow;

/// Everything that is counted. One lock: each update is a few additions.
#[derive(Default)]
pub struct Metrics {
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    requests: BTreeMap<(String, String, u16), Timed>,
    assessments: BTreeMap<&'static str, u64>,
    parse_failures: u64,
    prompt_tokens: u64,
    new_tokens: u64,
    batches: Timed,
    batched: u64,
    uploads: BTreeMap<&'static str, u64>,
}

#[derive(Clone, Copy, Default)]
struct Timed {
    count: u64,
    seconds: f64,
}

impl Timed {
    fn add(&mut self, time: Duration) {
        self.count += 1;
        self.seconds += time.as_secs_f64();
    }
}

impl Metrics {
    fn update(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// One answered request. `route` is the pattern, so that ids do not make new series.
    pub fn request(&self, method: &str, route: &str, status: u16, time: Duration) {
        self.update(|counts| {
            counts.requests.entry((method.to_owned(), route.to_owned(), status)).or_default().add(time);
        });
    }

    /// One final assessment.
    pub fn assessment(&self, outcome: &Outcome) {
        let status = match outcome.status {
            AssessmentStatus::Done => "done",
            AssessmentStatus::Cancelled => "cancelled",
            _ => "failed",
        };
        self.update(|counts| {
            *counts.assessments.entry(status).or_default() += 1;
            counts.parse_failures += u64::from(outcome.parse_ok == Some(false));
            counts.prompt_tokens += outcome.prompt_tokens.unwrap_or(0) as u64;
            counts.new_tokens += outcome.new_tokens.unwrap_or(0) as u64;
        });
    }

    /// One batch that the engine answered.
    pub fn batch(&self, size: usize, time: Duration) {
        self.update(|counts| {
            counts.batches.add(time);
            counts.batched += size as u64;
        });
    }

    /// One uploaded file: `stored`, `duplicate` or `refused`.
    pub fn upload(&self, result: &'static str) {
        self.update(|counts| *counts.uploads.entry(result).or_default() += 1);
    }

    /// The text of `/metrics`; without the queue's numbers where there are none.
    pub fn render(&self, unfinished: usize, queue: Option<QueueNow>) -> String {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        let head = |text: &mut String, name: &str, kind: &str, help: &str| {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        };
        head(
            &mut text,
            "qponder_http_request_seconds",
            "summary",
            "Requests by route and status, and their time.",
        );
        for ((method, route, status), timed) in &counts.requests {
            let labels = format!("{{method=\"{method}\",route=\"{route}\",status=\"{status}\"}}");
            let _ = writeln!(text, "qponder_http_request_seconds_count{labels} {}", timed.count);
            let _ = writeln!(text, "qponder_http_request_seconds_sum{labels} {:.6}", timed.seconds);
        }
        head(&mut text, "qponder_uploaded_files_total", "counter", "Uploaded files by result.");
        for (result, count) in &counts.uploads {
            let _ = writeln!(text, "qponder_uploaded_files_total{{result=\"{result}\"}} {count}");
        }
        head(&mut text, "qponder_assessments_total", "counter", "Final assessments by status.");
        for (status, count) in &counts.assessments {
            let _ = writeln!(text, "qponder_assessments_total{{status=\"{status}\"}} {count}");
        }
        let mut single = |name: &str, kind: &str, help: &str, value: &dyn std::fmt::Display| {
            head(&mut text, name, kind, help);
            let _ = writeln!(text, "{name} {value}");
        };
        let totals = &counts;
        single(
            "qponder_parse_failures_total",
            "counter",
            "Answers without a readable score.",
            &totals.parse_failures,
        );
        single("qponder_prompt_tokens_total", "counter", "Tokens read by the model.", &totals.prompt_tokens);
        single("qponder_new_tokens_total", "counter", "Tokens written by the model.", &totals.new_tokens);
        single("qponder_batches_total", "counter", "Batches answered.", &totals.batches.count);
        single("qponder_batched_requests_total", "counter", "Assessments in those batches.", &totals.batched);
        single(
            "qponder_inference_seconds_total",
            "counter",
            "Time spent answering.",
            &totals.batches.seconds,
        );
        single("qponder_unfinished_assessments", "gauge", "Assessments queued or running.", &unfinished);
        if let Some(queue) = queue {
            let states = [("waiting", queue.waiting), ("queued", queue.queued), ("running", queue.running)];
            head(&mut text, "qponder_jobs", "gauge", "Jobs that have not ended, by state.");
            for (state, count) in states {
                let _ = writeln!(text, "qponder_jobs{{state=\"{state}\"}} {count}");
            }
            let single = |text: &mut String, name: &str, help: &str, value: &dyn std::fmt::Display| {
                head(text, name, "gauge", help);
                let _ = writeln!(text, "{name} {value}");
            };
            let help = "How long the oldest job has been ready without a worker.";
            single(&mut text, "qponder_oldest_queued_job_seconds", help, &queue.oldest);
            single(
                &mut text,
                "qponder_workers",
                "Workers that were heard of in the last minute.",
                &queue.workers,
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_named_and_counted() {
        let metrics = Metrics::default();
        metrics.request("GET", "/api/v1/images/{id}", 200, Duration::from_millis(500));
        metrics.batch(3, Duration::from_secs(2));
        let text = metrics.render(7, Some(QueueNow { queued: 3, ..QueueNow::default() }));
        for line in [
            "qponder_http_request_seconds_count{method=\"GET\",route=\"/api/v1/images/{id}\",status=\"200\"} 1",
            "qponder_batched_requests_total 3",
            "qponder_inference_seconds_total 2",
            "qponder_unfinished_assessments 7",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
    }
}
