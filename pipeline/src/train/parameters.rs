//! Which tensors of a model are in training.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Device, Result, Tensor, Var};
use qponder_shared::recipe::{Lora, Part, Precision, Target};

use super::TrainError;
use super::learner::part;
use crate::adapter::{Adapter, is_adapter};
use crate::qwen2_5_vl::{Adaptation, Config, Weights};
use crate::save::{self, Layout};

/// A model's tensors, some of which are variables.
pub struct Parameters {
    /// All of them, with adapters switched on; those in training share their storage with the variables.
    pub weights: Weights,
    pub variables: BTreeMap<String, Var>,
}

/// Whether a recipe trains a tensor: one of its parts, or with adapters these, the pooled heads, and of
/// the parts that `lora` names all but the adapted modules.
pub fn trains(name: &str, parts: &[Part], lora: Option<&Lora>) -> bool {
    let Some(lora) = lora else { return parts.contains(&part(name)) };
    let module = name.rsplit_once('.').map_or(name, |(module, _)| module);
    let is_target = Target::of(module).is_some_and(|target| lora.targets.contains(&target));
    is_adapter(name) || name.starts_with("heads.") || (lora.parts.contains(&part(name)) && !is_target)
}

impl Parameters {
    /// Brings the tensors to a device and makes f32 variables of those that `trains` accepts by name; the
    /// others become `dtype`. The adapters among the tensors are those of `lora`.
    pub fn new(
        mut tensors: BTreeMap<String, Tensor>,
        device: &Device,
        dtype: DType,
        lora: Option<&Lora>,
        trains: impl Fn(&str) -> bool,
    ) -> Result<Self> {
        let mut variables = BTreeMap::new();
        for (name, tensor) in &mut tensors {
            if trains(name) {
                let variable = Var::from_tensor(&tensor.to_dtype(DType::F32)?.to_device(device)?)?;
                *tensor = variable.as_tensor().clone();
                variables.insert(name.clone(), variable);
            } else {
                *tensor = tensor.to_dtype(dtype)?.to_device(device)?;
            }
        }
        let adaptation = lora.map(|lora| Adaptation { scale: lora.scale(), dropout: None });
        Ok(Self { weights: Weights::new(tensors).adapted(adaptation), variables })
    }

    /// The same tensors, and always the same numbers, without a graph: what samples and validates with them
    /// keeps nothing for a backward pass that never comes.
    pub fn without_graph(&self) -> Weights {
        let detached = self.weights.tensors().iter().map(|(name, tensor)| (name.clone(), tensor.detach()));
        Weights::new(detached.collect()).adapted(self.weights.adaptation())
    }

    /// The weights as `base` has them, before anything was trained: what does not change is shared.
    pub fn before(&self, base: &Weights, device: &Device, dtype: DType) -> Result<Weights> {
        let own = |(name, tensor): (&String, &Tensor)| {
            let before = match self.weights.tensors().get(name) {
                Some(shared) if !self.variables.contains_key(name) => shared.detach(),
                _ => tensor.to_dtype(dtype)?.to_device(device)?,
            };
            Ok((name.clone(), before))
        };
        base.tensors().iter().map(own).collect::<Result<_>>().map(Weights::new)
    }

    /// How many numbers are in training.
    pub fn trained(&self) -> u64 {
        self.variables.values().map(|variable| variable.elem_count() as u64).sum()
    }
}

/// Saves a finished run's model into `out`. Adapters are merged into it; where nothing else was trained,
/// `out/adapter` gets them for PEFT as well. Numbers are stored as f16, or as bf16 where that was computed in.
pub fn save(
    out: &Path,
    config: &Config,
    weights: &Weights,
    base: Option<&Path>,
    lora: Option<&Lora>,
    precision: Precision,
) -> std::result::Result<(), TrainError> {
    let stored = match precision {
        Precision::F32 => save::Precision::F16,
        Precision::Bf16 => save::Precision::Bf16,
    };
    let layout = Layout { precision: stored, ..Layout::default() };
    let Some(lora) = lora else { return save::model(out, config, weights, base, layout) };
    let adapter = Adapter::trained(weights, lora);
    if lora.parts.is_empty() {
        let base = base.unwrap_or(Path::new("")).to_string_lossy();
        adapter.write(&out.join("adapter"), &base)?;
    }
    save::model(out, config, &adapter.merge(weights)?, base, layout)
}
