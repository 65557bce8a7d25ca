//! Dropout of adapters: each micro-batch sees a model with a mask of its own.

use qponder_shared::recipe::Lora;

use crate::degrade::Rng;
use crate::qwen2_5_vl::{Adaptation, Dropout, LoadError, Qwen2_5Vl, Weights};

/// Keeps the masks apart from everything else that is drawn from a recipe's seed.
const STREAM: u64 = 0x6472_6F70;

/// Makes the models that micro-batches are trained with. They share all weights, so one costs next to
/// nothing; rollouts and validation use the model without dropout.
pub struct AdapterDropout {
    /// The model without dropout, over the same weights.
    model: Qwen2_5Vl,
    weights: Weights,
    scale: f64,
    rate: f32,
    seed: u64,
}

impl AdapterDropout {
    /// `None` where nothing is dropped.
    ///
    /// # Errors
    /// When the weights are not those of the model.
    pub fn new(
        model: &Qwen2_5Vl,
        weights: &Weights,
        lora: Option<&Lora>,
        seed: u64,
    ) -> Result<Option<Self>, LoadError> {
        let Some(lora) = lora.filter(|lora| lora.dropout > 0.0) else { return Ok(None) };
        let (scale, rate) = (lora.scale(), lora.dropout as f32);
        Ok(Some(Self { model: model.over(weights)?, weights: weights.clone(), scale, rate, seed }))
    }

    /// The model of a micro-batch. Its masks are a function of the recipe's seed, the number and the
    /// layer's name alone, so that a resumed run drops the same.
    pub fn model(&self, micro_batch: u64) -> Result<Qwen2_5Vl, LoadError> {
        let seed = Rng::new(self.seed ^ STREAM, micro_batch).next_u64();
        let dropout = Some(Dropout { rate: self.rate, seed });
        let weights = self.weights.clone().adapted(Some(Adaptation { scale: self.scale, dropout }));
        self.model.over(&weights)
    }
}
