//! GGUF files with the names and metadata that llama.cpp gives Qwen2.5-VL, and what our own engine needs
//! besides: prompts as token ids and the image settings.
//!
//! As llama.cpp wants it, the language model and the vision tower are two files. Beside them lies a manifest
//! that cuts both into pieces with a hash each, for browsers. Names and values follow
//! `convert_hf_to_gguf.py` and `tools/mtmd/clip.cpp` of llama.cpp.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use qponder_kernels::engine::{Instructions, Words};
pub use qponder_kernels::gguf::Kind;
use qponder_kernels::gguf::{Value, Writer};
use qponder_shared::api::Mode;
use qponder_shared::prompt;
use qponder_shared::weights::{Manifest, Shard, WeightsFile};
use serde_json::Value as Json;
use sha2::{Digest, Sha256};

use super::{ExportError, Progress, Teller, check, read_config};
use crate::assess::{END_OF_ANSWER, level_tokens};
use crate::processor::Processor;
use crate::qwen2_5_vl::{Config, LoadError, Qwen2_5Vl, Weights};
use crate::train::checkpoint::write_whole;

/// The file that lists the pieces of the others.
pub const MANIFEST: &str = "manifest.json";

/// Matrices that are not quantised: nano's first block begins as a unit matrix that squares its inputs, and beside a
/// 1 in their block the small numbers would be lost. For 4 % of the file, the largest change of a score by q8_0 halves.
const FINE: [&str; 2] = ["v.blk.0.ffn_gate.weight", "v.blk.0.ffn_up.weight"];

/// Kinds of tokens as `llama_token_type` numbers them.
mod token_type {
    pub const NORMAL: i32 = 1;
    pub const CONTROL: i32 = 3;
    pub const USER_DEFINED: i32 = 4;
    pub const UNUSED: i32 = 5;
}

/// Writes a model as `model-KIND.gguf`, `mmproj-KIND.gguf` and `manifest.json`, whose pieces have at most
/// `shard_bytes` bytes. Matrices whose rows are no whole blocks of the kind are stored in f16, and so are two of the
/// tower's first block; norms and biases in f32.
///
/// # Errors
/// Names what the model lacks or why the destination is refused; nothing is written then.
pub fn export_gguf(
    model: &Path,
    dir: &Path,
    kind: Kind,
    shard_bytes: u64,
    force: bool,
    progress: &mut dyn FnMut(&Progress),
) -> Result<Manifest, ExportError> {
    check(dir, force, model)?;
    let config = read_config(model)?;
    let processor = Processor::read(model, &config)?;
    let mut teller = Teller::start(3, progress);
    let weights = Weights::read(model, DType::F32, &Device::Cpu)?;
    teller.done(model);
    Qwen2_5Vl::new(config.clone(), &weights, &Device::Cpu)?;
    let file = model.canonicalize().unwrap_or_else(|_| model.to_owned());
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let source = Source { dir: model, name, config, processor, weights, kind };

    let suffix = quant_name(kind);
    let mut manifest = Manifest { model: source.name.clone(), quant: suffix.to_owned(), files: Vec::new() };
    for (role, bytes) in [("model", source.text()?), ("mmproj", source.vision()?)] {
        let name = format!("{role}-{suffix}.gguf");
        let size = usize::try_from(shard_bytes.max(1)).unwrap_or(usize::MAX);
        let shards = bytes.chunks(size).map(|shard| Shard { bytes: shard.len() as u64, sha256: hash(shard) });
        manifest.files.push(WeightsFile { name: name.clone(), shards: shards.collect() });
        write_whole(&dir.join(&name), &bytes)?;
        teller.done(&dir.join(name));
    }
    let mut text = serde_json::to_string_pretty(&manifest).unwrap_or_default();
    text.push('\n');
    write_whole(&dir.join(MANIFEST), text.as_bytes())?;
    Ok(manifest)
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What llama.cpp calls files of a kind.
fn quant_name(kind: Kind) -> &'static str {
    match kind {
        Kind::F32 => "f32",
        Kind::F16 => "f16",
        Kind::Q8_0 => "q8_0",
        Kind::Q4_0 => "q4_0",
    }
}

