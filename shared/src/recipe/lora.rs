//! LoRA: low-rank adapters in place of full training.

use serde::{Deserialize, Serialize};

use super::{Part, Rule};

/// Low-rank adaptation (Hu et al., 2021): a frozen linear layer `y = x·Wᵀ + b` gains
/// `alpha / rank · (dropout(x)·Aᵀ)·Bᵀ`, of which only A `(rank, inputs)` and B `(outputs, rank)` are
/// trained.
///
/// With this section everything but the adapters is frozen, whatever `train.parts` would be by default;
/// [`Lora::parts`] names the exceptions. The names and defaults are PEFT's and those that its users choose.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Lora {
    pub rank: usize,
    /// The adapters' share is scaled by this over `rank`.
    pub alpha: f64,
    /// How often a number that goes into an adapter is left out, in training only.
    pub dropout: f64,
    /// Which linear layers are adapted. Their own weights and biases are frozen.
    pub targets: Vec<Target>,
    /// Parts of which everything but the targets is trained fully beside the adapters.
    pub parts: Vec<Part>,
}

impl Default for Lora {
    fn default() -> Self {
        Self { rank: 16, alpha: 32.0, dropout: 0.0, targets: Target::LANGUAGE.to_vec(), parts: Vec::new() }
    }
}

impl Lora {
    /// What the product of the adapter's matrices is multiplied by.
    #[must_use]
    pub fn scale(&self) -> f64 {
        self.alpha / self.rank as f64
    }

    pub(super) fn rules(&self) -> [Rule; 4] {
        [
            Rule::between("lora.rank", self.rank as f64, 1.0, 4096.0),
            Rule::new(
                "lora.alpha",
                self.alpha,
                self.alpha > 0.0 && self.alpha <= 65_536.0,
                "it must be above 0 and at most 65536",
            ),
            Rule::between("lora.dropout", self.dropout, 0.0, 0.9),
            Rule::new(
                "lora.targets",
                self.targets.len() as f64,
                !self.targets.is_empty(),
                "name at least one linear layer, such as q_proj",
            ),
        ]
    }
}

/// The rules of an optional section.
pub(super) fn rules(lora: Option<&Lora>) -> impl Iterator<Item = Rule> + use<> {
    lora.map(Lora::rules).into_iter().flatten()
}

/// The rule that a `[lora]` section and `train.parts` do not contradict each other.
pub(super) fn parts_rule(lora: Option<&Lora>, parts: &[Part], default: &[Part]) -> Rule {
    Rule::new(
        "train.parts",
        parts.len() as f64,
        lora.is_none() || parts == default,
        "with a [lora] section, name the parts that are trained fully in lora.parts instead",
    )
}

/// A linear layer that can be adapted: PEFT's module names, those of the vision tower with `visual.`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    #[serde(rename = "q_proj")]
    Query,
    #[serde(rename = "k_proj")]
    Key,
    #[serde(rename = "v_proj")]
    Value,
    #[serde(rename = "o_proj")]
    Output,
    #[serde(rename = "gate_proj")]
    Gate,
    #[serde(rename = "up_proj")]
    Up,
    #[serde(rename = "down_proj")]
    Down,
    #[serde(rename = "visual.qkv")]
    VisionAttention,
    #[serde(rename = "visual.proj")]
    VisionOutput,
    #[serde(rename = "visual.gate_proj")]
    VisionGate,
    #[serde(rename = "visual.up_proj")]
    VisionUp,
    #[serde(rename = "visual.down_proj")]
    VisionDown,
    /// Both linear layers between the vision tower and the language model.
    #[serde(rename = "merger")]
    Merger,
}

impl Target {
    /// All linear layers of the language model but the head.
    pub const LANGUAGE: [Self; 7] =
        [Self::Query, Self::Key, Self::Value, Self::Output, Self::Gate, Self::Up, Self::Down];

    /// The target that a module belongs to, by its name in published checkpoints, such as
    /// `model.layers.3.self_attn.q_proj` or `visual.merger.mlp.0`.
    #[must_use]
    pub fn of(module: &str) -> Option<Self> {
        if let Some(layer) = module.strip_prefix("visual.merger.") {
            return ["mlp.0", "mlp.2"].contains(&layer).then_some(Self::Merger);
        }
        let layer = |prefix| Some(module.strip_prefix(prefix)?.split_once('.')?.1);
        if let Some(layer) = layer("visual.blocks.") {
            return match layer {
                "attn.qkv" => Some(Self::VisionAttention),
                "attn.proj" => Some(Self::VisionOutput),
                "mlp.gate_proj" => Some(Self::VisionGate),
                "mlp.up_proj" => Some(Self::VisionUp),
                "mlp.down_proj" => Some(Self::VisionDown),
                _ => None,
            };
        }
        match layer("model.layers.")? {
            "self_attn.q_proj" => Some(Self::Query),
            "self_attn.k_proj" => Some(Self::Key),
            "self_attn.v_proj" => Some(Self::Value),
            "self_attn.o_proj" => Some(Self::Output),
            "mlp.gate_proj" => Some(Self::Gate),
            "mlp.up_proj" => Some(Self::Up),
            "mlp.down_proj" => Some(Self::Down),
            _ => None,
        }
    }

    /// The part of the model that it lies in.
    #[must_use]
    pub fn part(self) -> Part {
        match self {
            Self::Merger => Part::Merger,
            target if Self::LANGUAGE.contains(&target) => Part::Language,
            _ => Part::Vision,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_have_their_targets_and_nothing_else_has_one() {
        for (module, name, part) in [
            ("model.layers.11.self_attn.q_proj", "\"q_proj\"", Part::Language),
            ("model.layers.0.mlp.down_proj", "\"down_proj\"", Part::Language),
            ("visual.blocks.3.mlp.down_proj", "\"visual.down_proj\"", Part::Vision),
            ("visual.blocks.3.attn.proj", "\"visual.proj\"", Part::Vision),
            ("visual.merger.mlp.2", "\"merger\"", Part::Merger),
        ] {
            let target = Target::of(module).expect(module);
            assert_eq!(serde_json::to_string(&target).expect("serialises"), name);
            assert_eq!(target.part(), part, "{module}");
        }
        for module in ["lm_head", "model.embed_tokens", "visual.patch_embed.proj", "visual.merger.ln_q"] {
            assert_eq!(Target::of(module), None, "{module}");
        }
    }
}
