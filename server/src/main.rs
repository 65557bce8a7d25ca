//! The binary `qponder`: the server, its workers, and the command line over the pipeline.

mod accounts;
mod api;
mod backup;
mod cli;
mod decoding;
mod file_count;
mod inference;
mod jobs;
mod logging;
mod metrics;
mod postgres;
mod registry;
mod store;
mod transfers;
mod uptime;

use std::process::ExitCode;

fn main() -> ExitCode {
    // candle splits even small sums over a pool whose threads spin between them, which costs more than it
    // gains beside our own threads. Whoever sets the variable decides otherwise.
    if std::env::var_os("CANDLE_NUM_THREADS").is_none() {
        // SAFETY: no other thread runs yet.
        unsafe { std::env::set_var("CANDLE_NUM_THREADS", "1") };
    }
    end_quietly_once_nobody_reads();
    match cli::run() {
        Ok(code) => code,
        // Whoever reads our output has seen enough: no error of anybody.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // One line, however many causes: it may end up in a log.
            let causes = causes(&error);
            let line: Vec<_> = causes.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
            eprintln!("qponder: {}", line.join(" "));
            ExitCode::FAILURE
        }
    }
}

/// `println!` panics when its reader is gone, such as `head` after its lines. That is no fault to report. But a
/// command that ends there may have left work undone, so it ends as other programs do, not as a success.
fn end_quietly_once_nobody_reads() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let message = panic.payload_as_str().unwrap_or_default();
        // 128 + SIGPIPE, as shells count.
        if message.starts_with("failed printing to stdout") && message.contains("Broken pipe") {
            std::process::exit(141);
        }
        report(panic);
    }));
}

/// The error and its causes; one whose words the one before it holds already is not said again.
fn causes(error: &anyhow::Error) -> String {
    let mut said = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if said.is_empty() {
            said = cause;
        } else if !said.ends_with(&cause) {
            said = format!("{said}: {cause}");
        }
    }
    said
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.chain().find_map(|cause| cause.downcast_ref::<std::io::Error>());
    io.is_some_and(|io| io.kind() == std::io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    #[test]
    fn no_cause_is_said_twice() {
        let error = anyhow!("no such file").context("cannot read a: no such file").context("recipe");
        assert_eq!(super::causes(&error), "recipe: cannot read a: no such file");
        assert_eq!(super::causes(&anyhow!("b").context("a")), "a: b");
    }
}
