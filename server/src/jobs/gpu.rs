//! How busy a GPU is, as its driver's own program says.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

/// What a GPU does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// Share of the last moments in which it computed, 0 to 1.
    pub busy: f64,
    /// Bytes that are taken, by whomever.
    pub memory: u64,
}

/// Watches a GPU as long as it lives.
pub struct Gpu {
    program: Child,
    newest: Arc<Mutex<Option<Reading>>>,
}

impl Gpu {
    /// Watches the GPU of a device such as `cuda:0`; `None` for other devices, and where there is no `nvidia-smi`.
    pub fn watch(device: &str) -> Option<Self> {
        let index = device.strip_prefix("cuda:")?;
        let visible = std::env::var("CUDA_VISIBLE_DEVICES").ok();
        let mut command = Command::new("nvidia-smi");
        command.args([
            "--query-gpu=utilization.gpu,memory.used",
            "--format=csv,noheader,nounits",
            "--loop=2",
        ]);
        command.arg(format!("--id={}", physical(index, visible.as_deref())));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut program = command.spawn().ok()?;
        let (output, newest) = (program.stdout.take()?, Arc::new(Mutex::new(None)));
        let shared = Arc::clone(&newest);
        std::thread::Builder::new()
            .name("gpu".into())
            .spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    *shared.lock().unwrap_or_else(PoisonError::into_inner) = read(&line);
                }
            })
            .ok()?;
        Some(Self { program, newest })
    }

    /// What it did last.
    pub fn now(&self) -> Option<Reading> {
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Gpu {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

/// What the driver calls the GPU that CUDA calls `index`, where only some are visible to CUDA.
fn physical<'a>(index: &'a str, visible: Option<&'a str>) -> &'a str {
    let named = visible.and_then(|visible| visible.split(',').nth(index.parse().ok()?));
    named.map_or(index, str::trim)
}

/// A line such as `37, 10240`: per cent, and MiB.
fn read(line: &str) -> Option<Reading> {
    let (busy, memory) = line.split_once(',')?;
    let (busy, mebibytes): (f64, u64) = (busy.trim().parse().ok()?, memory.trim().parse().ok()?);
    Some(Reading { busy: busy / 100.0, memory: mebibytes << 20 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_and_gpus_are_found() {
        assert_eq!(read("37, 10240"), Some(Reading { busy: 0.37, memory: 10 << 30 }));
        for line in ["", "37", "[N/A], 10240", "No devices were found"] {
            assert_eq!(read(line), None, "{line}");
        }
        assert_eq!(physical("1", None), "1");
        assert_eq!(physical("1", Some("3, GPU-5d2e")), "GPU-5d2e");
        assert_eq!(physical("2", Some("0,1")), "2");
        assert!(Gpu::watch("cpu").is_none());
    }
}
