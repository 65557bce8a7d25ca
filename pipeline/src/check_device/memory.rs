//! How much of a device's memory is taken at most while something runs.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use candle_core::Device;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// Runs `work`; with its result comes the most that was taken of the GPU's memory, by whomever, in bytes.
/// `None` on the CPU.
pub fn peak<T>(device: &Device, work: impl FnOnce() -> T) -> (T, Option<u64>) {
    let (most, over) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let Some(taken) = taken(device) else { return };
                most.fetch_max(taken, Ordering::Relaxed);
                std::thread::sleep(PAUSE);
            }
        });
        let result = work();
        over.store(true, Ordering::Relaxed);
        (result, Some(most.load(Ordering::Relaxed)).filter(|most| *most > 0))
    })
}

#[cfg(feature = "cuda")]
fn taken(device: &Device) -> Option<u64> {
    let cuda = device.as_cuda_device().ok()?;
    cuda.cuda_stream().context().bind_to_thread().ok()?;
    let (free, total) = candle_core::cuda_backend::cudarc::driver::result::mem_get_info().ok()?;
    Some((total - free) as u64)
}

#[cfg(not(feature = "cuda"))]
fn taken(_: &Device) -> Option<u64> {
    None
}
