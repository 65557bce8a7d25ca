//! `config.json` of a Qwen2.5-VL checkpoint, in either layout that is found in the wild.
//!
//! transformers 4 wrote the text model's fields at the top level beside `vision_config`;
//! transformers 5 nests them in `text_config` and calls `rope_scaling` `rope_parameters`.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::LoadError;

/// The vision tower.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VisionConfig {
    pub depth: usize,
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub num_heads: usize,
    #[serde(default = "three")]
    pub in_channels: usize,
    pub patch_size: usize,
    #[serde(default = "two")]
    pub spatial_merge_size: usize,
    #[serde(default = "two")]
    pub temporal_patch_size: usize,
    /// Side of an attention window in pixels.
    pub window_size: usize,
    /// Blocks that see the whole image; the others see their window.
    pub fullatt_block_indexes: Vec<usize>,
    /// Width of what the merger hands to the text model.
    pub out_hidden_size: usize,
}

fn two() -> usize {
    2
}

fn three() -> usize {
    3
}

/// The text model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TextConfig {
    pub vocab_size: usize,
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub num_key_value_heads: usize,
    pub rms_norm_eps: f64,
    pub rope_theta: f64,
    /// How many rotation frequencies follow time, height and width.
    pub mrope_section: [usize; 3],
    pub max_position_embeddings: usize,
}

impl TextConfig {
    /// Width of one attention head.
    #[must_use]
    pub fn head_dim(&self) -> usize {
        self.hidden_size / self.num_attention_heads
    }
}

/// The whole model.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub vision: VisionConfig,
    pub text: TextConfig,
    /// Whether the output head is the token embedding.
    pub tie_word_embeddings: bool,
    pub image_token_id: u32,
    pub vision_start_token_id: u32,
    pub vision_end_token_id: u32,
}

/// Refuses settings that change what a part computes and that no published checkpoint has.
fn supported(part: &str, settings: &Value) -> Result<(), String> {
    let activation = settings.get("hidden_act").and_then(Value::as_str).unwrap_or("silu");
    if activation != "silu" {
        return Err(format!("{part}hidden_act is {activation:?}; only \"silu\" is supported"));
    }
    if settings.get("use_sliding_window") == Some(&Value::Bool(true)) {
        return Err(format!("{part}use_sliding_window is true; only full attention is supported"));
    }
    Ok(())
}

impl Config {
    /// Reads `config.json` of a checkpoint directory.
    ///
    /// # Errors
    /// When the file is missing, is no JSON, is of another model, or lacks a field.
    pub fn read(dir: &Path) -> Result<Self, LoadError> {
        let path = dir.join("config.json");
        let text = std::fs::read_to_string(&path)
            .map_err(|source| LoadError::Read { path: path.clone(), source })?;
        Self::parse(&text).map_err(|reason| LoadError::Config { path, reason })
    }

    /// Reads the text of a `config.json`.
    ///
    /// # Errors
    /// Says what is missing or impossible.
    pub fn parse(text: &str) -> Result<Self, String> {
        let json: Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
        let family = json.get("model_type").and_then(Value::as_str).unwrap_or_default();
        if family != "qwen2_5_vl" {
            return Err(format!("model_type is {family:?}; only \"qwen2_5_vl\" can be loaded"));
        }
        let vision = json.get("vision_config").ok_or("vision_config is missing")?;
        let mut vision = vision.clone();
        if let (Some(fields), Some(channels)) =
            (vision.as_object_mut(), json.pointer("/vision_config/in_chans"))
        {
            fields.insert("in_channels".into(), channels.clone());
        }
        supported("vision_config.", &vision)?;
        let vision: VisionConfig =
            serde_json::from_value(vision).map_err(|e| format!("vision_config: {e}"))?;
        let nested = json.get("text_config").filter(|t| t.get("hidden_size").is_some());
        let mut text = nested.unwrap_or(&json).clone();
        supported("", &text)?;
        let rope = ["rope_parameters", "rope_scaling"]
            .iter()
            .find_map(|key| text.get(*key).filter(|v| v.is_object()));
        let rope = rope.cloned().unwrap_or_default();
        let fields = text.as_object_mut().ok_or("the top level is no object")?;
        let section = rope.get("mrope_section").ok_or("mrope_section is missing from rope_parameters")?;
        fields.insert("mrope_section".into(), section.clone());
        if let Some(theta) = rope.get("rope_theta") {
            fields.insert("rope_theta".into(), theta.clone());
        }
        let text: TextConfig = serde_json::from_value(text).map_err(|e| e.to_string())?;
        let tied =
            json.get("tie_word_embeddings").or_else(|| nested.and_then(|t| t.get("tie_word_embeddings")));
        let token = |key: &str| {
            let id = json.get(key).and_then(Value::as_u64).and_then(|id| u32::try_from(id).ok());
            id.ok_or_else(|| format!("{key} is missing"))
        };
        let config = Self {
            vision,
            text,
            tie_word_embeddings: tied.and_then(Value::as_bool).unwrap_or(false),
            image_token_id: token("image_token_id")?,
            vision_start_token_id: token("vision_start_token_id")?,
            vision_end_token_id: token("vision_end_token_id")?,
        };
        config.check()?;
        Ok(config)
    }

