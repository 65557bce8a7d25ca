//! The language model: M-RoPE, grouped-query attention, SwiGLU, tied or untied head.

use std::sync::Arc;

use candle_core::{DType, Device, Result, Tensor};
use qponder_kernels::layout::{self, Position};

use super::config::TextConfig;
use super::layer::Layer;
use super::sequences::Sequences;
use super::{LoadError, Weights};
use crate::ops::{self, Rotation, Segment};

/// Keys and values of a batch of sequences, with room for their answers.
pub struct KvCache {
    /// Per layer, keys and values `(sequences * capacity, kv_heads, head_dim)`.
    layers: Vec<(Tensor, Tensor)>,
    capacity: usize,
    /// Tokens held of each sequence.
    lengths: Vec<usize>,
}

impl KvCache {
    /// An empty cache for `sequences` sequences of at most `capacity` tokens each.
    ///
    /// # Errors
    /// When the memory cannot be had.
    pub fn new(
        config: &TextConfig,
        sequences: usize,
        capacity: usize,
        dtype: DType,
        device: &Device,
    ) -> Result<Self> {
        let shape = (sequences * capacity, config.num_key_value_heads, config.head_dim());
        let zeros = || Tensor::zeros(shape, dtype, device);
        let layers =
            (0..config.num_hidden_layers).map(|_| Ok((zeros()?, zeros()?))).collect::<Result<_>>()?;
        Ok(Self { layers, capacity, lengths: vec![0; sequences] })
    }

    /// Gives a sequence that holds nothing yet all that another one holds.
    ///
    /// # Errors
    /// When there is no such sequence.
    pub fn copy(&mut self, from: usize, to: usize) -> Result<()> {
        let length = self.lengths[from];
        for (keys, values) in &self.layers {
            for tensor in [keys, values] {
                let rows = tensor.narrow(0, from * self.capacity, length)?.force_contiguous()?;
                tensor.slice_set(&rows, 0, to * self.capacity)?;
            }
        }
        self.lengths[to] = length;
        Ok(())
    }
}

/// Which sequences of a cache the tokens of a forward pass continue, and by how many tokens each.
#[derive(Clone, Debug)]
pub struct Continuation {
    /// Indices into the cache, each with the number of new tokens; the tokens lie in this order.
    pub sequences: Vec<(usize, usize)>,
}

/// The language model.
pub struct TextModel {
    config: TextConfig,
    embedding: Tensor,
    layers: Vec<Arc<Layer>>,
    norm: Tensor,
    head: Tensor,
    /// What activations are computed in.
    pub(super) dtype: DType,
    /// Whether the backward pass of training makes the layers' graphs again instead of keeping them.
    pub(super) recompute: bool,
}

impl TextModel {
    /// Takes the model's weights; a tied head is the embedding itself.
    ///
    /// # Errors
    /// Names the first tensor that is missing or has another shape.
    pub fn load(weights: &Weights, config: &TextConfig, tied: bool) -> std::result::Result<Self, LoadError> {
        let shape = (config.vocab_size, config.hidden_size);
        let embedding = weights.get("model.embed_tokens.weight", shape)?;
        let layers = (0..config.num_hidden_layers).map(|i| Layer::load(weights, i, config).map(Arc::new));
        Ok(Self {
            layers: layers.collect::<std::result::Result<_, _>>()?,
            norm: weights.get("model.norm.weight", config.hidden_size)?,
            head: if tied { embedding.clone() } else { weights.get("lm_head.weight", shape)? },
            dtype: embedding.dtype(),
            embedding,
            config: config.clone(),
            recompute: false,
        })
    }

    /// Embeds token ids; the result is `(tokens, hidden_size)`.
    ///
    /// # Errors
    /// When an id is outside the vocabulary.
    pub fn embed(&self, ids: &[u32]) -> Result<Tensor> {
        ops::rows(&self.embedding, ids)?.to_dtype(self.dtype)
    }

    /// The head's weights `(vocab_size, hidden_size)`; a tied head's are the embedding.
    #[must_use]
    pub fn head(&self) -> Tensor {
        self.head.clone()
    }

    /// Logits of hidden states `(tokens, hidden_size)`: `(tokens, vocab_size)`.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn logits(&self, hidden: &Tensor) -> Result<Tensor> {
        ops::linear(hidden, &self.head, None)
    }

    /// Hidden states after the last norm, `(tokens, hidden_size)`, of packed sequences. Nothing is kept;
    /// this is what training runs.
    ///
    /// # Errors
    /// When the shapes do not fit each other.
    pub fn forward(
        &self,
        embeddings: &Tensor,
        positions: &[Position],
        sequences: &Sequences,
    ) -> Result<Tensor> {
        let rotation = self.rotation(embeddings, positions)?;
        let mut x = embeddings.clone();
        for layer in &self.layers {
            let (layer, rotation, sequences) = (layer.clone(), rotation.clone(), sequences.clone());
            let forward = move |x: &Tensor| layer.forward(x, &rotation, |k, v| sequences.seen(k, v));
            x = if self.recompute { ops::recompute(&x, forward)? } else { forward(&x)? };
        }
        ops::rms_norm(&x, &self.norm, self.config.rms_norm_eps)
    }

    /// As [`Self::forward`], but the tokens continue sequences of a cache, which grows by them.
    ///
    /// # Errors
    /// When the shapes do not fit each other or the cache is full.
    pub fn forward_cached(
        &self,
        embeddings: &Tensor,
        positions: &[Position],
        continuation: &Continuation,
        cache: &mut KvCache,
    ) -> Result<Tensor> {
        let mut segments = Vec::with_capacity(continuation.sequences.len());
        let mut start = 0;
        for &(sequence, new) in &continuation.sequences {
            let (before, base) = (cache.lengths[sequence], sequence * cache.capacity);
            if before + new > cache.capacity {
                candle_core::bail!("cache of {} tokens cannot take {new} after {before}", cache.capacity);
            }
            segments.push(Segment {
                queries: start..start + new,
                keys: base..base + before + new,
                causal: true,
            });
            start += new;
        }
        let segments: Arc<[Segment]> = segments.into();
        let rotation = self.rotation(embeddings, positions)?;
        let mut x = embeddings.clone();
        for (layer, (all_k, all_v)) in self.layers.iter().zip(&cache.layers) {
            x = layer.forward(&x, &rotation, |k, v| {
                for (segment, &(_, new)) in segments.iter().zip(&continuation.sequences) {
                    let rows = segment.queries.start;
                    all_k.slice_set(&k.narrow(0, rows, new)?.contiguous()?, 0, segment.keys.end - new)?;
                    all_v.slice_set(&v.narrow(0, rows, new)?.contiguous()?, 0, segment.keys.end - new)?;
                }
                Ok((all_k.clone(), all_v.clone(), segments.clone()))
            })?;
        }
        for &(sequence, new) in &continuation.sequences {
            cache.lengths[sequence] += new;
        }
        ops::rms_norm(&x, &self.norm, self.config.rms_norm_eps)
    }

    /// Rotation angles: the first frequencies follow time, the next height, the last width.
    fn rotation(&self, embeddings: &Tensor, positions: &[Position]) -> Result<Rotation> {
        let tokens = embeddings.dim(0)?;
        if tokens != positions.len() {
            candle_core::bail!("{} positions for {tokens} tokens", positions.len());
        }
        let half = self.config.head_dim() / 2;
        let TextConfig { mrope_section, rope_theta, .. } = self.config;
        Ok(Rotation::new(&layout::text_angles(positions, mrope_section, half, rope_theta as f32), half))
    }
}
