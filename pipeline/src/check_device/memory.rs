//! How much of a device's memory tensors take at most while something runs.

use candle_core::{Device, Result};

/// Runs `work`; with its result comes the most that tensors had of the GPU's memory, in bytes. `None` on the
/// CPU.
///
/// # Errors
/// When the GPU does not say.
#[cfg(feature = "cuda")]
pub fn peak<T>(device: &Device, work: impl FnOnce() -> T) -> Result<(T, Option<u64>)> {
    use crate::device::pool;

    if device.is_cpu() {
        return Ok((work(), None));
    }
    pool::reset_peak(device)?;
    let result = work();
    Ok((result, Some(pool::peak(device)?)))
}

/// As on a GPU, which this program was not built for.
///
/// # Errors
/// Never.
#[cfg(not(feature = "cuda"))]
pub fn peak<T>(_: &Device, work: impl FnOnce() -> T) -> Result<(T, Option<u64>)> {
    Ok((work(), None))
}
