//! candle's fused kernels, for tensors that no gradient is asked of: assessing and sampling answers on a GPU
//! is bound by the number of launches, and each of these saves several.
//!
//! They round at other places than the compositions do. A recomputed layer whose own weights are frozen runs
//! these the first time and those the second, and its activations differ in their last digits.

use candle_core::{Result, Tensor};

use super::Rotation;

/// Whether no gradient flows through any of the tensors; candle's fused kernels have none.
pub fn fits(tensors: &[&Tensor]) -> bool {
    !tensors.iter().any(|tensor| tensor.track_op())
}

/// See [`super::rms_norm`].
pub fn rms_norm(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    candle_nn::ops::rms_norm(&x.contiguous()?, &weight.to_dtype(x.dtype())?, eps as f32)
}

/// See [`super::rope`].
pub fn rope(x: &Tensor, rotation: &Rotation) -> Result<Tensor> {
    let angles = rotation.on_device(x)?;
    candle_nn::rotary_emb::rope_thd(&x.contiguous()?.unsqueeze(0)?, &angles.cos, &angles.sin)?.squeeze(0)
}

/// Softmax over the last dimension.
pub fn softmax(x: &Tensor) -> Result<Tensor> {
    candle_nn::ops::softmax_last_dim(&x.contiguous()?)
}
