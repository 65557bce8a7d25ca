//! The card: how it is opened, what it refuses, how numbers come back, and how its loss is noticed.

use std::sync::{Arc, Mutex};

use futures_channel::oneshot;

use super::plan::{Action, Plan};
use crate::engine::EngineError;

/// Steps that are handed over at a time: long enough to keep the card busy, short enough not to be taken for
/// hanging.
const STEPS_A_SUBMIT: usize = 64;

/// Threads that a subgroup needs to have: kernels sum over eight in a row.
const LEAST_SUBGROUP: u32 = 8;

/// What some cards can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extras {
    /// Threads in a row add up without the workgroup's memory. Not in browsers: wgpu 30 cannot ask one for it.
    pub subgroups: bool,
    /// Arithmetic in f16.
    pub f16: bool,
}

impl Extras {
    /// Everything.
    #[cfg(any(test, feature = "web"))]
    pub const ALL: Self = Self { subgroups: true, f16: true };

    /// What an adapter has.
    fn of(adapter: &wgpu::Adapter) -> Self {
        let features = adapter.features();
        let has_large_subgroups = adapter.get_info().subgroup_min_size >= LEAST_SUBGROUP;
        Self {
            subgroups: features.contains(wgpu::Features::SUBGROUP) && has_large_subgroups,
            f16: features.contains(wgpu::Features::SHADER_F16),
        }
    }

    fn and(self, other: Self) -> Self {
        Self { subgroups: self.subgroups && other.subgroups, f16: self.f16 && other.f16 }
    }

    /// Those that pay: a processor in place of a card only imitates f16, which takes it longer.
    fn worthwhile(adapter: &wgpu::Adapter) -> Self {
        let is_card = adapter.get_info().device_type != wgpu::DeviceType::Cpu;
        Self { subgroups: true, f16: is_card }
    }

    fn features(self) -> wgpu::Features {
        let mut features = wgpu::Features::empty();
        features.set(wgpu::Features::SUBGROUP, self.subgroups);
        features.set(wgpu::Features::SHADER_F16, self.f16);
        features
    }
}

/// An open device with what it may do.
#[derive(Debug)]
pub struct Card {
    pub name: String,
    pub device: wgpu::Device,
    pub queue: wgpu::Queue,
    pub limits: wgpu::Limits,
    pub extras: Extras,
    /// Why it is of no use any more.
    lost: Arc<Mutex<Option<String>>>,
}

