//! One layer of the language model: grouped-query attention and SwiGLU.

use std::sync::Arc;

use candle_core::{Result, Tensor};

use super::config::TextConfig;
use super::linear::Linear;
use super::{LoadError, Weights};
use crate::ops::{self, Rotation, Segment};

/// The weights of a layer.
pub struct Layer {
    input_norm: Tensor,
    post_norm: Tensor,
    q: Linear,
    k: Linear,
    v: Linear,
    o: Linear,
    gate: Linear,
    up: Linear,
    down: Linear,
    /// Query heads, key and value heads, and their width.
    heads: (usize, usize, usize),
    eps: f64,
}

impl Layer {
    /// Takes the weights of the layer `index`.
    ///
    /// # Errors
    /// Names the first tensor that is missing or has another shape.
    pub fn load(
        weights: &Weights,
        index: usize,
        config: &TextConfig,
    ) -> std::result::Result<Self, LoadError> {
        let (width, inner) = (config.hidden_size, config.intermediate_size);
        let kv_width = config.num_key_value_heads * config.head_dim();
        let linear = |part: &str, size, has_bias| {
            Linear::load(weights, &format!("model.layers.{index}.{part}"), size, has_bias)
        };
        let norm = |part: &str| weights.get(&format!("model.layers.{index}.{part}.weight"), width);
        Ok(Self {
            input_norm: norm("input_layernorm")?,
            post_norm: norm("post_attention_layernorm")?,
            q: linear("self_attn.q_proj", (width, width), true)?,
            k: linear("self_attn.k_proj", (width, kv_width), true)?,
            v: linear("self_attn.v_proj", (width, kv_width), true)?,
            o: linear("self_attn.o_proj", (width, width), false)?,
            gate: linear("mlp.gate_proj", (width, inner), false)?,
            up: linear("mlp.up_proj", (width, inner), false)?,
            down: linear("mlp.down_proj", (inner, width), false)?,
            heads: (config.num_attention_heads, config.num_key_value_heads, config.head_dim()),
            eps: config.rms_norm_eps,
        })
    }

    /// `x` is `(tokens, hidden_size)`, and so is the result. `seen` gets the new keys and values
    /// `(tokens, kv_heads, head_dim)` and gives all that the queries may see, with the segments that say
    /// which of them.
    ///
    /// # Errors
    /// When the shapes do not fit each other.
    pub fn forward(
        &self,
        x: &Tensor,
        rotation: &Rotation,
        seen: impl FnOnce(Tensor, Tensor) -> Result<(Tensor, Tensor, Arc<[Segment]>)>,
    ) -> Result<Tensor> {
        let (tokens, width) = x.dims2()?;
        let (heads, kv_heads, head_dim) = self.heads;
        let h = ops::rms_norm(x, &self.input_norm, self.eps)?;
        let project = |linear: &Linear, heads| linear.forward(&h)?.reshape((tokens, heads, head_dim));
        let q = ops::rope(&project(&self.q, heads)?, rotation)?;
        let k = ops::rope(&project(&self.k, kv_heads)?, rotation)?;
        let (k, v, segments) = seen(k, project(&self.v, kv_heads)?)?;
        let mixed = ops::attention(&q, &k, &v, &segments)?.reshape((tokens, width))?;
        let x = (x + self.o.forward(&mixed)?)?;
        let h = ops::rms_norm(&x, &self.post_norm, self.eps)?;
        let h = ops::swiglu(&self.gate.forward(&h)?, &self.up.forward(&h)?)?;
        x + self.down.forward(&h)?
    }
}
