//! How much memory a training will need, said before any of it is taken.
//!
//! The estimate counts what our own code keeps: weights, gradients, moments, and for every thread
//! the graph of one micro-batch at its longest, for images of the largest size that the processor lets
//! through. Left out are the program, the manifests' rows, and what a backward pass holds for a moment:
//! the peaks of nano's four kinds of run (VmHWM, whole photographs) were 0.8 to 1.2 times the estimate.

use std::path::Path;

use qponder_kernels::pixels::PatchConfig;
use qponder_shared::recipe::{GrpoRecipe, Lora, Objective, Optimiser, Part, Precision, SftRecipe, Target};
use serde::Serialize;

use crate::device::Place;
use crate::nano;
use crate::processor::Processor;
use crate::qwen2_5_vl::{Config, LoadError};
use crate::train::grpo::rollout::PATCHES_TOGETHER;

/// Bytes of a number in training: weights that change, gradients, moments, logits.
const NUMBER: u64 = 4;
/// Tokens of our prompts without the image.
const PROMPT: u64 = 80;
/// Tokens of a teacher's answer, generously.
const ANSWER: u64 = 160;
/// Tokens of a level word with the one that ends it, generously.
const LEVEL: u64 = 4;

/// Bytes that a training needs, by what they hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Estimate {
    pub weights: u64,
    /// The frozen policy of a KL term, as far as it is no part of `weights`.
    pub reference: u64,
    /// The sum, and one more for each thread.
    pub gradients: u64,
    pub moments: u64,
    /// What the graphs of all threads keep for the backward pass.
    pub activations: u64,
    /// Logits and their gradients.
    pub logits: u64,
    /// Keys and values while answers are sampled.
    pub cache: u64,
}

impl Estimate {
    /// All of it: what is sampled is gone before the gradients are there.
    #[must_use]
    pub fn total(&self) -> u64 {
        let learning = self.gradients + self.activations + self.logits;
        self.weights + self.reference + self.moments + learning.max(self.cache)
    }

    /// Names and bytes for people to read.
    #[must_use]
    pub fn named(&self) -> [(&'static str, u64); 7] {
        [
            ("weights", self.weights),
            ("frozen policy", self.reference),
            ("gradients", self.gradients),
            ("moments", self.moments),
            ("activations", self.activations),
            ("logits", self.logits),
            ("key-value cache", self.cache),
        ]
    }

    /// What the cold start of a recipe needs on a device.
    ///
    /// # Errors
    /// When the base model's configuration cannot be read.
    pub fn sft(recipe: &SftRecipe, place: Place) -> Result<Self, LoadError> {
        let shape = Shape::of(&recipe.base)?;
        let train = &recipe.train;
        let trained = shape.trained(&train.parts, recipe.lora.as_ref());
        let image = shape.image_tokens;
        // Prompt and image are shared by the reasoning and the level word, as far as they are alike.
        let (tokens, predicted) = match train.objective {
            Objective::Answer => (image + 2 * PROMPT + ANSWER, ANSWER),
            Objective::Quick => (image + PROMPT + LEVEL, LEVEL),
            Objective::Tower => (0, 0),
        };
        let batch = train.micro_batch as u64;
        Ok(shape.estimate(&Demand {
            trained,
            optimiser: train.optimiser,
            threads: threads(train.threads, place).min(train.batch.div_ceil(train.micro_batch) as u64),
            patches: batch * shape.patches(),
            tokens: batch * tokens,
            predicted: batch * predicted,
            head_tokens: train.head_tokens as u64,
            recompute: train.recompute,
            precision: train.precision,
            reference: 0,
            cached: 0,
        }))
    }

    /// What GRPO needs with a recipe on a device.
    ///
    /// # Errors
    /// When the base model's configuration cannot be read.
    pub fn grpo(recipe: &GrpoRecipe, place: Place) -> Result<Self, LoadError> {
        let shape = Shape::of(&recipe.base)?;
        let train = &recipe.train;
        let trained = shape.trained(&train.parts, recipe.lora.as_ref());
        let (group, answer) = (recipe.rollout.group as u64, recipe.rollout.max_new_tokens as u64);
        let prompt = shape.image_tokens + PROMPT;
        let together = match place {
            Place::Cpu => 1,
            Place::Cuda(_) => (PATCHES_TOGETHER as u64 / shape.patches()).clamp(1, train.images as u64),
        };
        Ok(shape.estimate(&Demand {
            trained,
            optimiser: train.optimiser,
            threads: threads(train.threads, place).min(train.images as u64),
            patches: shape.patches(),
            tokens: prompt + group * answer,
            predicted: group * answer,
            head_tokens: train.head_tokens as u64,
            recompute: train.recompute,
            precision: train.precision,
            // Adapters are switched off for the frozen policy.
            reference: if train.beta > 0.0 { trained - shape.adapters(recipe.lora.as_ref()) } else { 0 },
            cached: together * group * (prompt + answer),
        }))
    }
}

/// Micro-batches that are learned from at once: a GPU takes one at a time.
fn threads(asked: usize, place: Place) -> u64 {
    let all = || std::thread::available_parallelism().map_or(1, usize::from);
    match (place, asked) {
        (Place::Cuda(_), _) => 1,
        (Place::Cpu, 0) => all() as u64,
        (Place::Cpu, asked) => asked as u64,
    }
}

/// What a training asks for; tokens and patches are those of a micro-batch.
struct Demand {
    /// Numbers in training.
    trained: u64,
    optimiser: Optimiser,
    threads: u64,
    patches: u64,
    tokens: u64,
    /// Tokens with a loss.
    predicted: u64,
    head_tokens: u64,
    recompute: bool,
    precision: Precision,
    /// Numbers that the frozen policy holds for itself.
    reference: u64,
    /// Tokens whose keys and values are held.
    cached: u64,
}

/// The sizes of a model that memory depends on.
struct Shape {
    config: Config,
    /// Of the largest image.
    image_tokens: u64,
}

impl Shape {
    fn of(base: &str) -> Result<Self, LoadError> {
        let (config, patches) = if base == SftRecipe::NANO_INIT {
            let (config, processor) = nano::processor()?;
            (config, processor.patches().clone())
        } else {
            let config = Config::read(Path::new(base))?;
            let patches = Processor::read(Path::new(base), &config)?.patches().clone();
            (config, patches)
        };
        let PatchConfig { max_pixels, .. } = patches;
        let side = (patches.factor() * patches.factor()).max(1);
        Ok(Self { image_tokens: (max_pixels / side) as u64, config })
    }

