//! A result that is there already, as an operation with a gradient of its own.

use std::sync::{Mutex, PoisonError};

use candle_core::backend::BackendStorage as _;
use candle_core::{CpuStorage, CudaStorage, CustomOp1, Layout, Result, Shape, Storage, Tensor};

type Backward = Box<dyn Fn(&Tensor) -> Result<Tensor> + Send + Sync>;

/// `result`, which was made from `x`; `backward` turns the gradient by the result into that by `x`.
///
/// It works on every device and type, since nothing is computed here.
pub fn given(
    x: &Tensor,
    result: Tensor,
    backward: impl Fn(&Tensor) -> Result<Tensor> + Send + Sync + 'static,
) -> Result<Tensor> {
    // A storage is handed on whole, so nothing may lie before or after the result in it.
    let is_whole = result.storage_and_layout().1.contiguous_offsets() == Some((0, result.elem_count()));
    let result = if is_whole { result.detach() } else { result.detach().force_contiguous()? };
    x.apply_op1(Given { result: Mutex::new(Some(result)), backward: Box::new(backward) })
}

struct Given {
    /// Until it is handed on: kept, it would be in memory twice.
    result: Mutex<Option<Tensor>>,
    backward: Backward,
}

impl Given {
    fn take(&self) -> Result<Tensor> {
        let result = self.result.lock().unwrap_or_else(PoisonError::into_inner).take();
        result.ok_or_else(|| candle_core::Error::Msg("a given result can be used once".into()))
    }
}

impl CustomOp1 for Given {
    fn name(&self) -> &'static str {
        "given"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        let result = self.take()?;
        let (storage, layout) = result.storage_and_layout();
        match &*storage {
            Storage::Cpu(storage) => Ok((storage.try_clone(layout)?, layout.shape().clone())),
            _ => candle_core::bail!("the result is on another device than what it was made from"),
        }
    }

    fn cuda_fwd(&self, _: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        let result = self.take()?;
        let (storage, layout) = result.storage_and_layout();
        match &*storage {
            Storage::Cuda(storage) => Ok((storage.try_clone(layout)?, layout.shape().clone())),
            _ => candle_core::bail!("the result is on another device than what it was made from"),
        }
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        (self.backward)(&grad.contiguous()?).map(Some)
    }
}
