//! PEFT's directory of an adapter: `adapter_config.json` and `adapter_model.safetensors`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use qponder_shared::recipe::Target;
use serde::Deserialize;
use serde_json::Value;

use super::{Adapter, AdapterError, is_adapter};
use crate::qwen2_5_vl::published_name;
use crate::save::{self, Precision};
use crate::train::TrainError;

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";
/// What PEFT puts before the names of transformers' modules.
const PREFIX: &str = "base_model.model.";

/// `adapter_config.json`: what decides the numbers, and what must be switched off.
#[derive(Deserialize)]
struct ConfigFile {
    peft_type: String,
    r: usize,
    lora_alpha: f64,
    #[serde(default)]
    lora_dropout: f64,
    #[serde(default)]
    use_rslora: bool,
    #[serde(default)]
    use_dora: bool,
    #[serde(default)]
    fan_in_fan_out: bool,
    #[serde(default)]
    lora_bias: bool,
    #[serde(default)]
    bias: Option<String>,
    #[serde(default)]
    rank_pattern: Option<BTreeMap<String, Value>>,
    #[serde(default)]
    alpha_pattern: Option<BTreeMap<String, Value>>,
    #[serde(default)]
    layer_replication: Option<Value>,
    #[serde(default)]
    init_lora_weights: Value,
}

impl ConfigFile {
    /// What is set that would need other arithmetic or another base.
    fn unsupported(&self) -> Option<&'static str> {
        let is_set = |pattern: &Option<BTreeMap<_, _>>| pattern.as_ref().is_some_and(|p| !p.is_empty());
        // The other ways to begin (PiSSA, OLoRA, CorDA, LoftQ) change the base's weights.
        let keeps_base = match &self.init_lora_weights {
            Value::String(name) => ["gaussian", "orthogonal", "eva"].contains(&name.as_str()),
            _ => true,
        };
        let settings = [
            (self.peft_type != "LORA", "peft_type must be LORA"),
            (self.r == 0, "r must be at least 1"),
            (!self.lora_alpha.is_finite(), "lora_alpha must be a number"),
            (self.use_dora, "use_dora is not supported"),
            (self.fan_in_fan_out, "fan_in_fan_out is not supported"),
            (self.lora_bias, "lora_bias is not supported"),
            (self.bias.as_ref().is_some_and(|bias| bias != "none"), "bias must be \"none\""),
            (is_set(&self.rank_pattern), "rank_pattern is not supported"),
            (is_set(&self.alpha_pattern), "alpha_pattern is not supported"),
            (
                self.layer_replication.as_ref().is_some_and(|r| !r.is_null()),
                "layer_replication is not supported",
            ),
            (
                !keeps_base,
                "init_lora_weights changed the base's weights; convert the adapter to a plain one first",
            ),
        ];
        settings.into_iter().find(|(is_wrong, _)| *is_wrong).map(|(_, reason)| reason)
    }
}

/// A module's name in transformers' memory, from the one of published checkpoints.
fn module_name(published: &str) -> String {
    match published.strip_prefix("model.") {
        Some(rest) => format!("model.language_model.{rest}"),
        None => format!("model.{published}"),
    }
}

/// A regular expression, as PEFT matches it against whole names, for the modules of all layers.
fn target_modules(modules: &BTreeSet<&str>) -> String {
    let pattern = |module: &&str| {
        let name = module_name(module);
        let is_layer = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let is_merger = name.contains(".merger.");
        let parts = name.split('.').map(|part| if is_layer(part) && !is_merger { r"\d+" } else { part });
        parts.collect::<Vec<_>>().join(r"\.")
    };
    let patterns: BTreeSet<String> = modules.iter().map(pattern).collect();
    patterns.into_iter().collect::<Vec<_>>().join("|")
}

