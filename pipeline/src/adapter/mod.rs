//! LoRA adapters: their first values, bringing them into the weights, and PEFT's files.
//!
//! In memory the matrices stand among the weights, beside those that they adapt:
//! `model.layers.0.self_attn.q_proj.lora_A.weight` `(rank, inputs)` and `….lora_B.weight` `(outputs, rank)`.
//! `qwen2_5_vl/linear.rs` applies them.

mod peft;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use candle_core::{DType, Tensor};
use qponder_shared::recipe::{Lora, Target};

use crate::degrade::Rng;
use crate::qwen2_5_vl::{Adaptation, Weights};

/// Keeps the first values apart from everything else that is drawn from a recipe's seed.
const STREAM: u64 = 0x6C6F_7261;

/// Why an adapter cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AdapterError {
    #[error("{dir} is no PEFT adapter: it holds no {name}")]
    NoFile { dir: PathBuf, name: &'static str },
    #[error(
        "{dir} holds adapter_model.bin, a pickle, which is never read; save the adapter as safetensors with PEFT's save_pretrained"
    )]
    Pickle { dir: PathBuf },
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path}: {reason}")]
    Config { path: PathBuf, reason: String },
    #[error("{path} is damaged or no safetensors file: {reason}")]
    Damaged { path: PathBuf, reason: String },
    #[error(
        "{path}: {name} is no LoRA matrix of an inner linear layer; adapters of embeddings or heads, DoRA and modules_to_save cannot be used"
    )]
    UnknownTensor { path: PathBuf, name: String },
    #[error("the adapter of {module} lacks its {missing}")]
    Half { module: String, missing: &'static str },
    #[error(
        "the adapter is for {module}, which the base model does not have; name the model that it was trained on"
    )]
    NoModule { module: String },
    #[error(
        "the adapter of {module} has A {a:?} and B {b:?}, but the base model's weight is {weight:?}; name the model that it was trained on"
    )]
    Shape { module: String, a: Vec<usize>, b: Vec<usize>, weight: Vec<usize> },
    #[error("the adapter cannot be applied: {0}")]
    Tensor(#[from] candle_core::Error),
}

/// Low-rank adapters of a model's linear layers.
#[derive(Clone, Debug)]
pub struct Adapter {
    rank: usize,
    alpha: f64,
    dropout: f64,
    /// Whether the scale is alpha / √rank (Kalajdzievski, 2023, "rsLoRA") rather than alpha / rank.
    is_rank_stabilised: bool,
    /// Both matrices of every adapted module.
    tensors: BTreeMap<String, Tensor>,
}

/// Whether a tensor is a matrix of an adapter.
#[must_use]
pub fn is_adapter(name: &str) -> bool {
    name.ends_with(".lora_A.weight") || name.ends_with(".lora_B.weight")
}

/// The matrices of fresh adapters of the targets among `tensors`: A uniform in ±1 / √inputs, which is PEFT's
/// `kaiming_uniform_(a=√5)`, and B zero, so that the model is the base model at first. Each is a function of
/// the seed and its name.
///
/// # Errors
/// When memory cannot be had.
pub fn initial(
    tensors: &BTreeMap<String, Tensor>,
    lora: &Lora,
    seed: u64,
) -> candle_core::Result<BTreeMap<String, Tensor>> {
    let mut adapters = BTreeMap::new();
    for (name, weight) in tensors {
        let Some(module) = name.strip_suffix(".weight") else { continue };
        if !Target::of(module).is_some_and(|target| lora.targets.contains(&target)) {
            continue;
        }
        let (outputs, inputs) = weight.dims2()?;
        let a = format!("{module}.lora_A.weight");
        let mut rng = Rng::named(seed ^ STREAM, &a);
        let bound = 1.0 / (inputs as f32).sqrt();
        let values: Vec<f32> = (0..lora.rank * inputs).map(|_| bound * (2.0 * rng.unit() - 1.0)).collect();
        adapters.insert(a, Tensor::from_vec(values, (lora.rank, inputs), weight.device())?);
        let b = Tensor::zeros((outputs, lora.rank), DType::F32, weight.device())?;
        adapters.insert(format!("{module}.lora_B.weight"), b);
    }
    Ok(adapters)
}

