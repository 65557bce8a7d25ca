//! What the training commands share: progress on a terminal or in lines, and stopping in good order.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::{ProgressBar, ProgressStyle};
use qponder_pipeline::train::{Estimate, Progress, TrainError, ValidationReport};
use serde::Serialize;

/// Runs a training of `steps` steps and shows how it goes: to people, or as events to programs.
pub fn watch(
    steps: usize,
    as_events: bool,
    training: impl FnOnce(&mut dyn FnMut(&Progress)) -> Result<(), TrainError>,
) -> Result<(), TrainError> {
    if as_events {
        return training(&mut |event| say_event(event));
    }
    let bar = ProgressBar::new(steps as u64);
    let template = "{bar:30} step {pos} of {len}, {msg}, {eta} left";
    bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
    let result = training(&mut |event| show(&bar, event));
    bar.finish_and_clear();
    result
}

/// Tells people something: beside the events, where the output is made of these.
pub fn say(as_events: bool, line: &str) {
    if as_events { eprintln!("{line}") } else { println!("{line}") }
}

/// Prints an event as one line of JSON.
pub fn say_event(event: &impl Serialize) {
    // Whoever read it may be gone; the work is not.
    let line = serde_json::to_string(event).unwrap_or_default();
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// One line on what a training will need.
pub fn describe_memory(estimate: &Estimate) -> String {
    let gigabytes = |bytes: u64| format!("{:.2} GB", bytes as f64 / 1e9);
    let parts = estimate.named().into_iter().filter(|(_, bytes)| *bytes > 0);
    let parts: Vec<String> = parts.map(|(name, bytes)| format!("{name} {}", gigabytes(bytes))).collect();
    format!(
        "needs about {} of memory for the largest images: {}",
        gigabytes(estimate.total()),
        parts.join(", ")
    )
}

fn show(bar: &ProgressBar, event: &Progress) {
    // Without a terminal the bar is hidden, and whoever reads the log wants lines.
    let say = |line: String| if bar.is_hidden() { println!("{line}") } else { bar.println(line) };
    match event {
        Progress::Started { step, steps, parameters, trained, images, validation_images } => {
            bar.set_position(*step as u64);
            bar.reset_eta();
            let from = if *step > 0 { format!(", going on after step {step}") } else { String::new() };
            say(format!(
                "{steps} steps, {trained} of {parameters} parameters, {images} images, {validation_images} for validation{from}"
            ));
        }
        Progress::Step { step, loss, images_per_second, .. } => {
            bar.set_position(*step as u64);
            bar.set_message(format!("loss {loss:.3}, {images_per_second:.0} images/s"));
            if bar.is_hidden() && step % 50 == 0 {
                say(format!("step {step}: loss {loss:.4}, {images_per_second:.0} images/s"));
            }
        }
        Progress::Policy { step, metrics } => {
            let of = |name: &str| metrics.get(name).copied().unwrap_or_default();
            let judge = metrics.get("rewards/judge/mean").map_or_else(String::new, |mean| {
                format!(", judge {mean:.3} with {} failures", of("judge/failures"))
            });
            let text = format!(
                "reward {:.3} (score {:.3}, consistency {:.3}{}), KL {:.4}, {:.1} s",
                of("reward"),
                of("rewards/score/mean"),
                of("rewards/consistency/mean"),
                judge,
                of("kl"),
                of("step_time")
            );
            bar.set_position(*step as u64);
            bar.set_message(text.clone());
            if bar.is_hidden() && step % 10 == 0 {
                say(format!("step {step}: {text}"));
            }
        }
        Progress::Validated { step, report } => say(format!("step {step}: {}", describe(report))),
        Progress::Damaged { error } => say(format!("{error}; going on from the checkpoint before it")),
        Progress::Saved { .. } => {}
    }
}

fn describe(report: &ValidationReport) -> String {
    let number = |value: Option<f64>| value.map_or("none".into(), |v| format!("{v:.3}"));
    let mut text = format!("SRCC {}, PLCC {}", number(report.srcc), number(report.plcc));
    if let Some(accuracy) = report.distortion_accuracy {
        text.push_str(&format!(", distortion named {:.1} %", 100.0 * accuracy));
    }
    if report.reasoning_images > 0 {
        let (srcc, failures) = (number(report.reasoning_srcc), report.parse_failures);
        text.push_str(&format!(
            "; reasoning SRCC {srcc}, {failures} of {} unreadable",
            report.reasoning_images
        ));
    }
    text
}

/// A flag that SIGINT and SIGTERM set; a second signal ends the process at once.
pub fn stop_on_signal() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let Ok(mut terminate) = signal(SignalKind::terminate()) else { return };
            for first in [true, false] {
                tokio::select! {
                    _ = tokio::signal::ctrl_c() => {}
                    _ = terminate.recv() => {}
                }
                if !first {
                    std::process::exit(130);
                }
                flag.store(true, Ordering::Relaxed);
            }
        });
    })?;
    Ok(stop)
}
