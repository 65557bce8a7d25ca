//! A linear layer with its names, and the low-rank adapter that it may have.

use candle_core::{Result, Tensor};

use super::{LoadError, Weights};
use crate::degrade::Rng;
use crate::ops;

/// How the adapters among some weights are applied.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adaptation {
    /// What the product of an adapter's matrices is multiplied by: alpha / rank.
    pub scale: f64,
    /// While training.
    pub dropout: Option<Dropout>,
}

/// Dropout of what goes into the adapters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// Probability that a number is left out.
    pub rate: f32,
    /// With the layer's name it decides which.
    pub seed: u64,
}

/// `y = x·Wᵀ`, plus a bias where the architecture has one, plus the adapter's share where the weights
/// have one.
pub struct Linear {
    /// `(outputs, inputs)`.
    weight: Tensor,
    bias: Option<Tensor>,
    adapter: Option<LowRank>,
}

/// `scale · (dropout(x)·Aᵀ)·Bᵀ` (Hu et al., 2021, "LoRA").
struct LowRank {
    /// `(rank, inputs)`.
    a: Tensor,
    /// `(outputs, rank)`.
    b: Tensor,
    scale: f64,
    /// Of this layer.
    dropout: Option<Dropout>,
}

impl Linear {
    /// Takes `{name}.weight`, and `{name}.bias` if there is one; and where the weights are adapted,
    /// `{name}.lora_A.weight` and `{name}.lora_B.weight` if they are there.
    ///
    /// # Errors
    /// Names the tensor that is missing or has another shape.
    pub fn load(
        weights: &Weights,
        name: &str,
        (inputs, outputs): (usize, usize),
        has_bias: bool,
    ) -> std::result::Result<Self, LoadError> {
        let weight = weights.get(&format!("{name}.weight"), (outputs, inputs))?;
        let bias = if has_bias { Some(weights.get(&format!("{name}.bias"), outputs)?) } else { None };
        let adapter = LowRank::load(weights, name, (inputs, outputs))?;
        Ok(Self { weight, bias, adapter })
    }

    /// `x` is `(tokens, inputs)`, the result `(tokens, outputs)`.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = ops::linear(x, &self.weight, self.bias.as_ref())?;
        match &self.adapter {
            Some(adapter) => y + adapter.forward(x)?,
            None => Ok(y),
        }
    }
}

impl LowRank {
    fn load(
        weights: &Weights,
        name: &str,
        (inputs, outputs): (usize, usize),
    ) -> std::result::Result<Option<Self>, LoadError> {
        let Some(Adaptation { scale, dropout }) = weights.adaptation() else { return Ok(None) };
        let [a, b] = ["lora_A", "lora_B"].map(|matrix| format!("{name}.{matrix}.weight"));
        let Some(&rank) = weights.tensors().get(&a).and_then(|a| a.dims().first()) else { return Ok(None) };
        let own = |Dropout { rate, seed }| Dropout { rate, seed: Rng::named(seed, name).next_u64() };
        Ok(Some(Self {
            a: weights.get(&a, (rank, inputs))?,
            b: weights.get(&b, (outputs, rank))?,
            scale,
            dropout: dropout.map(own),
        }))
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = match self.dropout {
            Some(Dropout { rate, seed }) => ops::dropout(x, rate, seed)?,
            None => x.clone(),
        };
        let narrow = (ops::linear(&x, &self.a, None)? * self.scale)?;
        ops::linear(&narrow, &self.b, None)
    }
}