    fn patches(&self) -> u64 {
        self.image_tokens * (self.config.vision.spatial_merge_size as u64).pow(2)
    }

    /// Numbers in the tower, the merger, and the language model with its embeddings.
    fn parameters(&self) -> [u64; 3] {
        let (v, t) = (&self.config.vision, &self.config.text);
        let (width, inner) = (v.hidden_size as u64, v.intermediate_size as u64);
        let patch = (v.in_channels * v.temporal_patch_size * v.patch_size.pow(2)) as u64 * width;
        let block = 4 * width * width + 4 * width + 3 * width * inner + 2 * inner + width + 2 * width;
        let merged = width * (v.spatial_merge_size as u64).pow(2);
        let merger = merged * merged + merged + (merged + 1) * v.out_hidden_size as u64 + width;
        let (hidden, mlp, vocabulary) =
            (t.hidden_size as u64, t.intermediate_size as u64, t.vocab_size as u64);
        let kv = self.kv_width();
        let layer = 2 * hidden * hidden + 2 * hidden * kv + hidden + 2 * kv + 3 * hidden * mlp + 2 * hidden;
        let embeddings = vocabulary * hidden * if self.config.tie_word_embeddings { 1 } else { 2 };
        let language = t.num_hidden_layers as u64 * layer + embeddings + hidden;
        [patch + v.depth as u64 * block, merger, language]
    }

    fn kv_width(&self) -> u64 {
        (self.config.text.num_key_value_heads * self.config.text.head_dim()) as u64
    }

    fn trained(&self, parts: &[Part], lora: Option<&Lora>) -> u64 {
        let parts = lora.map_or(parts, |lora| &lora.parts);
        let [vision, merger, language] = self.parameters();
        let whole = [(Part::Vision, vision), (Part::Merger, merger), (Part::Language, language)];
        let full: u64 = whole.iter().filter(|(part, _)| parts.contains(part)).map(|(_, count)| count).sum();
        full + self.adapters(lora)
    }

    /// Numbers in adapters.
    fn adapters(&self, lora: Option<&Lora>) -> u64 {
        lora.map_or(0, |lora| {
            lora.rank as u64 * lora.targets.iter().map(|target| self.adapted(*target)).sum::<u64>()
        })
    }

