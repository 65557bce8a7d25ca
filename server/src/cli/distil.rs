//! `qponder distil`: answers of a teacher, filtered into a manifest for the cold start.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use qponder_pipeline::calls::{Calls, Event};
use qponder_pipeline::distil::{Estimate, Progress, Report, distil, estimate};
use qponder_shared::recipe::DistilRecipe;

use super::training::{say_event, stop_on_signal};

/// Ask a teacher about labelled images and keep the answers that pass the recipe's filters.
///
/// The teacher is any OpenAI-compatible chat endpoint that takes images. Writes replies.jsonl (every reply
/// as it came), manifest.jsonl (accepted answers, for `qponder sft`), rejected.jsonl (the others, with
/// reasons) and report.json into the recipe's `out`. The same command goes on after an interruption and
/// repeats no call that was answered; with other filters it makes no call at all.
#[derive(Args)]
#[command(after_help = "Examples:
  qponder distil --recipe models/recipes/nano-distil.toml --dry-run    what it would do and cost
  qponder distil --recipe models/recipes/nano-distil.toml              with `qponder serve` running")]
pub struct DistilArgs {
    /// The recipe, a TOML file.
    #[arg(long, value_name = "FILE")]
    recipe: PathBuf,
    /// Check recipe, manifests and images, and say what it would cost. Makes no call.
    #[arg(long)]
    dry_run: bool,
    /// Print what happens as JSON, an object a line, for programs.
    #[arg(long, conflicts_with = "dry_run")]
    events: bool,
}

/// Distils, with a progress bar on a terminal and plain lines elsewhere.
///
/// # Errors
/// What is wrong with the recipe, its files or the endpoint, or where it was stopped.
pub fn run(args: &DistilArgs) -> anyhow::Result<()> {
    let shown = args.recipe.display();
    let text = std::fs::read_to_string(&args.recipe).with_context(|| format!("cannot read {shown}"))?;
    let recipe = DistilRecipe::parse(&text).with_context(|| shown.to_string())?;
    if args.dry_run {
        return describe(&estimate(&recipe)?, &recipe);
    }
    let stop = stop_on_signal()?;
    if args.events {
        return is_of_use(&distil(&recipe, &stop, &mut |event| say_event(event))?);
    }
    let bar = ProgressBar::new(0);
    let template = "{bar:30} {pos} of {len} answers, {msg}, {eta} left";
    bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
    let mut tokens = (0, 0);
    let result = distil(&recipe, &stop, &mut |event| show(&bar, event, &mut tokens));
    bar.finish_and_clear();
    let report = result?;
    print(&report, &recipe);
    is_of_use(&report)
}

/// Refuses a run that brought nothing, so that no script goes on from its empty manifest.
fn is_of_use(report: &Report) -> anyhow::Result<()> {
    if report.wanted > 0 && report.answered == 0 {
        bail!("the endpoint gave no answer at all: look at the failures above, and at its address and key");
    }
    Ok(())
}

fn describe(estimate: &Estimate, recipe: &DistilRecipe) -> anyhow::Result<()> {
    let Estimate { images, wanted, known, calls, .. } = estimate;
    println!(
        "{images} images, {wanted} answers, {known} there already: {calls} calls to {}",
        recipe.endpoint.base_url
    );
    println!(
        "about {} tokens to read, at most {} to write",
        estimate.prompt_tokens, estimate.completion_tokens
    );
    let limits = &recipe.limits;
    if limits.prompt_price > 0.0 || limits.completion_price > 0.0 {
        println!(
            "at most {:.2} to pay beside the {:.2} spent, without repeated calls",
            estimate.worst_cost, estimate.spent
        );
    }
    if let Some(most) = limits.max_cost.filter(|most| estimate.spent + estimate.worst_cost > *most) {
        println!("limits.max_cost is {most:.2}: it may end before all answers are there");
    }
    if let Some(most) = limits.max_calls.filter(|most| (*calls as u64) > *most) {
        println!("limits.max_calls is {most}: it ends before all answers are there");
    }
    if let Some(first) = estimate.unreadable.first() {
        bail!("{} images cannot be read, the first: {first}", estimate.unreadable.len());
    }
    Ok(())
}

fn show(bar: &ProgressBar, event: &Progress, tokens: &mut (u64, u64)) {
    // Without a terminal the bar is hidden, and whoever reads the log wants lines.
    let say = |line: String| if bar.is_hidden() { println!("{line}") } else { bar.println(line) };
    match event {
        Progress::Started { images, wanted, repeated, torn } => {
            bar.set_length(*wanted as u64);
            let again =
                if *repeated > 0 { format!(", {repeated} repeated rows left out") } else { String::new() };
            say(format!("{images} images, {wanted} answers{again}"));
            if *torn {
                say("the last reply of an earlier run was cut off while it was written; it is asked for again".into());
            }
        }
        Progress::Call(Event::Known { answered }) => {
            bar.set_position(*answered as u64);
            bar.reset_eta();
        }
        Progress::Call(Event::Answered { answered, prompt_tokens, completion_tokens, .. }) => {
            bar.set_position(*answered as u64);
            tokens.0 += prompt_tokens;
            tokens.1 += completion_tokens;
            bar.set_message(format!("{} tokens read, {} written", tokens.0, tokens.1));
            if bar.is_hidden() && answered % 100 == 0 {
                say(format!("{answered} answers"));
            }
        }
        Progress::Call(Event::Retrying { id, cause, message, wait_ms }) => {
            let seconds = *wait_ms as f64 / 1000.0;
            say(format!("{id}: {} ({message}), again in {seconds:.1} s", cause.name()));
        }
        Progress::Call(Event::Failed { id, cause, message }) => {
            say(format!("{id}: {} ({message}), given up for this run", cause.name()));
        }
        Progress::Call(Event::Skipped { id, reason }) => say(format!("{id}: not asked, {reason}")),
        Progress::Call(Event::LimitReached { limit }) => {
            say(format!("{limit} is reached; running calls end, raise it to go on"));
        }
        Progress::Filtered { .. } => {}
    }
}

fn print(report: &Report, recipe: &DistilRecipe) {
    let Report { wanted, answered, accepted, images, images_accepted, .. } = report;
    println!(
        "{answered} of {wanted} answers are there, {accepted} accepted, for {images_accepted} of {images} images"
    );
    println!("{:<16} {:>8} {:>8}", "filter", "refused", "alone");
    for (name, count) in &report.refused {
        let alone = report.refused_by_it_alone.get(name).copied().unwrap_or_default();
        println!("{name:<16} {count:>8} {alone:>8}");
    }
    let Calls { made, failed, prompt_tokens, completion_tokens, cost, .. } = &report.calls;
    let causes: Vec<String> = failed.iter().map(|(cause, count)| format!("{count} {cause}")).collect();
    let causes =
        if causes.is_empty() { "none failed".to_owned() } else { format!("failed: {}", causes.join(", ")) };
    println!(
        "{made} calls, {causes}; {prompt_tokens} tokens read, {completion_tokens} written, cost {cost:.4}"
    );
    if report.unreadable_images > 0 {
        println!("{} requests had an image that cannot be read", report.unreadable_images);
    }
    if answered < wanted {
        println!("{} answers are missing; the same command asks for them again", wanted - answered);
    }
    println!("manifest in {}/manifest.jsonl", recipe.out);
}
