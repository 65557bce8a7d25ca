//! Which tensors of a model are in training.

use std::collections::BTreeMap;

use candle_core::{Result, Tensor, Var};

use crate::qwen2_5_vl::Weights;

/// A model's tensors, some of which are variables.
pub struct Parameters {
    /// All of them; those in training share their storage with the variables.
    pub weights: Weights,
    pub variables: BTreeMap<String, Var>,
}

impl Parameters {
    /// Makes variables of the tensors that `trains` accepts by name.
    pub fn new(mut tensors: BTreeMap<String, Tensor>, trains: impl Fn(&str) -> bool) -> Result<Self> {
        let mut variables = BTreeMap::new();
        for (name, tensor) in &mut tensors {
            if trains(name) {
                let variable = Var::from_tensor(tensor)?;
                *tensor = variable.as_tensor().clone();
                variables.insert(name.clone(), variable);
            }
        }
        Ok(Self { weights: Weights::new(tensors), variables })
    }

    /// How many numbers are in training.
    pub fn trained(&self) -> u64 {
        self.variables.values().map(|variable| variable.elem_count() as u64).sum()
    }
}