impl Adapter {
    /// Reads an adapter that PEFT or we saved.
    ///
    /// # Errors
    /// When a file is missing or damaged, or the adapter is of a kind that cannot be used.
    pub fn read(dir: &Path) -> Result<Self, AdapterError> {
        let path = dir.join(CONFIG);
        let no_file = |name| AdapterError::NoFile { dir: dir.to_owned(), name };
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(no_file(CONFIG)),
            other => other.map_err(|source| AdapterError::Read { path: path.clone(), source })?,
        };
        let wrong = |reason: String| AdapterError::Config { path: path.clone(), reason };
        let config: ConfigFile = serde_json::from_str(&text).map_err(|e| wrong(e.to_string()))?;
        if let Some(reason) = config.unsupported() {
            return Err(wrong(reason.to_owned()));
        }
        let path = dir.join(WEIGHTS);
        if !path.is_file() {
            let has_pickle = dir.join("adapter_model.bin").is_file();
            return Err(if has_pickle {
                AdapterError::Pickle { dir: dir.to_owned() }
            } else {
                no_file(WEIGHTS)
            });
        }
        let damaged =
            |e: candle_core::Error| AdapterError::Damaged { path: path.clone(), reason: e.to_string() };
        let mut tensors: BTreeMap<String, Tensor> = BTreeMap::new();
        for (saved, tensor) in candle_core::safetensors::load(&path, &Device::Cpu).map_err(damaged)? {
            let name = published_name(saved.strip_prefix(PREFIX).unwrap_or(&saved));
            let module = name.strip_suffix(".lora_A.weight").or(name.strip_suffix(".lora_B.weight"));
            if module.and_then(Target::of).is_none() {
                return Err(AdapterError::UnknownTensor { path, name: saved });
            }
            tensors.insert(name, tensor.to_dtype(DType::F32).map_err(damaged)?);
        }
        if tensors.is_empty() {
            return Err(AdapterError::Damaged { path, reason: "it holds no matrices".into() });
        }
        let adapter = Self {
            rank: config.r,
            alpha: config.lora_alpha,
            dropout: config.lora_dropout,
            is_rank_stabilised: config.use_rslora,
            tensors,
        };
        for module in adapter.modules() {
            let (a, _) = adapter.matrices(module)?;
            if a.dims().first() != Some(&adapter.rank) {
                let reason = format!("r is {}, but A of {module} is {:?}", adapter.rank, a.dims());
                return Err(AdapterError::Config { path: dir.join(CONFIG), reason });
            }
        }
        Ok(adapter)
    }

    /// Writes a directory that `PeftModel.from_pretrained` loads over the base of the given name.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write(&self, dir: &Path, base: &str) -> Result<(), TrainError> {
        let mut named = BTreeMap::new();
        for (name, tensor) in self.tensors.iter().filter(|(name, _)| is_adapter(name)) {
            named.insert(format!("{PREFIX}{}", module_name(name)), tensor.clone());
        }
        save::write_tensors(&dir.join(WEIGHTS), &named.iter().collect(), Precision::F32)?;
        let config = serde_json::json!({
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "base_model_name_or_path": base,
            "r": self.rank,
            "lora_alpha": self.alpha,
            "lora_dropout": self.dropout,
            "use_rslora": self.is_rank_stabilised,
            "target_modules": target_modules(&self.modules()),
            "bias": "none",
            "fan_in_fan_out": false,
            "inference_mode": true,
            "init_lora_weights": true,
            "use_dora": false,
        });
        save::write_json(&dir.join(CONFIG), &config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_a_pattern_over_whole_names() {
        let modules = [
            "model.layers.0.mlp.up_proj",
            "model.layers.11.mlp.up_proj",
            "visual.blocks.3.attn.qkv",
            "visual.merger.mlp.0",
            "visual.merger.mlp.2",
        ];
        let expected = r"model\.language_model\.layers\.\d+\.mlp\.up_proj|model\.visual\.blocks\.\d+\.attn\.qkv|model\.visual\.merger\.mlp\.0|model\.visual\.merger\.mlp\.2";
        assert_eq!(target_modules(&modules.into()), expected);
    }
}
