//! The vision tower: patches in, one embedding a merged patch out.
//!
//! Follows `Qwen2_5_VisionTransformerPretrainedModel` of transformers. Blocks attend within windows,
//! except those in `fullatt_block_indexes`, which see the whole image. Merged patches are brought
//! into window order before the first block and back after the merger.

use std::sync::Arc;

use candle_core::{DType, Result, Tensor};

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
        let order = window_order(&self.config, grids);
        let mut inverse = vec![0_u32; order.merged.len()];
        for (position, &source) in order.merged.iter().enumerate() {
            inverse[source as usize] = position as u32;
        }
        let merge = self.config.spatial_merge_size.pow(2);
        let (tokens, width) = features.dims2()?;
        let x = ops::rms_norm(features, &self.merger_norm, EPS)?.reshape((tokens / merge, width * merge))?;
        let x = self.merger_down.forward(&ops::gelu(&self.merger_up.forward(&x)?)?)?;
        let inverse = Tensor::from_vec(inverse, tokens / merge, x.device())?;
        x.index_select(&inverse, 0)
    }

    /// What the last block puts out, `(patches, hidden_size)`, in window order within each image.
    ///
    /// # Errors
    /// When the shapes do not fit each other.
    pub fn features(&self, patches: &Tensor, grids: &[[usize; 3]]) -> Result<Tensor> {
        let count: usize = grids.iter().map(|grid| grid.iter().product::<usize>()).sum();
        let order = window_order(&self.config, grids);
        let (width, merge) = (self.config.hidden_size, self.config.spatial_merge_size.pow(2));
        let (rows, length) = patches.dims2()?;
        let is_still = length * self.config.temporal_patch_size == self.patch.elem_count() / width;
        // Equal frames are multiplied by the sum of their weights: half the work of this layer.
        let patch = if is_still { self.patch.sum(2)? } else { self.patch.clone() }.flatten_from(1)?;
        if rows != count || length != patch.dim(1)? {
            candle_core::bail!("patches {:?} do not fit the grids {grids:?}", patches.shape());
        }
        let x = ops::linear(&patches.to_dtype(self.dtype)?, &patch, None)?;
        let device = x.device().clone();
        let merged = Tensor::from_slice(&order.merged, order.merged.len(), &device)?;
        let x =
            x.reshape((count / merge, merge * width))?.index_select(&merged, 0)?.reshape((count, width))?;
        let rotation = self.rotation(&order, grids);
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

    /// Rotation angles: a quarter of a head turns with the row, a quarter with the column.
    fn rotation(&self, order: &WindowOrder, grids: &[[usize; 3]]) -> Rotation {
        let quarter = self.config.hidden_size / self.config.num_heads / 4;
        let frequencies: Vec<f32> =
            (0..quarter).map(|i| 1.0 / 10_000_f32.powf((2 * i) as f32 / (2 * quarter) as f32)).collect();
        let positions = patch_positions(grids, self.config.spatial_merge_size);
        let merge = self.config.spatial_merge_size.pow(2);
        let mut angles = Vec::with_capacity(positions.len() * 2 * quarter);
        for &group in &order.merged {
            for &(row, column) in &positions[group as usize * merge..][..merge] {
                angles.extend(frequencies.iter().map(|f| row as f32 * f));
                angles.extend(frequencies.iter().map(|f| column as f32 * f));
            }
        }
        Rotation::new(&angles, 2 * quarter)
    }
}

/// Row and column of every patch, in the processor's order: merged patches row by row, the patches
/// of one row by row.
fn patch_positions(grids: &[[usize; 3]], merge: usize) -> Vec<(usize, usize)> {
    let mut positions = Vec::new();
    for &[t, h, w] in grids {
        for _ in 0..t {
            for (top, left) in
                (0..h / merge).flat_map(|y| (0..w / merge).map(move |x| (y * merge, x * merge)))
            {
                positions.extend((0..merge).flat_map(|y| (0..merge).map(move |x| (top + y, left + x))));
            }
        }
    }
    positions
}

struct WindowOrder {
    /// For each position in window order, the merged patch that stands there.
    merged: Vec<u32>,
    /// Patches in each window.
    windows: Vec<usize>,
}

/// Cuts each image into windows from the top left; windows at the right and bottom may be smaller.
fn window_order(config: &VisionConfig, grids: &[[usize; 3]]) -> WindowOrder {
    let merge = config.spatial_merge_size;
    let side = config.window_size / merge / config.patch_size;
    let mut order = WindowOrder { merged: Vec::new(), windows: Vec::new() };
    let mut first = 0;
    for &[t, h, w] in grids {
        let (rows, columns) = (h / merge, w / merge);
        for frame in 0..t {
            let start = first + frame * rows * columns;
            for top in (0..rows).step_by(side) {
                for left in (0..columns).step_by(side) {
                    let before = order.merged.len();
                    for y in top..rows.min(top + side) {
                        order.merged.extend(
                            (left..columns.min(left + side)).map(|x| (start + y * columns + x) as u32),
                        );
                    }
                    order.windows.push((order.merged.len() - before) * merge * merge);
                }
            }
        }
        first += t * rows * columns;
    }
    order
}
