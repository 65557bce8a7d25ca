//! Nano: a small model of the Qwen2.5-VL architecture that is trained here from nothing.
//!
//! Its configuration, tokenizer and first weights. A plain random patch embedding barely learns from
//! a few hundred photographs, so the first weights put in what is known of images: patches are
//! projected onto cosine waves, and the first block's MLP squares them, which is local energy in a
//! frequency band. That is where blur, noise and blocking show.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{Device, Tensor};
use qponder_kernels::pixels::{PatchConfig, Patches};
use qponder_shared::recipe::SftRecipe;
use tokenizers::Tokenizer;

use crate::degrade::Rng;
use crate::processor::Processor;
use crate::qwen2_5_vl::{Config, LoadError, VisionConfig};
use crate::save;
use crate::train::TrainError;
use crate::train::checkpoint::write_whole;
use crate::train::data::Item;

pub mod tokenizer;

/// The `base` of a recipe that begins with a fresh nano.
pub const INIT: &str = SftRecipe::NANO_INIT;

const CONFIG: &str = include_str!("config.json");
const TOKENIZER: &str = include_str!("tokenizer.json");
const TEMPLATE: &str = include_str!("chat_template.jinja");
/// `<|im_end|>` and `<|endoftext|>`.
const END_OF_TEXT: [u32; 2] = [2, 0];

fn patches() -> PatchConfig {
    PatchConfig { min_pixels: 4 * 28 * 28, max_pixels: 336 * 28 * 28, ..PatchConfig::default() }
}

/// Nano's configuration and processor.
///
/// # Errors
/// When the files built in do not fit each other.
pub fn processor() -> Result<(Config, Processor), LoadError> {
    let config = Config::parse(CONFIG)
        .map_err(|reason| LoadError::Config { path: "nano/config.json".into(), reason })?;
    let bad = |reason: String| LoadError::Tokenizer { path: "nano/tokenizer.json".into(), reason };
    let tokenizer = Tokenizer::from_bytes(TOKENIZER).map_err(|e| bad(e.to_string()))?;
    let processor = Processor::new(tokenizer, TEMPLATE.to_owned(), patches(), &config, END_OF_TEXT.to_vec())
        .map_err(bad)?;
    Ok((config, processor))
}

/// Writes what a model directory has beside weights and configuration.
///
/// # Errors
/// When the disk refuses.
pub fn write_companions(dir: &Path) -> Result<(), TrainError> {
    write_whole(&dir.join("tokenizer.json"), TOKENIZER.as_bytes())?;
    write_whole(&dir.join("chat_template.jinja"), TEMPLATE.as_bytes())?;
    save::write_json(
        &dir.join("tokenizer_config.json"),
        &serde_json::json!({
            "tokenizer_class": "Qwen2Tokenizer",
            "processor_class": "Qwen2_5_VLProcessor",
            "eos_token": "<|im_end|>",
            "pad_token": "<|endoftext|>",
            "model_max_length": 4096,
            "add_bos_token": false,
            "chat_template": TEMPLATE,
        }),
    )?;
    let mut processor = serde_json::to_value(patches()).unwrap_or_default();
    for (key, value) in [
        ("do_convert_rgb", serde_json::json!(true)),
        ("do_normalize", serde_json::json!(true)),
        ("do_rescale", serde_json::json!(true)),
        ("do_resize", serde_json::json!(true)),
        ("image_processor_type", serde_json::json!("Qwen2VLImageProcessor")),
        ("processor_class", serde_json::json!("Qwen2_5_VLProcessor")),
        ("rescale_factor", serde_json::json!(1.0 / 255.0)),
        ("resample", serde_json::json!(3)),
    ] {
        processor[key] = value;
    }
    save::write_json(&dir.join("preprocessor_config.json"), &processor)?;
    save::write_json(
        &dir.join("generation_config.json"),
        &serde_json::json!({ "do_sample": false, "eos_token_id": END_OF_TEXT, "pad_token_id": 0 }),
    )
}

/// Draws tensors of first weights.
struct Initialiser {
    rng: Rng,
    tensors: BTreeMap<String, Tensor>,
}

impl Initialiser {
    fn normal(&mut self, count: usize, deviation: f64) -> Vec<f32> {
        let mut values = vec![0.0; count];
        self.rng.fill_normal(&mut values);
        values.iter_mut().for_each(|v| *v *= deviation as f32);
        values
    }

