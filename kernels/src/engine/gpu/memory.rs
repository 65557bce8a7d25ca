//! The static memory plan: every buffer that activations, keys and values need, made once for the largest prompt so
//! far.

use super::device::Card;
use crate::engine::EngineError;
use crate::engine::model::Model;

/// Buffers of the vision tower, for `patches` patches.
#[derive(Debug)]
pub struct Vision {
    /// `(patches, 3 * patch_size * patch_size)`, in window order.
    pub pixels: wgpu::Buffer,
    pub x: wgpu::Buffer,
    pub normed: wgpu::Buffer,
    pub q: wgpu::Buffer,
    pub k: wgpu::Buffer,
    pub v: wgpu::Buffer,
    pub mixed: wgpu::Buffer,
    pub gate: wgpu::Buffer,
    pub up: wgpu::Buffer,
    /// `(patches, half, 2)`: cosines and sines.
    pub turns: wgpu::Buffer,
    /// Which keys each patch sees: its window's, or all.
    pub windows: wgpu::Buffer,
    pub whole: wgpu::Buffer,
    /// `(merged patches, merge² * hidden)`.
    pub merged: wgpu::Buffer,
    /// `(merged patches, text hidden)`.
    pub embedded: wgpu::Buffer,
    /// The token that each merged patch becomes.
    pub places: wgpu::Buffer,
}

/// All buffers but the weights.
#[derive(Debug)]
pub struct Memory {
    /// Patches and tokens that there is room for.
    pub patches: usize,
    pub tokens: usize,
    pub vision: Vision,
    pub x: wgpu::Buffer,
    pub normed: wgpu::Buffer,
    pub q: wgpu::Buffer,
    pub mixed: wgpu::Buffer,
    pub gate: wgpu::Buffer,
    pub up: wgpu::Buffer,
    pub turns: wgpu::Buffer,
    /// Which keys each token sees.
    pub ranges: wgpu::Buffer,
    /// Per layer keys and values, `(tokens, kv_heads, head_dim)` each.
    pub cache: Vec<[wgpu::Buffer; 2]>,
    /// The last token's hidden state.
    pub last: wgpu::Buffer,
    pub last_normed: wgpu::Buffer,
    pub logits: wgpu::Buffer,
    /// The next token.
    pub next: wgpu::Buffer,
    pub readback: wgpu::Buffer,
    /// Tokens in the cache before and after this pass, then how the next token is chosen.
    pub progress: wgpu::Buffer,
}

impl Memory {
    /// Buffers for an image of so many patches, and so many tokens with the answer.
    ///
    /// # Errors
    /// When the card has none that large.
    pub fn new(card: &Card, model: &Model, patches: usize, tokens: usize) -> Result<Self, EngineError> {
        use wgpu::BufferUsages as Usage;
        let (vision, text) = (&model.vision, &model.text);
        let merged = patches / vision.merge.pow(2);
        let per_patch = |width: usize| card.storage(patches * width);
        let per_token = |width: usize| card.storage(tokens * width);
        let kv_width = text.kv_heads * text.head_dim();
        let cache = (0..text.depth).map(|_| Ok([per_token(kv_width)?, per_token(kv_width)?]));
        Ok(Self {
            patches,
            tokens,
            cache: cache.collect::<Result<_, EngineError>>()?,
            vision: Vision {
                pixels: per_patch(model.patch.inputs)?,
                x: per_patch(vision.hidden)?,
                normed: per_patch(vision.hidden)?,
                q: per_patch(vision.hidden)?,
                k: per_patch(vision.hidden)?,
                v: per_patch(vision.hidden)?,
                mixed: per_patch(vision.hidden)?,
                gate: per_patch(vision.intermediate)?,
                up: per_patch(vision.intermediate)?,
                turns: per_patch(vision.hidden / vision.heads)?,
                windows: per_patch(2)?,
                whole: per_patch(2)?,
                merged: per_patch(vision.hidden)?,
                embedded: card.storage(merged * text.hidden)?,
                places: card.storage(merged)?,
            },
            x: per_token(text.hidden)?,
            normed: per_token(text.hidden)?,
            q: per_token(text.hidden)?,
            mixed: per_token(text.hidden)?,
            gate: per_token(text.intermediate)?,
            up: per_token(text.intermediate)?,
            turns: per_token(text.head_dim())?,
            ranges: per_token(2)?,
            last: card.storage(text.hidden)?,
            last_normed: card.storage(text.hidden)?,
            logits: card.storage(text.vocabulary)?,
            next: card.storage(1)?,
            readback: card.buffer(text.vocabulary, Usage::MAP_READ | Usage::COPY_DST)?,
            progress: card.buffer(4, Usage::UNIFORM | Usage::COPY_DST)?,
        })
    }

    /// Whether there is room.
    pub fn holds(&self, patches: usize, tokens: usize) -> bool {
        patches <= self.patches && tokens <= self.tokens
    }
}

/// Cosine and sine of each angle.
pub fn turns(angles: impl IntoIterator<Item = f32>) -> impl Iterator<Item = f32> {
    angles.into_iter().flat_map(|angle| [angle.cos(), angle.sin()])
}
