//! The progress bars of an evaluation.

use std::time::Duration;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use qponder_pipeline::calls::Event;
use qponder_pipeline::evaluate::{Progress, Work};

/// A bar of so many steps; it shows itself on a terminal only.
pub(super) fn bar(steps: usize, what: String) -> anyhow::Result<ProgressBar> {
    let style = ProgressStyle::with_template("{msg} {bar:30} {pos} of {len}, {eta} left");
    let bar = ProgressBar::new(steps as u64).with_style(style.context("the bar's template")?);
    bar.set_message(what);
    bar.enable_steady_tick(Duration::from_millis(200));
    Ok(bar)
}

/// A bar for each thing that an evaluation does, and plain lines of what goes wrong.
pub(super) struct Bars<'a> {
    judge: Option<&'a str>,
    bar: ProgressBar,
}

impl<'a> Bars<'a> {
    /// Of an evaluation with this judge.
    pub(super) fn new(judge: Option<&'a str>) -> Self {
        Self { judge, bar: ProgressBar::hidden() }
    }

    pub(super) fn show(&mut self, progress: Progress<'_>) {
        match progress {
            Progress::Started { .. } => {}
            Progress::Began { model, work, of } => {
                self.finish();
                let what = match work {
                    Work::Answers(mode) => format!("{model}, {} mode", mode.name()),
                    Work::Determinism => format!("{model}, asked again"),
                    Work::Swap => format!("{model}, reasoning swapped"),
                    Work::Judge => format!("{model}, judged by {}", self.judge.unwrap_or_default()),
                };
                self.bar = bar(of, what).unwrap_or_else(|_| ProgressBar::hidden());
            }
            Progress::Advanced { done, .. } => self.bar.set_position(done as u64),
            Progress::Judging(event) => self.judging(&event),
        }
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn judging(&self, event: &Event) {
        let bar = &self.bar;
        let say = |line: String| if bar.is_hidden() { eprintln!("{line}") } else { bar.println(line) };
        match event {
            Event::Known { answered } | Event::Answered { answered, .. } => {
                bar.set_position(*answered as u64)
            }
            Event::Retrying { id, cause, message, wait_ms } => {
                let seconds = *wait_ms as f64 / 1000.0;
                say(format!("{id}: {} ({message}), again in {seconds:.1} s", cause.name()));
            }
            Event::Failed { id, cause, message } => {
                say(format!("{id}: {} ({message}), given up for this run", cause.name()));
            }
            Event::Skipped { id, reason } => say(format!("{id}: not asked, {reason}")),
            Event::LimitReached { limit } => {
                say(format!("{limit} is reached; running calls end, raise it to go on"));
            }
        }
    }
}