    fn put(&mut self, name: String, values: Vec<f32>, dims: &[usize]) -> Result<(), TrainError> {
        self.tensors.insert(name, Tensor::from_vec(values, dims, &Device::Cpu)?);
        Ok(())
    }

    /// A matrix whose outputs have about the variance of its inputs, times `gain²`.
    fn matrix(&mut self, name: &str, outputs: usize, inputs: usize, gain: f64) -> Result<(), TrainError> {
        let values = self.normal(outputs * inputs, gain / (inputs as f64).sqrt());
        self.put(format!("{name}.weight"), values, &[outputs, inputs])
    }

    fn constant(&mut self, name: String, value: f32, count: usize) -> Result<(), TrainError> {
        self.put(name, vec![value; count], &[count])
    }

    fn linear(&mut self, name: &str, outputs: usize, inputs: usize, gain: f64) -> Result<(), TrainError> {
        self.matrix(name, outputs, inputs, gain)?;
        self.constant(format!("{name}.bias"), 0.0, outputs)
    }
}

/// First weights; `training` gives the clean images that the patch projection is scaled by.
///
/// # Errors
/// When an image cannot be read.
pub fn initial_weights(
    config: &Config,
    processor: &Processor,
    training: &[Item],
    seed: u64,
) -> Result<BTreeMap<String, Tensor>, TrainError> {
    let (vision, text) = (&config.vision, &config.text);
    let mut init = Initialiser { rng: Rng::new(seed, 0x6E61_6E6F), tensors: BTreeMap::new() };
    let projection = patch_projection(vision, processor, training)?;
    let VisionConfig { in_channels, temporal_patch_size: t, patch_size: p, hidden_size: width, .. } = *vision;
    init.put("visual.patch_embed.proj.weight".into(), projection, &[width, in_channels, t, p, p])?;
    let depth_gain = 1.0 / (2.0 * vision.depth as f64).sqrt();
    for block in 0..vision.depth {
        let name = format!("visual.blocks.{block}");
        let inner = vision.intermediate_size;
        init.constant(format!("{name}.norm1.weight"), 1.0, width)?;
        init.constant(format!("{name}.norm2.weight"), 1.0, width)?;
        init.linear(&format!("{name}.attn.qkv"), 3 * width, width, 1.0)?;
        init.linear(&format!("{name}.attn.proj"), width, width, depth_gain)?;
        init.linear(&format!("{name}.mlp.gate_proj"), inner, width, 1.0)?;
        init.linear(&format!("{name}.mlp.up_proj"), inner, width, 1.0)?;
        init.linear(&format!("{name}.mlp.down_proj"), width, inner, depth_gain)?;
    }
    squares(&mut init, vision, depth_gain)?;
    let merged = width * vision.spatial_merge_size.pow(2);
    init.constant("visual.merger.ln_q.weight".into(), 1.0, width)?;
    init.linear("visual.merger.mlp.0", merged, merged, 1.0)?;
    init.linear("visual.merger.mlp.2", text.hidden_size, merged, 1.0)?;

    let width = text.hidden_size;
    let kv_width = text.num_key_value_heads * text.head_dim();
    let depth_gain = 1.0 / (2.0 * text.num_hidden_layers as f64).sqrt();
    let embedding = init.normal(text.vocab_size * width, 0.02);
    init.put("model.embed_tokens.weight".into(), embedding, &[text.vocab_size, width])?;
    for layer in 0..text.num_hidden_layers {
        let name = format!("model.layers.{layer}");
        init.constant(format!("{name}.input_layernorm.weight"), 1.0, width)?;
        init.constant(format!("{name}.post_attention_layernorm.weight"), 1.0, width)?;
        init.linear(&format!("{name}.self_attn.q_proj"), width, width, 1.0)?;
        init.linear(&format!("{name}.self_attn.k_proj"), kv_width, width, 1.0)?;
        init.linear(&format!("{name}.self_attn.v_proj"), kv_width, width, 1.0)?;
        init.matrix(&format!("{name}.self_attn.o_proj"), width, width, depth_gain)?;
        init.matrix(&format!("{name}.mlp.gate_proj"), text.intermediate_size, width, 1.0)?;
        init.matrix(&format!("{name}.mlp.up_proj"), text.intermediate_size, width, 1.0)?;
        init.matrix(&format!("{name}.mlp.down_proj"), width, text.intermediate_size, depth_gain)?;
    }
    init.constant("model.norm.weight".into(), 1.0, width)?;
    Ok(init.tensors)
}