/// `general.file_type` of llama.cpp.
fn file_type(kind: Kind) -> u32 {
    match kind {
        Kind::F32 => 0,
        Kind::F16 => 1,
        Kind::Q4_0 => 2,
        Kind::Q8_0 => 7,
    }
}

fn number(number: usize) -> Value {
    Value::U32(number as u32)
}

/// A model that becomes files.
struct Source<'a> {
    dir: &'a Path,
    name: String,
    config: Config,
    processor: Processor,
    weights: Weights,
    kind: Kind,
}

impl Source<'_> {
    /// The beginning of either file.
    fn file(&self, architecture: &str, kind: &str) -> Writer {
        let mut file = Writer::default();
        file.set("general.architecture", architecture.into());
        file.set("general.type", kind.into());
        file.set("general.name", self.name.as_str().into());
        file.set("general.quantization_version", Value::U32(2));
        file.set("general.file_type", Value::U32(file_type(self.kind)));
        file
    }

    fn tensor(&self, name: &str) -> Result<&Tensor, ExportError> {
        let missing = || LoadError::MissingTensor { name: name.to_owned() };
        Ok(self.weights.tensors().get(name).ok_or_else(missing)?)
    }

    /// Adds a tensor; matrices are quantised, vectors are not.
    fn add(&self, file: &mut Writer, to: &str, tensor: &Tensor) -> Result<(), ExportError> {
        let kind = match (tensor.rank(), self.kind) {
            (1, _) | (_, Kind::F32) => Kind::F32,
            _ if FINE.contains(&to) => Kind::F16,
            (_, kind) => kind,
        };
        let values = tensor.flatten_all().and_then(|flat| flat.to_vec1::<f32>()).map_err(LoadError::from)?;
        file.add(to, tensor.dims(), kind, &values);
        Ok(())
    }

    fn text(&self) -> Result<Vec<u8>, ExportError> {
        let text = &self.config.text;
        let mut file = self.file("qwen2vl", "model");
        for (key, size) in [
            ("block_count", text.num_hidden_layers),
            ("context_length", text.max_position_embeddings),
            ("embedding_length", text.hidden_size),
            ("feed_forward_length", text.intermediate_size),
            ("attention.head_count", text.num_attention_heads),
            ("attention.head_count_kv", text.num_key_value_heads),
        ] {
            file.set(&format!("qwen2vl.{key}"), number(size));
        }
        file.set("qwen2vl.rope.freq_base", Value::F32(text.rope_theta as f32));
        file.set("qwen2vl.attention.layer_norm_rms_epsilon", Value::F32(text.rms_norm_eps as f32));
        let [t, h, w] = text.mrope_section.map(|section| Value::I32(section as i32));
        file.set("qwen2vl.rope.dimension_sections", Value::Array(vec![t, h, w, Value::I32(0)]));
        self.tokenizer(&mut file)?;
        self.instructions()?.write(&mut file);

        self.add(&mut file, "token_embd.weight", self.tensor("model.embed_tokens.weight")?)?;
        self.add(&mut file, "output_norm.weight", self.tensor("model.norm.weight")?)?;
        if !self.config.tie_word_embeddings {
            self.add(&mut file, "output.weight", self.tensor("lm_head.weight")?)?;
        }
        for layer in 0..text.num_hidden_layers {
            for (from, to) in [
                ("input_layernorm.weight", "attn_norm.weight"),
                ("self_attn.q_proj.weight", "attn_q.weight"),
                ("self_attn.q_proj.bias", "attn_q.bias"),
                ("self_attn.k_proj.weight", "attn_k.weight"),
                ("self_attn.k_proj.bias", "attn_k.bias"),
                ("self_attn.v_proj.weight", "attn_v.weight"),
                ("self_attn.v_proj.bias", "attn_v.bias"),
                ("self_attn.o_proj.weight", "attn_output.weight"),
                ("post_attention_layernorm.weight", "ffn_norm.weight"),
                ("mlp.gate_proj.weight", "ffn_gate.weight"),
                ("mlp.up_proj.weight", "ffn_up.weight"),
                ("mlp.down_proj.weight", "ffn_down.weight"),
            ] {
                let tensor = self.tensor(&format!("model.layers.{layer}.{from}"))?;
                self.add(&mut file, &format!("blk.{layer}.{to}"), tensor)?;
            }
        }
        Ok(file.finish())
    }

    fn vision(&self) -> Result<Vec<u8>, ExportError> {
        let vision = &self.config.vision;
        let patches = self.processor.patches();
        let mut file = self.file("clip", "mmproj");
        file.set("clip.has_vision_encoder", Value::Bool(true));
        file.set("clip.projector_type", "qwen2.5vl_merger".into());
        file.set("clip.use_silu", Value::Bool(true));
        for (key, size) in [
            ("image_size", 560),
            ("patch_size", vision.patch_size),
            ("embedding_length", vision.hidden_size),
            ("feed_forward_length", vision.intermediate_size),
            ("projection_dim", vision.out_hidden_size),
            ("block_count", vision.depth),
            ("attention.head_count", vision.num_heads),
            ("n_wa_pattern", self.full_every()?),
            ("spatial_merge_size", vision.spatial_merge_size),
            ("window_size", vision.window_size),
            ("image_min_pixels", patches.min_pixels),
            ("image_max_pixels", patches.max_pixels),
        ] {
            file.set(&format!("clip.vision.{key}"), number(size));
        }
        file.set("clip.vision.attention.layer_norm_epsilon", Value::F32(1e-6));
        file.set("clip.vision.image_mean", patches.mean.as_slice().into());
        file.set("clip.vision.image_std", patches.std.as_slice().into());

        // llama.cpp multiplies each of the two frames by a matrix of its own.
        let patch = self.tensor("visual.patch_embed.proj.weight")?;
        if vision.temporal_patch_size != 2 {
            let frames = vision.temporal_patch_size;
            return Err(ExportError::Gguf(format!("its patches have {frames} frames instead of two")));
        }
        for (frame, name) in ["v.patch_embd.weight", "v.patch_embd.weight.1"].into_iter().enumerate() {
            let frame =
                patch.narrow(2, frame, 1).and_then(|frame| frame.squeeze(2)).map_err(LoadError::from)?;
            self.add(&mut file, name, &frame)?;
        }
        for block in 0..vision.depth {
            let name = |part: &str| format!("visual.blocks.{block}.{part}");
            for end in ["weight", "bias"] {
                let qkv = self.tensor(&name(&format!("attn.qkv.{end}")))?;
                for (index, part) in ["attn_q", "attn_k", "attn_v"].into_iter().enumerate() {
                    let width = vision.hidden_size;
                    let rows = qkv.narrow(0, index * width, width).map_err(LoadError::from)?;
                    self.add(&mut file, &format!("v.blk.{block}.{part}.{end}"), &rows)?;
                }
                for (from, to) in [
                    ("attn.proj", "attn_out"),
                    ("mlp.gate_proj", "ffn_gate"),
                    ("mlp.up_proj", "ffn_up"),
                    ("mlp.down_proj", "ffn_down"),
                ] {
                    let tensor = self.tensor(&name(&format!("{from}.{end}")))?;
                    self.add(&mut file, &format!("v.blk.{block}.{to}.{end}"), tensor)?;
                }
            }
            for (from, to) in [("norm1", "ln1"), ("norm2", "ln2")] {
                let tensor = self.tensor(&name(&format!("{from}.weight")))?;
                self.add(&mut file, &format!("v.blk.{block}.{to}.weight"), tensor)?;
            }
        }
        self.add(&mut file, "v.post_ln.weight", self.tensor("visual.merger.ln_q.weight")?)?;
        for (layer, end) in [(0, "weight"), (0, "bias"), (2, "weight"), (2, "bias")] {
            let tensor = self.tensor(&format!("visual.merger.mlp.{layer}.{end}"))?;
            self.add(&mut file, &format!("mm.{layer}.{end}"), tensor)?;
        }
        Ok(file.finish())
    }

    /// The distance between blocks that see the whole image: the format knows only even ones.
    fn full_every(&self) -> Result<usize, ExportError> {
        let vision = &self.config.vision;
        let full = &vision.fullatt_block_indexes;
        let every = full.first().map_or(vision.depth + 1, |first| first + 1);
        if (0..vision.depth).any(|block| full.contains(&block) != ((block + 1) % every == 0)) {
            let reason = format!("the blocks {full:?} that see the whole image are not evenly spaced");
            return Err(ExportError::Gguf(reason));
        }
        Ok(every)
    }

    /// Tokens, merges and the chat template.
    fn tokenizer(&self, file: &mut Writer) -> Result<(), ExportError> {
        let path = self.dir.join("tokenizer.json");
        let bad = |reason: String| LoadError::Tokenizer { path: path.clone(), reason };
        let text = std::fs::read_to_string(&path).map_err(|e| bad(e.to_string()))?;
        let json: Json = serde_json::from_str(&text).map_err(|e| bad(e.to_string()))?;
        let special: HashMap<u64, bool> = json["added_tokens"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|token| Some((token["id"].as_u64()?, token["special"].as_bool()?)))
            .collect();
        let tokenizer = self.processor.tokenizer();
        let (mut tokens, mut types) = (Vec::new(), Vec::new());
        for id in 0..self.config.text.vocab_size as u32 {
            let kind = match special.get(&u64::from(id)) {
                Some(true) => token_type::CONTROL,
                Some(false) => token_type::USER_DEFINED,
                None => token_type::NORMAL,
            };
            // The embedding has rows that no token uses.
            let (token, kind) = match tokenizer.id_to_token(id) {
                Some(token) => (token, kind),
                None => (format!("[PAD{id}]"), token_type::UNUSED),
            };
            tokens.push(Value::Text(token));
            types.push(Value::I32(kind));
        }
        let merge = |merge: &Json| match merge {
            Json::String(text) => Some(text.clone()),
            Json::Array(pair) => Some(format!("{} {}", pair.first()?.as_str()?, pair.get(1)?.as_str()?)),
            _ => None,
        };
        let merges = json.pointer("/model/merges").and_then(Json::as_array);
        let merges = merges.ok_or_else(|| bad("it has no merges; only BPE can be exported".into()))?;
        let merges = merges.iter().map(|pair| merge(pair).map(Value::Text)).collect::<Option<_>>();
        file.set("tokenizer.ggml.model", "gpt2".into());
        file.set("tokenizer.ggml.pre", "qwen2".into());
        file.set("tokenizer.ggml.tokens", Value::Array(tokens));
        file.set("tokenizer.ggml.token_type", Value::Array(types));
        let merges = merges.ok_or_else(|| bad("a merge is no pair".into()))?;
        file.set("tokenizer.ggml.merges", Value::Array(merges));
        if let Some(&end) = self.processor.end_of_text().first() {
            file.set("tokenizer.ggml.eos_token_id", Value::U32(end));
        }
        if let Some(pad) = tokenizer.token_to_id("<|endoftext|>") {
            file.set("tokenizer.ggml.padding_token_id", Value::U32(pad));
        }
        file.set("tokenizer.ggml.add_bos_token", Value::Bool(false));
        file.set("tokenizer.chat_template", Value::Text(self.processor.template()));
        Ok(())
    }

    /// The prompts as token ids, and what else our engine asks with.
    fn instructions(&self) -> Result<Instructions, ExportError> {
        let image_token = self.config.image_token_id;
        let words = |mode: Mode| {
            let prompt = prompt::current(mode);
            let text = self.processor.chat(prompt::SYSTEM, prompt.text, 1);
            let ids = text.and_then(|text| self.processor.tokenise(&text));
            let ids = ids.map_err(|error| ExportError::Gguf(error.to_string()))?;
            let place = ids.iter().position(|&id| id == image_token);
            let place =
                place.ok_or_else(|| ExportError::Gguf("its prompt has no place for an image".into()))?;
            Ok::<_, ExportError>(Words {
                version: prompt.version.to_owned(),
                before: ids[..place].to_vec(),
                after: ids[place + 1..].to_vec(),
            })
        };
        Ok(Instructions {
            quick: words(Mode::Quick)?,
            reason: words(Mode::Reason)?,
            levels: level_tokens(&self.processor)?,
            ends: self.processor.end_of_text().to_vec(),
            end_of_answer: END_OF_ANSWER.to_owned(),
            image_token,
            patches: self.processor.patches().clone(),
        })
    }
}
