//! The vision tower: patches in, one embedding a merged patch out.
//!
//! Follows `Qwen2_5_VisionTransformerPretrainedModel` of transformers. Blocks attend within windows,
//! except those in `fullatt_block_indexes`, which see the whole image. Merged patches are brought
//! into window order before the first block and back after the merger.

use std::sync::Arc;

use candle_core::{DType, Result, Tensor};
use qponder_kernels::layout::{self, WindowOrder};

use super::config::VisionConfig;
use super::linear::Linear;
use super::{LoadError, Weights};
use crate::ops::{self, Rotation, Segment};

/// The norms' epsilon, which no configuration states.
const EPS: f64 = 1e-6;

struct Block {
    norm1: Tensor,
    norm2: Tensor,
    qkv: Linear,
    proj: Linear,
    gate: Linear,
    up: Linear,
    down: Linear,
}

impl Block {
    fn load(weights: &Weights, name: &str, config: &VisionConfig) -> std::result::Result<Self, LoadError> {
        let (width, inner) = (config.hidden_size, config.intermediate_size);
        let linear = |part: &str, inputs, outputs| {
            Linear::load(weights, &format!("{name}.{part}"), (inputs, outputs), true)
        };
        Ok(Self {
            norm1: weights.get(&format!("{name}.norm1.weight"), width)?,
            norm2: weights.get(&format!("{name}.norm2.weight"), width)?,
            qkv: linear("attn.qkv", width, 3 * width)?,
            proj: linear("attn.proj", width, width)?,
            gate: linear("mlp.gate_proj", width, inner)?,
            up: linear("mlp.up_proj", width, inner)?,
            down: linear("mlp.down_proj", inner, width)?,
        })
    }

    fn forward(
        &self,
        x: &Tensor,
        heads: usize,
        rotation: &Rotation,
        segments: &Arc<[Segment]>,
    ) -> Result<Tensor> {
        let (tokens, width) = x.dims2()?;
        let qkv = self.qkv.forward(&ops::rms_norm(x, &self.norm1, EPS)?)?;
        let part =
            |index: usize| qkv.narrow(1, index * width, width)?.reshape((tokens, heads, width / heads));
        let (q, k) = (ops::rope(&part(0)?, rotation)?, ops::rope(&part(1)?, rotation)?);
        let mixed = ops::attention(&q, &k, &part(2)?, segments)?.reshape((tokens, width))?;
        let x = (x + self.proj.forward(&mixed)?)?;
        let h = ops::rms_norm(&x, &self.norm2, EPS)?;
        let h = ops::swiglu(&self.gate.forward(&h)?, &self.up.forward(&h)?)?;
        x + self.down.forward(&h)?
    }
}

/// The vision tower with its merger.
pub struct VisionTower {
    config: VisionConfig,
    patch: Tensor,
    blocks: Vec<Arc<Block>>,
    merger_norm: Tensor,
    merger_up: Linear,
    merger_down: Linear,
    /// What activations are computed in.
    pub(super) dtype: DType,
    /// Whether anything before the merger is in training: a frozen tower needs no backward pass.
    in_training: bool,
    /// Whether the backward pass of training makes the blocks' graphs again instead of keeping them.
    pub(super) recompute: bool,
}

impl VisionTower {
    /// Takes the tower's weights.
    ///
    /// # Errors
    /// Names the first tensor that is missing or has another shape.
    pub fn load(weights: &Weights, config: &VisionConfig) -> std::result::Result<Self, LoadError> {
        let VisionConfig { in_channels, temporal_patch_size: t, patch_size: p, hidden_size: width, .. } =
            *config;
        let patch = weights.get("visual.patch_embed.proj.weight", (width, in_channels, t, p, p))?;
        let blocks = (0..config.depth)
            .map(|i| Block::load(weights, &format!("visual.blocks.{i}"), config).map(Arc::new));
        let merged = width * config.spatial_merge_size.pow(2);
        let is_before_merger =
            |name: &str| name.starts_with("visual.") && !name.starts_with("visual.merger.");
        let mut before_merger = weights.tensors().iter().filter(|(name, _)| is_before_merger(name));
        Ok(Self {
            config: config.clone(),
            dtype: patch.dtype(),
            patch,
            blocks: blocks.collect::<std::result::Result<_, _>>()?,
            merger_norm: weights.get("visual.merger.ln_q.weight", width)?,
            merger_up: Linear::load(weights, "visual.merger.mlp.0", (merged, merged), true)?,
            merger_down: Linear::load(
                weights,
                "visual.merger.mlp.2",
                (merged, config.out_hidden_size),
                true,
            )?,
            in_training: before_merger.any(|(_, tensor)| tensor.track_op()),
            recompute: false,
        })
    }

