//! A linear layer with its names.

use candle_core::{Result, Tensor};

use super::{LoadError, Weights};
use crate::ops;

/// `y = x·Wᵀ`, plus a bias where the architecture has one.
pub struct Linear {
    /// `(outputs, inputs)`.
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Linear {
    /// Takes `{name}.weight`, and `{name}.bias` if there is one.
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
        Ok(Self { weight, bias })
    }

    /// `x` is `(tokens, inputs)`, the result `(tokens, outputs)`.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        ops::linear(x, &self.weight, self.bias.as_ref())
    }
}
