//! The pool that tensors on a GPU take their memory from.
//!
//! The driver gives a pool's free memory back whenever the GPU has finished everything, which is once a token
//! when answers are made, and taking it again costs more than the token. Kept, it is there at once.

use candle_core::cuda_backend::cudarc::driver::sys::{CUmemPool_attribute, CUmemoryPool};
use candle_core::cuda_backend::cudarc::driver::{DriverError, result};
use candle_core::{Device, Error, Result};

/// Keeps what was taken once for as long as the program runs.
pub fn keep(device: &Device) -> Result<()> {
    set(device, CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, u64::MAX)
}

/// Begins a new measurement of [`peak`].
pub fn reset_peak(device: &Device) -> Result<()> {
    set(device, CUmemPool_attribute::CU_MEMPOOL_ATTR_USED_MEM_HIGH, 0)
}

/// The most bytes that tensors had since [`reset_peak`].
pub fn peak(device: &Device) -> Result<u64> {
    let pool = pool(device)?;
    let mut bytes = 0_u64;
    let attribute = CUmemPool_attribute::CU_MEMPOOL_ATTR_USED_MEM_HIGH;
    // SAFETY: the pool is the device's own, and the attribute is a number of 64 bits.
    unsafe { result::mem_pool::get_attribute(pool, attribute, (&raw mut bytes).cast()) }.map_err(told)?;
    Ok(bytes)
}

fn set(device: &Device, attribute: CUmemPool_attribute, mut value: u64) -> Result<()> {
    let pool = pool(device)?;
    // SAFETY: the pool is the device's own, and the attribute is a number of 64 bits.
    unsafe { result::mem_pool::set_attribute(pool, attribute, (&raw mut value).cast()) }.map_err(told)
}

fn pool(device: &Device) -> Result<CUmemoryPool> {
    let stream = device.as_cuda_device()?.cuda_stream();
    let context = stream.context();
    context.bind_to_thread().map_err(told)?;
    // SAFETY: the device is one that a context was made for.
    unsafe { result::device::get_mem_pool(context.cu_device()) }.map_err(told)
}

fn told(error: DriverError) -> Error {
    Error::wrap(error)
}