impl Card {
    /// Opens the fastest card that there is, with all that it can hold, and with those of the extras that it has;
    /// where none are named, with those that pay.
    ///
    /// # Errors
    /// When there is none.
    pub async fn open(wanted: Option<Extras>) -> Result<Self, EngineError> {
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
        let options = wgpu::RequestAdapterOptions {
            power_preference: wgpu::PowerPreference::HighPerformance,
            ..Default::default()
        };
        let adapter = instance.request_adapter(&options).await;
        let adapter = adapter.map_err(|error| EngineError::Gpu(format!("none was found ({error})")))?;
        let info = adapter.get_info();
        let wanted = wanted.unwrap_or_else(|| Extras::worthwhile(&adapter));
        let (limits, extras) = (adapter.limits(), Extras::of(&adapter).and(wanted));
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("Q-Ponder"),
            required_features: extras.features(),
            required_limits: limits.clone(),
            memory_hints: wgpu::MemoryHints::Performance,
            ..Default::default()
        };
        let opened = adapter.request_device(&descriptor).await;
        let (device, queue) =
            opened.map_err(|error| EngineError::Gpu(format!("{} cannot be opened ({error})", info.name)))?;
        let lost = Arc::new(Mutex::new(None));
        let note = {
            let lost = lost.clone();
            move |reason: String| {
                if let Ok(mut lost) = lost.lock() {
                    lost.get_or_insert(reason);
                }
            }
        };
        let on_error = note.clone();
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| on_error(error.to_string())));
        device.set_device_lost_callback(move |reason, message| note(format!("{reason:?}: {message}")));
        // Browsers often keep the name to themselves.
        let name = match info.name.as_str() {
            "" => "Graphics card".to_owned(),
            name => format!("{name}, {}", info.backend),
        };
        Ok(Self { name, device, queue, limits, extras, lost })
    }

    /// Whether it can still be used.
    ///
    /// # Errors
    /// Says why not.
    pub fn check(&self) -> Result<(), EngineError> {
        let lost = self.lost.lock().map_or_else(|_| Some("it failed before".into()), |lost| lost.clone());
        lost.map_or(Ok(()), |reason| Err(EngineError::Gpu(format!("the device was lost ({reason})"))))
    }

    /// A buffer for numbers of four bytes.
    ///
    /// # Errors
    /// When the card has none that large.
    pub fn buffer(&self, numbers: usize, usage: wgpu::BufferUsages) -> Result<wgpu::Buffer, EngineError> {
        let size = (4 * numbers.max(4)) as u64;
        let most = self.limits.max_storage_buffer_binding_size.min(self.limits.max_buffer_size);
        if size > most {
            let reason =
                format!("{} allows {} MB at a time, and {} are needed", self.name, most >> 20, size >> 20);
            return Err(EngineError::Gpu(reason));
        }
        let descriptor = wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false };
        Ok(self.device.create_buffer(&descriptor))
    }

    /// A buffer that kernels read and write.
    ///
    /// # Errors
    /// When the card has none that large.
    pub fn storage(&self, numbers: usize) -> Result<wgpu::Buffer, EngineError> {
        use wgpu::BufferUsages as Usage;
        self.buffer(numbers, Usage::STORAGE | Usage::COPY_DST | Usage::COPY_SRC)
    }

    /// A buffer with numbers.
    ///
    /// # Errors
    /// When the card has none that large.
    pub fn upload<T: bytemuck::NoUninit>(&self, numbers: &[T]) -> Result<wgpu::Buffer, EngineError> {
        let bytes: &[u8] = bytemuck::cast_slice(numbers);
        let buffer = self.storage(bytes.len().div_ceil(4))?;
        self.write(&buffer, numbers);
        Ok(buffer)
    }

    /// Writes numbers to the front of a buffer.
    pub fn write<T: bytemuck::NoUninit>(&self, buffer: &wgpu::Buffer, numbers: &[T]) {
        let bytes: &[u8] = bytemuck::cast_slice(numbers);
        let whole = bytes.len() / 4 * 4;
        self.queue.write_buffer(buffer, 0, &bytes[..whole]);
        if whole < bytes.len() {
            let mut rest = [0; 4];
            rest[..bytes.len() - whole].copy_from_slice(&bytes[whole..]);
            self.queue.write_buffer(buffer, whole as u64, &rest);
        }
    }

    /// Runs a plan.
    pub fn run(&self, plan: &Plan) {
        for steps in plan.actions.chunks(STEPS_A_SUBMIT) {
            let mut encoder = self.device.create_command_encoder(&Default::default());
            for run in steps.chunk_by(|a, b| a.is_kernel() && b.is_kernel()) {
                if let [Action::Copy { from, first, to, numbers }] = run {
                    encoder.copy_buffer_to_buffer(from, 4 * first, to, 0, 4 * numbers);
                    continue;
                }
                let mut pass = encoder.begin_compute_pass(&Default::default());
                for action in run {
                    if let Action::Kernel { pipeline, group, size: [x, y, z] } = action {
                        pass.set_pipeline(pipeline);
                        pass.set_bind_group(0, group, &[]);
                        pass.dispatch_workgroups(*x, *y, *z);
                    }
                }
            }
            self.queue.submit([encoder.finish()]);
        }
    }

    /// Reads numbers of four bytes from the front of a buffer by way of another one.
    ///
    /// # Errors
    /// When the device is lost.
    pub async fn read<T: bytemuck::AnyBitPattern + bytemuck::NoUninit>(
        &self,
        buffer: &wgpu::Buffer,
        readback: &wgpu::Buffer,
        numbers: usize,
    ) -> Result<Vec<T>, EngineError> {
        let size = 4 * numbers as u64;
        let mut encoder = self.device.create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(buffer, 0, readback, 0, size);
        self.queue.submit([encoder.finish()]);
        let (done, is_done) = oneshot::channel();
        readback.map_async(wgpu::MapMode::Read, 0..size, move |outcome| drop(done.send(outcome)));
        // In a browser this does nothing: the browser calls back by itself.
        let polled = self.device.poll(wgpu::PollType::wait_indefinitely());
        self.check()?;
        let failed = |reason: String| EngineError::Gpu(format!("its numbers cannot be read ({reason})"));
        polled.map_err(|error| failed(error.to_string()))?;
        let outcome = is_done.await;
        self.check()?;
        outcome.map_err(|error| failed(error.to_string()))?.map_err(|error| failed(error.to_string()))?;
        let view = readback.get_mapped_range(0..size).map_err(|error| failed(error.to_string()))?;
        let result = bytemuck::pod_collect_to_vec(&view);
        drop(view);
        readback.unmap();
        Ok(result)
    }
}
