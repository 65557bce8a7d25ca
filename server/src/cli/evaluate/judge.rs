//! `qponder evaluate --judge`: verdicts of an endpoint on the reasoning.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use indicatif::ProgressBar;
use qponder_pipeline::calls::{Calls, CallsError, Event};
use qponder_pipeline::evaluate::{Case, JudgeReport, Scored, judge_answers};
use qponder_pipeline::judge::Judge;
use qponder_shared::api::Mode;
use qponder_shared::recipe::JudgeRecipe;

use super::progress;
use crate::cli::training::stop_on_signal;

/// What a shell makes of a process that SIGINT ended.
const INTERRUPTED: i32 = 130;

/// A judge, where its verdicts are kept, and whether it should stop.
pub(super) struct Bench {
    judge: Judge,
    stop: Arc<AtomicBool>,
}

impl Bench {
    /// Reads the judge's recipe and opens the journal, so that whatever is wrong shows before any work.
    pub(super) fn open(recipe: &Path, journal: Option<&Path>) -> anyhow::Result<Self> {
        let shown = recipe.display();
        let text = std::fs::read_to_string(recipe).with_context(|| format!("cannot read {shown}"))?;
        let recipe = JudgeRecipe::parse(&text).with_context(|| shown.to_string())?;
        let judge = Judge::new(&recipe.endpoint, &recipe.limits)?;
        let judge = match journal {
            Some(path) => judge.with_journal(path)?,
            None => {
                eprintln!(
                    "the verdicts are not kept; --html or --scores keeps them, and none is asked for twice"
                );
                judge
            }
        };
        Ok(Self { judge, stop: stop_on_signal()? })
    }

    /// Ends the process when a signal came while nothing was judged: then nothing is lost that could be kept.
    pub(super) fn leave_if_stopped(&self) {
        if self.stop.load(Ordering::Relaxed) {
            std::process::exit(INTERRUPTED);
        }
    }

    /// The calls so far.
    pub(super) fn calls(&self) -> Calls {
        self.judge.calls().clone()
    }

    /// Has a model's reasoning judged, with a bar on a terminal and plain lines elsewhere.
    pub(super) fn judge(
        &mut self,
        model: &str,
        cases: &[Case],
        scored: &[Scored],
    ) -> Result<JudgeReport, CallsError> {
        let reasoned: Vec<&Scored> = scored.iter().filter(|row| row.mode == Mode::Reason).collect();
        let bar = progress::bar(cases.len(), format!("{model}, judged by {}", self.judge.model()))
            .unwrap_or_else(|_| ProgressBar::hidden());
        let report =
            judge_answers(&mut self.judge, cases, &reasoned, &self.stop, &mut |event| show(&bar, event));
        bar.finish_and_clear();
        report
    }
}

/// Where the verdicts of an evaluation are kept: beside its page, or else beside its scores.
pub(super) fn journal(html: Option<&Path>, scores: Option<&Path>) -> Option<PathBuf> {
    let beside_page = html.map(|dir| dir.join("verdicts.jsonl"));
    beside_page.or_else(|| scores.map(|file| file.with_extension("verdicts.jsonl")))
}

fn show(bar: &ProgressBar, event: &Event) {
    let say = |line: String| if bar.is_hidden() { eprintln!("{line}") } else { bar.println(line) };
    match event {
        Event::Known { answered } | Event::Answered { answered, .. } => bar.set_position(*answered as u64),
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
