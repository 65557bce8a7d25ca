//! `qponder check-device`: whether a device computes what the CPU computes, and how fast.

use anyhow::bail;
use clap::Args;
use qponder_pipeline::check_device::Size;
use qponder_pipeline::check_device::parity::{Row, parity};
use qponder_pipeline::check_device::speed::{Speed, Work, speed};
use qponder_pipeline::device::Place;
use serde_json::json;

/// Compare a device with the CPU, operation by operation, and measure it.
///
/// Nothing is read or written: weights are random, which no speed depends on.
#[derive(Args)]
#[command(after_help = "Examples:
  qponder check-device                                 the GPU where this program was built for CUDA
  qponder check-device --size 3b --size 7b             also how fast models of these sizes run and train
  qponder check-device --device cuda:1 --json --size 7b --work grpo

Exit status: 0 when every difference is within rounding, 1 when any is not.")]
pub struct CheckDeviceArgs {
    /// The device: cpu, or cuda:N where this program was built for CUDA.
    #[arg(long, value_name = "DEVICE", default_value_t)]
    device: Place,
    /// Also measure prefill, decoding and training at a size: nano, 3b or 7b; may be given several times.
    #[arg(long, value_name = "SIZE")]
    size: Vec<Size>,
    /// Measure this alone: prefill, decode, sft or grpo; may be given several times.
    #[arg(long, value_name = "WORK", requires = "size")]
    work: Vec<Work>,
    /// One JSON object a line instead of text.
    #[arg(long)]
    json: bool,
}

/// Compares, measures and prints.
///
/// # Errors
/// When the device cannot be used, or computes something else.
pub fn run(args: &CheckDeviceArgs) -> anyhow::Result<()> {
    let rows = parity(args.device)?;
    rows.iter().for_each(|row| print_row(row, args.json));
    let works = if args.work.is_empty() { &Work::ALL[..] } else { &args.work };
    for &size in &args.size {
        speed(size, args.device, works, &mut |measured| print_speed(size, measured, args.json))?;
    }
    let wrong = rows.iter().filter(|row| !row.is_right()).count();
    if wrong > 0 {
        bail!(
            "{} computes {wrong} of {} results wrongly: do not train or assess on it",
            args.device,
            rows.len()
        );
    }
    if !args.json {
        println!("{}: all {} results are right", args.device, rows.len());
    }
    Ok(())
}

fn print_row(row: &Row, as_json: bool) {
    if as_json {
        println!("{}", json!({ "parity": row, "right": row.is_right() }));
    } else {
        let verdict = if row.is_right() { "right" } else { "WRONG" };
        let Row { what, dtype, difference, allowed } = row;
        println!("{verdict}  {difference:.1e} of at most {allowed:.0e}  {dtype:4}  {what}");
    }
}

fn print_speed(size: Size, speed: &Speed, as_json: bool) {
    if as_json {
        println!("{}", json!({ "size": size.to_string(), "speed": speed }));
        return;
    }
    let Speed { what, tokens, seconds, peak_bytes } = speed;
    let memory = peak_bytes.map_or(String::new(), |bytes| format!(", {:.1} GB taken", bytes as f64 / 1e9));
    println!("{size:4}  {what}: {seconds:.3} s, {:.0} tokens/s{memory}", *tokens as f64 / seconds);
}
