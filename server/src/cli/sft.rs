//! `qponder sft`: cold-start training.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use qponder_pipeline::train::{Progress, ValidationReport, sft};
use qponder_shared::recipe::SftRecipe;

/// Train a model as a recipe says.
///
/// Writes metrics.jsonl and checkpoints into the recipe's `out`, and the model at the end. Interrupted
/// at any moment, the same command goes on from the last checkpoint; Ctrl-C writes one first.
#[derive(Args)]
#[command(after_help = "Example:\n  qponder sft --recipe models/recipes/nano-ci.toml")]
pub struct SftArgs {
    /// The recipe, a TOML file.
    #[arg(long, value_name = "FILE")]
    recipe: PathBuf,
}

/// Trains, with a progress bar on a terminal and plain lines elsewhere.
///
/// # Errors
/// What is wrong with the recipe or its files, or where it was stopped.
pub fn run(args: &SftArgs) -> anyhow::Result<()> {
    let shown = args.recipe.display();
    let text = std::fs::read_to_string(&args.recipe).with_context(|| format!("cannot read {shown}"))?;
    let recipe = SftRecipe::parse(&text).with_context(|| shown.to_string())?;
    let stop = stop_on_signal()?;
    let bar = ProgressBar::new(recipe.train.steps as u64);
    let template = "{bar:30} step {pos} of {len}, {msg}, {eta} left";
    bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
    let result = sft(&recipe, &stop, &mut |event| show(&bar, event));
    bar.finish_and_clear();
    result?;
    println!("trained model in {}", recipe.out);
    Ok(())
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
        Progress::Validated { step, report } => say(format!("step {step}: {}", describe(report))),
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
fn stop_on_signal() -> anyhow::Result<Arc<AtomicBool>> {
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