    /// Inputs and outputs of all layers of a target: what a rank costs.
    fn adapted(&self, target: Target) -> u64 {
        let (v, t) = (&self.config.vision, &self.config.text);
        let (hidden, mlp, layers) =
            (t.hidden_size as u64, t.intermediate_size as u64, t.num_hidden_layers as u64);
        let (width, inner, blocks) = (v.hidden_size as u64, v.intermediate_size as u64, v.depth as u64);
        match target {
            Target::Query | Target::Output => layers * 2 * hidden,
            Target::Key | Target::Value => layers * (hidden + self.kv_width()),
            Target::Gate | Target::Up | Target::Down => layers * (hidden + mlp),
            Target::VisionAttention => blocks * 4 * width,
            Target::VisionOutput => blocks * 2 * width,
            Target::VisionGate | Target::VisionUp | Target::VisionDown => blocks * (width + inner),
            Target::Merger => {
                let merged = width * (v.spatial_merge_size as u64).pow(2);
                3 * merged + v.out_hidden_size as u64
            }
        }
    }

    fn estimate(&self, demand: &Demand) -> Estimate {
        let (v, t) = (&self.config.vision, &self.config.text);
        let (width, inner) = (v.hidden_size as u64, v.intermediate_size as u64);
        let (hidden, mlp, kv) = (t.hidden_size as u64, t.intermediate_size as u64, self.kv_width());
        // Every result that a layer's operations keep, by token.
        let block = 13 * width + 3 * inner;
        let layer = 9 * hidden + 3 * kv + 3 * mlp;
        let kept = |layers: u64, width: u64, layer: u64| {
            if demand.recompute { layers * 2 * width + 2 * layer } else { layers * layer }
        };
        let activations = demand.patches * kept(v.depth as u64, width, block)
            + demand.tokens * kept(t.num_hidden_layers as u64, hidden, layer);
        let at_once = match demand.head_tokens {
            0 => demand.predicted,
            tokens => tokens.min(demand.predicted),
        };
        let moments = match demand.optimiser {
            Optimiser::Adamw => 2,
            // Only matrices in blocks have one moment instead of two.
            Optimiser::Muon => 1,
        };
        // Frozen weights and activations are as wide as the recipe computes.
        let narrow = match demand.precision {
            Precision::F32 => 4,
            Precision::Bf16 => 2,
        };
        let weights: u64 = self.parameters().iter().sum();
        let frozen = weights.saturating_sub(demand.trained);
        Estimate {
            weights: narrow * frozen + NUMBER * (weights - frozen),
            reference: narrow * demand.reference,
            gradients: NUMBER * demand.trained * (demand.threads + 1),
            moments: NUMBER * demand.trained * moments,
            activations: narrow * activations * demand.threads,
            logits: NUMBER * 3 * at_once * t.vocab_size as u64 * demand.threads,
            cache: narrow * demand.cached * 2 * kv * t.num_hidden_layers as u64 * demand.threads,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check_device::Size;

    /// The sizes of a published checkpoint.
    fn published(size: Size) -> Shape {
        Shape { config: size.config().expect("a configuration"), image_tokens: 1280 }
    }

    #[test]
    fn parameters_are_those_of_the_published_models_and_of_nano() {
        let total = |shape: &Shape| shape.parameters().iter().sum::<u64>();
        assert_eq!(total(&published(Size::B3)), 3_754_622_976);
        assert_eq!(total(&published(Size::B7)), 8_292_166_656);
        assert_eq!(total(&Shape::of(SftRecipe::NANO_INIT).expect("nano")), 3_147_008);
    }

    #[test]
    fn adapters_and_recomputation_save_memory() {
        let shape = published(Size::B7);
        let lora = Lora { rank: 8, ..Lora::default() };
        // PEFT prints 20,185,088 trainable parameters for rank 8 on the language model's linear layers.
        assert_eq!(shape.trained(&[], Some(&lora)), 20_185_088);
        let demand = |recompute| Demand {
            trained: shape.trained(&[], Some(&lora)),
            optimiser: Optimiser::Adamw,
            threads: 1,
            patches: shape.patches(),
            tokens: 1500,
            predicted: 160,
            head_tokens: 64,
            recompute,
            precision: Precision::F32,
            reference: 0,
            cached: 0,
        };
        let (kept, again) = (shape.estimate(&demand(false)), shape.estimate(&demand(true)));
        assert!(again.activations * 5 < kept.activations, "{again:?} {kept:?}");
        assert_eq!((again.weights, again.total() < 60 << 30), (4 * 8_292_166_656, true));
    }
}
