//! Models with random weights, and inputs for them.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Result, Tensor};
use qponder_kernels::pixels::Patches;

use crate::degrade::Rng;
use qponder_kernels::layout::positions;

use crate::qwen2_5_vl::{Config, Inputs};
use crate::train::data::Tokens;

/// Small enough that nothing overflows, however many layers there are.
const DEVIATION: f32 = 0.02;

/// Weights of every tensor that the configuration asks for, made on the device.
///
/// # Errors
/// When the device has no room for them.
pub fn weights(config: &Config, device: &Device, dtype: DType) -> Result<BTreeMap<String, Tensor>> {
    let mut tensors = BTreeMap::new();
    for (name, dims) in shapes(config) {
        let is_norm = dims.len() == 1 && !name.ends_with(".bias");
        let tensor = if is_norm {
            Tensor::ones(dims, DType::F32, device)?
        } else {
            Tensor::randn(0_f32, DEVIATION, dims, device)?
        };
        tensors.insert(name, tensor.to_dtype(dtype)?);
    }
    Ok(tensors)
}

/// Names and shapes of a checkpoint's tensors.
fn shapes(config: &Config) -> Vec<(String, Vec<usize>)> {
    let (v, t) = (&config.vision, &config.text);
    let mut shapes: Vec<(String, Vec<usize>)> = Vec::new();
    let mut put = |name: String, dims: &[usize]| shapes.push((name, dims.to_vec()));
    let (width, patch) = (v.hidden_size, v.patch_size);
    put(
        "visual.patch_embed.proj.weight".into(),
        &[width, v.in_channels, v.temporal_patch_size, patch, patch],
    );
    for block in 0..v.depth {
        let name = format!("visual.blocks.{block}");
        for norm in ["norm1", "norm2"] {
            put(format!("{name}.{norm}.weight"), &[width]);
        }
        let inner = v.intermediate_size;
        for (part, outputs, inputs) in [
            ("attn.qkv", 3 * width, width),
            ("attn.proj", width, width),
            ("mlp.gate_proj", inner, width),
            ("mlp.up_proj", inner, width),
            ("mlp.down_proj", width, inner),
        ] {
            put(format!("{name}.{part}.weight"), &[outputs, inputs]);
            put(format!("{name}.{part}.bias"), &[outputs]);
        }
    }
    let merged = width * v.spatial_merge_size.pow(2);
    put("visual.merger.ln_q.weight".into(), &[width]);
    for (part, outputs) in [("mlp.0", merged), ("mlp.2", v.out_hidden_size)] {
        put(format!("visual.merger.{part}.weight"), &[outputs, merged]);
        put(format!("visual.merger.{part}.bias"), &[outputs]);
    }
    let (hidden, kv, mlp) = (t.hidden_size, t.num_key_value_heads * t.head_dim(), t.intermediate_size);
    put("model.embed_tokens.weight".into(), &[t.vocab_size, hidden]);
    for layer in 0..t.num_hidden_layers {
        let name = format!("model.layers.{layer}");
        for norm in ["input_layernorm", "post_attention_layernorm"] {
            put(format!("{name}.{norm}.weight"), &[hidden]);
        }
        for (part, outputs, inputs, has_bias) in [
            ("self_attn.q_proj", hidden, hidden, true),
            ("self_attn.k_proj", kv, hidden, true),
            ("self_attn.v_proj", kv, hidden, true),
            ("self_attn.o_proj", hidden, hidden, false),
            ("mlp.gate_proj", mlp, hidden, false),
            ("mlp.up_proj", mlp, hidden, false),
            ("mlp.down_proj", hidden, mlp, false),
        ] {
            put(format!("{name}.{part}.weight"), &[outputs, inputs]);
            if has_bias {
                put(format!("{name}.{part}.bias"), &[outputs]);
            }
        }
    }
    put("model.norm.weight".into(), &[hidden]);
    if !config.tie_word_embeddings {
        put("lm_head.weight".into(), &[t.vocab_size, hidden]);
    }
    shapes
}

/// A square image of noise, `side` patches wide.
pub fn image(config: &Config, side: usize) -> Patches {
    let length = config.vision.in_channels * config.vision.patch_size.pow(2);
    let mut values = vec![0.0; side * side * length];
    Rng::new(1, 0).fill_normal(&mut values);
    Patches { values, grid: [1, side, side] }
}

/// Ids that are words in every vocabulary: special tokens have the lowest ids or the highest.
fn words(count: usize) -> Vec<u32> {
    (0..count as u32).map(|at| 300 + at % 500).collect()
}

/// A prompt about an image, which is not among its inputs: some words, the image, more words.
pub fn prompt(config: &Config, grid: [usize; 3]) -> Inputs {
    let image = grid.iter().product::<usize>() / config.vision.spatial_merge_size.pow(2);
    let mut ids = words(20);
    ids.push(config.vision_start_token_id);
    ids.extend(std::iter::repeat_n(config.image_token_id, image));
    ids.push(config.vision_end_token_id);
    ids.extend(words(60));
    let positions = positions(&ids, config.image_token_id, &[grid], config.vision.spatial_merge_size);
    Inputs { lengths: vec![ids.len()], positions, ids, patches: Vec::new(), grids: vec![grid] }
}

/// The prompt with an answer of so many tokens.
pub fn answered(config: &Config, grid: [usize; 3], tokens: usize) -> Tokens {
    Tokens { prompt: prompt(config, grid), answer: words(tokens) }
}
