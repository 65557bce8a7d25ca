//! What `qponder assess` prints: streamed text, a table, or JSON lines.

use std::io::{self, IsTerminal, Write};
use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};
use qponder_pipeline::assess::Answer;
use qponder_shared::Score;
use qponder_shared::api::Mode;
use qponder_shared::grammar::Observation;
use serde::Serialize;

/// What was asked, the same for every file.
pub struct Asked {
    /// Name of the model.
    pub model: String,
    /// How it is asked.
    pub mode: Mode,
    /// Seed of the sampling.
    pub seed: u64,
}

/// Prints answers as they come.
pub struct Report {
    asked: Asked,
    style: Style,
}

enum Style {
    Json,
    /// One file: its text as it is written; whether there was any.
    Stream {
        written: bool,
    },
    /// A line a file, below a progress bar on a terminal.
    Table(ProgressBar),
}

/// One line of `--json`.
#[derive(Serialize)]
struct Line<'a> {
    file: &'a str,
    score: Option<Score>,
    /// The text between the think tags; null in quick mode.
    reasoning: Option<&'a str>,
    attributes: &'a [Observation],
    model: &'a str,
    mode: Mode,
    seed: u64,
    parse_ok: bool,
    ms: u64,
}

#[derive(Serialize)]
struct Failure<'a> {
    file: &'a str,
    error: &'a str,
}

impl Report {
    /// A report on `total` files.
    pub fn new(asked: Asked, total: usize, json: bool, single: bool) -> Self {
        let style = match (json, single) {
            (true, _) => Style::Json,
            (false, true) => Style::Stream { written: false },
            (false, false) => Style::Table(progress_bar(total)),
        };
        if let Style::Table(_) = style {
            // A closed output shows at the first row.
            let _ = writeln!(io::stdout(), "{:>5}  {:9}  file", "score", "level");
        }
        Self { asked, style }
    }

    /// Newly written text.
    ///
    /// # Errors
    /// When it cannot be printed.
    pub fn text(&mut self, text: &str) -> io::Result<()> {
        let Style::Stream { written } = &mut self.style else {
            return Ok(());
        };
        *written |= !text.is_empty();
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    /// The end of a file.
    ///
    /// # Errors
    /// When it cannot be printed.
    pub fn file(&mut self, file: &Path, result: Result<&Answer, &String>) -> io::Result<()> {
        let name = file.display().to_string();
        match &self.style {
            Style::Json => self.json(&name, result),
            Style::Stream { written } => {
                if *written {
                    io::stdout().write_all(b"\n\n")?;
                }
                stream_end(&name, result)
            }
            Style::Table(bar) => {
                bar.inc(1);
                bar.suspend(|| row(&name, result))
            }
        }
    }

    /// Clears what was only for the time being.
    pub fn finish(&self) {
        if let Style::Table(bar) = &self.style {
            bar.finish_and_clear();
        }
    }

    fn json(&self, name: &str, result: Result<&Answer, &String>) -> io::Result<()> {
        let mut out = io::stdout().lock();
        match result {
            Ok(answer) => {
                let line = Line {
                    file: name,
                    score: answer.score,
                    reasoning: reasoning(&answer.text).filter(|_| self.asked.mode == Mode::Reason),
                    attributes: &answer.response.attributes,
                    model: &self.asked.model,
                    mode: self.asked.mode,
                    seed: self.asked.seed,
                    parse_ok: answer.score.is_some(),
                    ms: answer.ms,
                };
                serde_json::to_writer(&mut out, &line)?;
            }
            Err(error) => serde_json::to_writer(&mut out, &Failure { file: name, error })?,
        }
        out.write_all(b"\n")
    }
}

/// What stands between the think tags, as far as it was written.
fn reasoning(text: &str) -> Option<&str> {
    let (_, inner) = text.split_once("<think>")?;
    Some(inner.split("</think>").next().unwrap_or(inner).trim())
}

fn stream_end(name: &str, result: Result<&Answer, &String>) -> io::Result<()> {
    match result {
        Ok(answer) => match answer.score {
            Some(score) => {
                writeln!(io::stdout(), "{name}: {score} ({}), {} ms", score.level(), answer.ms)
            }
            None => writeln!(io::stdout(), "{name}: no score could be read from this answer"),
        },
        Err(error) => writeln!(io::stderr(), "qponder: {name}: {error}"),
    }
}

fn row(name: &str, result: Result<&Answer, &String>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match result {
        Ok(Answer { score: Some(score), .. }) => {
            writeln!(out, "{:>5}  {:9}  {name}", score.to_string(), score.level().word())
        }
        Ok(Answer { score: None, .. }) => {
            writeln!(out, "{:>5}  {:9}  {name}: no score could be read", "-", "-")
        }
        Err(error) => writeln!(out, "{:>5}  {:9}  {name}: {error}", "-", "failed"),
    }
}

fn progress_bar(total: usize) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(total as u64);
    match ProgressStyle::with_template("{bar:30} {pos}/{len} images, {per_sec}, {eta} left") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

#[cfg(test)]
mod tests {
    use super::reasoning;

    #[test]
    fn reasoning_is_what_the_tags_hold() {
        assert_eq!(reasoning("<think>\na (good)\nb\n</think>\n<answer>4.00</answer>"), Some("a (good)\nb"));
        assert_eq!(reasoning("<think>\ncut sho"), Some("cut sho"));
        assert_eq!(reasoning("good"), None);
    }
}
