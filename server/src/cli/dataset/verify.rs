//! `qponder dataset verify`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use qponder_pipeline::dataset::verify::verify;

/// Arguments of `qponder dataset verify`.
#[derive(Args)]
#[command(after_help = "Examples:
  qponder dataset verify koniq/manifest.jsonl
  qponder dataset verify --write data/set/manifest.jsonl
  qponder dataset verify train/manifest.jsonl test/manifest.jsonl     also for leaks from one into the other

The exit code is 1 when anything is wrong.")]
pub struct VerifyArgs {
    /// Manifests; leaks between them are found too.
    #[arg(required = true, value_name = "MANIFEST")]
    manifests: Vec<PathBuf>,
    /// Write the hashes beside the manifests when nothing is wrong; images not listed yet are no fault then.
    #[arg(long)]
    write: bool,
}

/// Verifies and prints what is wrong, a line each.
///
/// # Errors
/// When a manifest or a file of hashes cannot be read or written.
pub fn run(args: &VerifyArgs) -> anyhow::Result<ExitCode> {
    let report = super::with_bar(|progress| verify(&args.manifests, args.write, progress))?;
    for fault in &report.faults {
        println!("{fault}");
    }
    for path in &report.written {
        println!("wrote {}", path.display());
    }
    let (images, faults, compared) = (report.images, report.faults.len(), report.compared);
    println!("{images} images, {faults} faults, {compared} hashes compared");
    Ok(if faults == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