    /// Embeds the patches of several images, one image after the other.
    ///
    /// `patches` is `(patches, channels * temporal * patch * patch)`, or for still images, whose frames are
    /// equal, `(patches, channels * patch * patch)`; `grids` gives each image's patches in time, height and
    /// width. The result is `(patches / merge², out_hidden_size)`.
    ///
    /// # Errors
    /// When the shapes do not fit each other.
    pub fn forward(&self, patches: &Tensor, grids: &[[usize; 3]]) -> Result<Tensor> {
        self.merge(&self.features(patches, grids)?, grids)
    }

    /// Merges what [`Self::features`] gave: `(patches / merge², out_hidden_size)` in the order of the images.
    ///
    /// # Errors
    /// When the shapes do not fit each other.
    pub fn merge(&self, features: &Tensor, grids: &[[usize; 3]]) -> Result<Tensor> {
        let order = self.order(grids);
        let mut inverse = vec![0_u32; order.merged.len()];
        for (position, &source) in order.merged.iter().enumerate() {
            inverse[source as usize] = position as u32;
        }
        let merge = self.config.spatial_merge_size.pow(2);
        let (tokens, width) = features.dims2()?;
        let x = ops::rms_norm(features, &self.merger_norm, EPS)?.reshape((tokens / merge, width * merge))?;
        let x = self.merger_down.forward(&ops::gelu(&self.merger_up.forward(&x)?)?)?;
        ops::rows(&x, &inverse)
    }

    /// What the last block puts out, `(patches, hidden_size)`, in window order within each image.
    ///
    /// # Errors
    /// When the shapes do not fit each other.
    pub fn features(&self, patches: &Tensor, grids: &[[usize; 3]]) -> Result<Tensor> {
        let count: usize = grids.iter().map(|grid| grid.iter().product::<usize>()).sum();
        let order = self.order(grids);
        let (width, merge) = (self.config.hidden_size, self.config.spatial_merge_size.pow(2));
        let (rows, length) = patches.dims2()?;
        let is_still = length * self.config.temporal_patch_size == self.patch.elem_count() / width;
        // Equal frames are multiplied by the sum of their weights: half the work of this layer.
        let patch = if is_still { self.patch.sum(2)? } else { self.patch.clone() }.flatten_from(1)?;
        if rows != count || length != patch.dim(1)? {
            candle_core::bail!("patches {:?} do not fit the grids {grids:?}", patches.shape());
        }
        let x = ops::linear(&patches.to_dtype(self.dtype)?, &patch, None)?;
        let x = ops::rows(&x.reshape((count / merge, merge * width))?, &order.merged)?;
        let x = x.reshape((count, width))?;
        let quarter = self.config.hidden_size / self.config.num_heads / 4;
        let angles = layout::vision_angles(&order, grids, self.config.spatial_merge_size, quarter);
        let rotation = Rotation::new(&angles, 2 * quarter);
        let windows = Segment::consecutive(order.windows.iter().copied(), false);
        let frames = grids.iter().flat_map(|&[t, h, w]| std::iter::repeat_n(h * w, t));
        let images = Segment::consecutive(frames, false);
        let mut x = x;
        for (index, block) in self.blocks.iter().enumerate() {
            let whole = self.config.fullatt_block_indexes.contains(&index);
            let (block, rotation) = (block.clone(), rotation.clone());
            let (heads, segments) = (self.config.num_heads, if whole { &images } else { &windows }.clone());
            let forward = move |x: &Tensor| block.forward(x, heads, &rotation, &segments);
            x = if self.recompute && self.in_training { ops::recompute(&x, forward)? } else { forward(&x)? };
        }
        Ok(x)
    }

    /// Windows of the images' patches.
    fn order(&self, grids: &[[usize; 3]]) -> WindowOrder {
        let VisionConfig { window_size, spatial_merge_size: merge, patch_size, .. } = self.config;
        layout::window_order(window_size / merge / patch_size, merge, grids)
    }
}