/// Makes the first block's MLP emit squares of its inputs: with gate = up = [I; −I],
/// silu(x)·x + silu(−x)·(−x) = x² where both halves share their column of the down projection.
fn squares(init: &mut Initialiser, vision: &VisionConfig, gain: f64) -> Result<(), TrainError> {
    let (width, inner) = (vision.hidden_size, vision.intermediate_size);
    if inner < 2 * width {
        return Ok(());
    }
    let mut gate = init.normal(inner * width, 1.0 / (width as f64).sqrt());
    let mut down = init.normal(width * inner, gain / (inner as f64).sqrt());
    let mut up = init.normal(inner * width, 1.0 / (width as f64).sqrt());
    for matrix in [&mut gate, &mut up] {
        matrix[..2 * width * width].fill(0.0);
        for i in 0..width {
            matrix[i * width + i] = 1.0;
            matrix[(width + i) * width + i] = -1.0;
        }
    }
    for row in down.chunks_exact_mut(inner) {
        row.copy_within(..width, width);
    }
    init.put("visual.blocks.0.mlp.gate_proj.weight".into(), gate, &[inner, width])?;
    init.put("visual.blocks.0.mlp.up_proj.weight".into(), up, &[inner, width])?;
    init.put("visual.blocks.0.mlp.down_proj.weight".into(), down, &[width, inner])
}

/// Cosine waves in the order of rising frequency: 70 % on luma, the rest on the two chroma axes; each
/// divided by its deviation over clean images. `(hidden, channels, frames, patch, patch)`.
fn patch_projection(
    vision: &VisionConfig,
    processor: &Processor,
    training: &[Item],
) -> Result<Vec<f32>, TrainError> {
    const AXES: [[f32; 3]; 3] = [[0.299, 0.587, 0.114], [-0.169, -0.331, 0.5], [0.5, -0.419, -0.081]];
    /// Images that the deviations are taken over.
    const SAMPLE: usize = 200;
    let (side, frames) = (vision.patch_size, vision.temporal_patch_size);
    let mut waves: Vec<(usize, usize)> = (0..side).flat_map(|v| (0..side).map(move |u| (v, u))).collect();
    waves.sort_by_key(|&(v, u)| (u + v, v));
    let luma = (vision.hidden_size * 7 / 10).min(waves.len());
    let (area, length) = (side * side, vision.in_channels * side * side);
    let mut rows: Vec<Vec<f32>> = Vec::with_capacity(vision.hidden_size);
    for index in 0..vision.hidden_size {
        let (axis, wave) =
            if index < luma { (0, index) } else { (1 + (index - luma) % 2, (index - luma) / 2) };
        let (v, u) = waves[wave % waves.len()];
        let angle = |x: usize, f: usize| {
            ((2 * x + 1) as f32 * f as f32 * std::f32::consts::PI / (2 * side) as f32).cos()
        };
        let mut row = Vec::with_capacity(length);
        for weight in AXES[axis] {
            for y in 0..side {
                row.extend((0..side).map(|x| weight * angle(y, v) * angle(x, u)));
            }
        }
        rows.push(row);
    }
    let clean: Vec<&Item> =
        training.iter().filter(|item| item.row.distortions.is_empty()).take(SAMPLE).collect();
    let clean = if clean.is_empty() { training.iter().take(SAMPLE).collect() } else { clean };
    let mut energy = vec![0.0_f64; rows.len()];
    let mut count = 0;
    for item in clean {
        let patches = Patches::new(&item.image()?, processor.patches())
            .map_err(|e| TrainError::Image { path: item.path.clone(), reason: e.to_string() })?;
        for patch in patches.values.chunks_exact(length) {
            count += 1;
            for (energy, row) in energy.iter_mut().zip(&rows) {
                *energy += f64::from(row.iter().zip(patch).map(|(a, b)| a * b).sum::<f32>()).powi(2);
            }
        }
    }
    let mut weights = Vec::with_capacity(rows.len() * frames * length);
    for (row, energy) in rows.iter().zip(energy) {
        let scale = 1.0 / (energy / f64::from(count.max(1)) + 1e-12).sqrt() / frames as f64;
        for wave in row.chunks_exact(area) {
            for _ in 0..frames {
                weights.extend(wave.iter().map(|w| w * scale as f32));
            }
        }
    }
    Ok(weights)
}
