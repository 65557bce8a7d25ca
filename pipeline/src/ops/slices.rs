//! Views of candle tensors as plain slices, for the CPU kernels.

use candle_core::{CpuStorage, DType, Layout, Result, Storage, Tensor, bail};

/// The contiguous `f32` numbers behind a storage.
pub fn of<'a>(storage: &'a CpuStorage, layout: &Layout, op: &'static str) -> Result<&'a [f32]> {
    let CpuStorage::F32(all) = storage else { bail!("{op} takes f32 on the CPU, not {:?}", storage.dtype()) };
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&all[start..end]),
        None => bail!(
            "{op} takes contiguous tensors, not shape {:?} stride {:?}",
            layout.shape(),
            layout.stride()
        ),
    }
}

trait HasDType {
    fn dtype(&self) -> DType;
}

impl HasDType for CpuStorage {
    fn dtype(&self) -> DType {
        candle_core::backend::BackendStorage::dtype(self)
    }
}

/// Calls `work` with the numbers of several CPU tensors.
pub fn with<const N: usize, T>(
    tensors: [&Tensor; N],
    op: &'static str,
    work: impl FnOnce([&[f32]; N]) -> Result<T>,
) -> Result<T> {
    let contiguous = tensors.map(Tensor::contiguous);
    let mut owned = Vec::with_capacity(N);
    for tensor in contiguous {
        owned.push(tensor?);
    }
    let guards: Vec<_> = owned.iter().map(Tensor::storage_and_layout).collect();
    let mut views: [&[f32]; N] = [&[]; N];
    for (view, (storage, layout)) in views.iter_mut().zip(&guards) {
        let Storage::Cpu(storage) = &**storage else { bail!("{op} is a CPU kernel") };
        *view = of(storage, layout, op)?;
    }
    work(views)
}

/// Whether the CPU kernels take this tensor.
pub fn is_cpu_f32(tensor: &Tensor) -> bool {
    tensor.device().is_cpu() && tensor.dtype() == DType::F32
}