    /// Refuses what would later divide by zero or index outside.
    fn check(&self) -> Result<(), String> {
        let Self { vision: v, text: t, .. } = self;
        let sizes = [
            v.depth,
            v.hidden_size,
            v.intermediate_size,
            v.num_heads,
            v.in_channels,
            v.patch_size,
            v.spatial_merge_size,
            v.temporal_patch_size,
            t.vocab_size,
            t.hidden_size,
            t.intermediate_size,
            t.num_hidden_layers,
            t.num_attention_heads,
            t.num_key_value_heads,
        ];
        if sizes.contains(&0) {
            return Err("a size is zero".into());
        }
        if v.hidden_size % v.num_heads != 0 || (v.hidden_size / v.num_heads) % 4 != 0 {
            return Err(format!(
                "vision hidden_size {} must be num_heads {} times a multiple of 4",
                v.hidden_size, v.num_heads
            ));
        }
        if v.window_size < v.patch_size * v.spatial_merge_size {
            return Err(format!("window_size {} holds no merged patch", v.window_size));
        }
        if v.out_hidden_size != t.hidden_size {
            return Err(format!(
                "vision out_hidden_size {} differs from text hidden_size {}",
                v.out_hidden_size, t.hidden_size
            ));
        }
        if t.hidden_size % t.num_attention_heads != 0 || t.num_attention_heads % t.num_key_value_heads != 0 {
            return Err(
                "hidden_size must divide by num_attention_heads, and that by num_key_value_heads".into()
            );
        }
        if 2 * t.mrope_section.iter().sum::<usize>() != t.head_dim() {
            return Err(format!(
                "mrope_section {:?} must sum to half of head_dim {}",
                t.mrope_section,
                t.head_dim()
            ));
        }
        Ok(())
    }

    /// The layout of transformers 4 with the fields that transformers 5 asks for as well: both read it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let Self { vision, text, .. } = self;
        let mut vision = serde_json::json!(vision);
        vision["in_chans"] = vision["in_channels"].clone();
        vision["hidden_act"] = "silu".into();
        vision["model_type"] = "qwen2_5_vl".into();
        vision["tokens_per_second"] = 2.into();
        serde_json::json!({
            "architectures": ["Qwen2_5_VLForConditionalGeneration"],
            "model_type": "qwen2_5_vl",
            "vocab_size": text.vocab_size,
            "hidden_size": text.hidden_size,
            "intermediate_size": text.intermediate_size,
            "num_hidden_layers": text.num_hidden_layers,
            "num_attention_heads": text.num_attention_heads,
            "num_key_value_heads": text.num_key_value_heads,
            "max_position_embeddings": text.max_position_embeddings,
            "rms_norm_eps": text.rms_norm_eps,
            "rope_theta": text.rope_theta,
            "rope_scaling": { "type": "mrope", "mrope_section": text.mrope_section },
            "hidden_act": "silu",
            "attention_dropout": 0.0,
            "initializer_range": 0.02,
            "use_sliding_window": false,
            "use_cache": true,
            "tie_word_embeddings": self.tie_word_embeddings,
            "image_token_id": self.image_token_id,
            "vision_start_token_id": self.vision_start_token_id,
            "vision_end_token_id": self.vision_end_token_id,
            "vision_config": vision,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_what_is_wrong_is_named() {
        let text = include_str!("../nano/config.json");
        let config = Config::parse(text).expect("a valid configuration");
        assert_eq!(Config::parse(&config.to_json().to_string()).as_ref(), Ok(&config));
        let mut other = config.to_json();
        other["model_type"] = "qwen3_vl".into();
        assert!(Config::parse(&other.to_string()).is_err_and(|e| e.contains("qwen3_vl")));
        for (pointer, value) in [
            ("/hidden_act", json!("gelu")),
            ("/vision_config/hidden_act", json!("quick_gelu")),
            ("/use_sliding_window", json!(true)),
        ] {
            let mut other = config.to_json();
            let (table, key) = pointer.rsplit_once('/').expect("a pointer");
            other.pointer_mut(table).expect("a table")[key] = value;
            let named = pointer[1..].replace('/', ".");
            let error = Config::parse(&other.to_string()).expect_err(pointer);
            assert!(error.starts_with(&named), "{error}");
        }
        let mut other = config.to_json();
        other["hidden_size"] = 100.into();
        assert!(Config::parse(&other.to_string()).is_err());
    }
}
