//! The progress bar of an evaluation.

use std::time::Duration;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};

/// A bar of so many steps; it shows itself on a terminal only.
pub(super) fn bar(steps: usize, what: String) -> anyhow::Result<ProgressBar> {
    let style = ProgressStyle::with_template("{msg} {bar:30} {pos} of {len}, {eta} left");
    let bar = ProgressBar::new(steps as u64).with_style(style.context("the bar's template")?);
    bar.set_message(what);
    bar.enable_steady_tick(Duration::from_millis(200));
    Ok(bar)
}