impl Adapter {
    /// The adapters that a run with these settings has trained, from all of its tensors.
    #[must_use]
    pub fn trained(weights: &Weights, lora: &Lora) -> Self {
        let own = weights.tensors().iter().filter(|(name, _)| is_adapter(name));
        Self {
            rank: lora.rank,
            alpha: lora.alpha,
            dropout: lora.dropout,
            is_rank_stabilised: false,
            tensors: own.map(|(name, tensor)| (name.clone(), tensor.clone())).collect(),
        }
    }

    /// What the product of the matrices is multiplied by.
    #[must_use]
    pub fn scale(&self) -> f64 {
        let rank = self.rank as f64;
        self.alpha / if self.is_rank_stabilised { rank.sqrt() } else { rank }
    }

    /// The matrices by name.
    #[must_use]
    pub fn tensors(&self) -> &BTreeMap<String, Tensor> {
        &self.tensors
    }

    /// The adapted modules, such as `model.layers.0.self_attn.q_proj`.
    fn modules(&self) -> BTreeSet<&str> {
        let module = |name: &str| name.len() - ".lora_A.weight".len();
        self.tensors.keys().map(|name| &name[..module(name)]).collect()
    }

    /// The matrices A and B of a module.
    fn matrices(&self, module: &str) -> Result<(&Tensor, &Tensor), AdapterError> {
        let matrix = |missing: &'static str| {
            let found = self.tensors.get(&format!("{module}.{missing}.weight"));
            found.ok_or_else(|| AdapterError::Half { module: module.to_owned(), missing })
        };
        Ok((matrix("lora_A")?, matrix("lora_B")?))
    }

    /// Checks that the base has all adapted modules, in fitting shapes.
    fn check(&self, base: &Weights) -> Result<(), AdapterError> {
        for module in self.modules() {
            let (a, b) = self.matrices(module)?;
            let Some(weight) = base.tensors().get(&format!("{module}.weight")) else {
                return Err(AdapterError::NoModule { module: module.to_owned() });
            };
            let fits = match (a.dims(), b.dims()) {
                (&[rank, inputs], &[outputs, same]) => rank == same && weight.dims() == [outputs, inputs],
                _ => false,
            };
            if !fits {
                let [a, b, weight] = [a, b, weight].map(|tensor| tensor.dims().to_vec());
                return Err(AdapterError::Shape { module: module.to_owned(), a, b, weight });
            }
        }
        Ok(())
    }

    /// The base's weights with the adapters beside them: a model over them applies the adapters.
    ///
    /// # Errors
    /// When the adapter is of another model.
    pub fn over(&self, base: &Weights) -> Result<Weights, AdapterError> {
        self.check(base)?;
        let mut tensors = base.tensors().clone();
        tensors.extend(self.tensors.clone());
        Ok(Weights::new(tensors).adapted(Some(Adaptation { scale: self.scale(), dropout: None })))
    }

    /// The weights of a plain model that answers as the base does with the adapters: `W + scale·B·A`. All
    /// other tensors are shared.
    ///
    /// # Errors
    /// When the adapter is of another model.
    pub fn merge(&self, base: &Weights) -> Result<Weights, AdapterError> {
        self.check(base)?;
        let others = base.tensors().iter().filter(|(name, _)| !is_adapter(name));
        let mut tensors: BTreeMap<_, _> =
            others.map(|(name, tensor)| (name.clone(), tensor.clone())).collect();
        for module in self.modules() {
            let (a, b) = self.matrices(module)?;
            let change = (b.matmul(a)? * self.scale())?;
            if let Some(weight) = tensors.get_mut(&format!("{module}.weight")) {
                *weight = (&*weight + change.to_dtype(weight.dtype())?)?.detach();
            }
        }
        Ok(Weights::new(tensors))
    }
}
