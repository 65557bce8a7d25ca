//! How much memory this process needed.

use std::fs;

use anyhow::{Context, Result};

/// The most resident memory so far, in MiB, as the kernel counts it.
pub fn peak_resident_mib() -> Result<f64> {
    let status = fs::read_to_string("/proc/self/status").context("cannot read /proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
    Ok(kibibytes.context("/proc/self/status has no VmHWM")? / 1024.0)
}
