//! Our numbers against those that transformers recorded in `fixtures/transformers/`.

mod adapter;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor, Var};
use qponder_kernels::layout::positions;
use qponder_kernels::pixels::{Limits, PatchConfig, Patches, RgbImage, decode};
use qponder_pipeline::generate::{Flow, generate};
use qponder_pipeline::ops;
use qponder_pipeline::processor::Processor;
use qponder_pipeline::qwen2_5_vl::{Config, Inputs, Qwen2_5Vl, Weights};
use qponder_pipeline::train::objective::gradients;
use qponder_shared::api::Sampling;
use serde_json::Value;

const CHECKPOINTS: [&str; 4] =
    ["flat-f32-untied-sharded", "nested-f32-tied", "nested-bf16-untied", "flat-bf16-tied"];

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/transformers")
}

fn tensors(path: &Path) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(path, &Device::Cpu).expect("a fixture")
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).expect("a fixture")).expect("JSON")
}

fn image(name: &str) -> RgbImage {
    let bytes = std::fs::read(fixtures().join(name)).expect("an image");
    decode(&bytes, &Limits::default()).expect("a valid image").image
}

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().expect("ids").iter().map(|id| id.as_u64().expect("an id") as u32).collect()
}

fn floats(tensor: &Tensor) -> Vec<f32> {
    tensor.to_dtype(DType::F32).and_then(|t| t.flatten_all()?.to_vec1()).expect("numbers")
}

/// The norm of the difference, relative to the expected norm.
fn relative(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    let difference = norm(&mut found.iter().zip(expected).map(|(a, b)| f64::from(a - b)));
    difference / norm(&mut expected.iter().map(|&v| f64::from(v))).max(1e-30)
}

struct Checkpoint {
    model: Qwen2_5Vl,
    processor: Processor,
    cases: Value,
    tensors: HashMap<String, Tensor>,
}

impl Checkpoint {
    fn read(name: &str) -> Self {
        let dir = fixtures().join(name);
        let model = Qwen2_5Vl::read(&dir, &Device::Cpu).expect("a model");
        let processor = Processor::read(&dir, &model.config).expect("a processor");
        Self {
            processor,
            model,
            cases: json(&dir.join("cases.json")),
            tensors: tensors(&dir.join("cases.safetensors")),
        }
    }

    fn cases(&self) -> impl Iterator<Item = (&str, &Value)> {
        let cases = self.cases["cases"].as_array().expect("cases");
        cases.iter().map(|case| (case["name"].as_str().expect("a name"), case))
    }

    /// The prompts of a case, packed.
    fn inputs(&self, case: &Value) -> Inputs {
        let mut inputs = Inputs::default();
        for prompt in case["prompts"].as_array().expect("prompts") {
            let images: Vec<RgbImage> = prompt["images"]
                .as_array()
                .expect("images")
                .iter()
                .map(|name| image(name.as_str().expect("a name")))
                .collect();
            let text = prompt["text"].as_str().expect("a text");
            let one = self.processor.inputs(text, &images.iter().collect::<Vec<_>>()).expect("inputs");
            assert_eq!(one.ids, ids(&prompt["input_ids"]), "{text}");
            inputs.extend(one);
        }
        inputs
    }
}

#[test]
fn chat_templates_render_as_jinja2_does() {
    for name in CHECKPOINTS {
        let checkpoint = Checkpoint::read(name);
        for (case_name, case) in checkpoint.cases() {
            for prompt in case["prompts"].as_array().expect("prompts") {
                let messages = prompt["messages"].as_array().expect("messages");
                let [system, user] = messages.as_slice() else { panic!("{name} {case_name}: two messages") };
                let text_of = |message: &Value| match &message["content"] {
                    Value::String(text) => text.clone(),
                    parts => {
                        parts.as_array().and_then(|p| p.last()?["text"].as_str()).expect("a text").to_owned()
                    }
                };
                let images = prompt["images"].as_array().expect("images").len();
                let rendered =
                    checkpoint.processor.chat(&text_of(system), &text_of(user), images).expect("renders");
                assert_eq!(rendered, prompt["text"].as_str().expect("a text"), "{name} {case_name}");
            }
        }
    }
}

#[test]
fn positions_embeddings_and_logits_match() {
    for name in CHECKPOINTS {
        let checkpoint = Checkpoint::read(name);
        for (case_name, case) in checkpoint.cases() {
            let inputs = checkpoint.inputs(case);
            let recorded = |part: &str| checkpoint.tensors.get(&format!("{case_name}.{part}"));
            let expected = recorded("position_ids").expect("positions");
            let (_, batch, longest) = expected.dims3().expect("(3, batch, tokens)");
            let all = expected.to_vec3::<i64>().expect("integers");
            let logits = recorded("logits").expect("logits");
            let kept = logits.dim(1).expect("(batch, kept, vocabulary)");
            let hidden = checkpoint.model.forward(&inputs).expect("hidden states");
            let mut start = 0;
            assert_eq!(batch, inputs.lengths.len(), "{name} {case_name}");
            for (row, &length) in inputs.lengths.iter().enumerate() {
                let ours = &inputs.positions[start..start + length];
                for (index, position) in ours.iter().enumerate() {
                    // The reference pads on the left.
                    let column = longest - length + index;
                    let theirs = [0, 1, 2].map(|axis| all[axis][row][column] as u32);
                    assert_eq!(*position, theirs, "{name} {case_name} row {row} token {index}");
                }
                let last = kept.min(length);
                let ours = hidden.narrow(0, start + length - last, last).expect("rows");
                let ours = floats(&checkpoint.model.text.logits(&ours).expect("logits"));
                let theirs = logits.get(row).and_then(|l| l.narrow(0, kept - last, last)).expect("rows");
                let error = relative(&ours, &floats(&theirs));
                assert!(error < 5e-5, "{name} {case_name} row {row}: logits differ by {error:e}");
                start += length;
            }
            if let Some(expected) = recorded("image_embeds") {
                let length = inputs.patches.len()
                    / inputs.grids.iter().map(|g| g.iter().product::<usize>()).sum::<usize>();
                let patches = Tensor::from_slice(
                    &inputs.patches,
                    (inputs.patches.len() / length, length),
                    &Device::Cpu,
                );
                let ours = checkpoint
                    .model
                    .vision
                    .forward(&patches.expect("patches"), &inputs.grids)
                    .expect("embeddings");
                let error = relative(&floats(&ours), &floats(expected));
                assert!(error < 5e-5, "{name} {case_name}: image embeddings differ by {error:e}");
            }
        }
    }
}

#[test]
fn greedy_continuations_match_token_for_token() {
    for name in CHECKPOINTS {
        let checkpoint = Checkpoint::read(name);
        for (case_name, case) in checkpoint.cases() {
            let inputs = checkpoint.inputs(case);
            let sampling = Sampling { max_new_tokens: 16, ..Sampling::default() };
            let ends = checkpoint.processor.end_of_text();
            let samplings = vec![sampling; inputs.lengths.len()];
            let generated =
                generate(&checkpoint.model, &inputs, &samplings, ends, &mut |_, _| Flow::Continue);
            for (prompt, ours) in
                case["prompts"].as_array().expect("prompts").iter().zip(generated.expect("tokens"))
            {
                let mut theirs = ids(&prompt["greedy_ids"]);
                if theirs.last().is_some_and(|id| ends.contains(id)) {
                    theirs.pop();
                }
                assert_eq!(ours.ids, theirs, "{name} {case_name}");
            }
        }
    }
}

#[test]
fn pixel_values_match() {
    let dir = fixtures().join("image_processor");
    let recorded = tensors(&dir.join("pixel_values.safetensors"));
    let mut compared = 0;
    for (key, expected) in &recorded {
        let Some((picture, bounds)) = key.rsplit_once('@') else { continue };
        let (least, most) = bounds.split_once('-').expect("least-most");
        let config = PatchConfig {
            min_pixels: least.parse().expect("a number"),
            max_pixels: most.parse().expect("a number"),
            ..PatchConfig::default()
        };
        let name = format!("images/{picture}.png");
        let ours = Patches::new(&image(&name), &config).expect("patches");
        // The fixture keeps one of the two equal frames.
        let theirs = floats(expected);
        assert_eq!(ours.values.len(), theirs.len(), "{key}");
        let worst = ours.values.iter().zip(&theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-5, "{key}: {worst:e}");
        compared += 1;
    }
    assert!(compared >= 5, "only {compared} fixtures");
}

/// The training batch of a checkpoint, packed: its inputs, the rows that predict, and their targets.
struct TrainBatch {
    inputs: Inputs,
    rows: Tensor,
    targets: Vec<u32>,
    /// As recorded, without an adapter.
    loss: f32,
}

impl TrainBatch {
    fn read(dir: &Path, config: &Config) -> Self {
        let batch = tensors(&dir.join("train_batch.safetensors"));
        let facts = json(&dir.join("train_batch.json"));
        let rows = |part: &str| batch[part].to_vec2::<i64>().expect("integers");
        let (all_ids, mask, labels) = (rows("input_ids"), rows("attention_mask"), rows("labels"));
        let grids: Vec<[usize; 3]> =
            rows("image_grid_thw").iter().map(|g| [g[0] as usize, g[1] as usize, g[2] as usize]).collect();
        let pixels = tensors(&fixtures().join("image_processor/pixel_values.safetensors"));
        let samples = facts["samples"].as_array().expect("samples");
        let names = samples.iter().map(|sample| &sample["pixel_values"]).filter(|name| name.is_string());
        let mut inputs = Inputs { grids: grids.clone(), ..Inputs::default() };
        for name in names {
            let one = &pixels[name.as_str().expect("a name")];
            let (patches, channels, side, _) = one.dims4().expect("(patches, channels, side, side)");
            let both = one.reshape((patches, channels, 1, side * side)).expect("one frame");
            inputs.patches.extend(floats(&Tensor::cat(&[&both, &both], 2).expect("two frames")));
        }
        let (mut targets, mut target_rows) = (Vec::new(), Vec::new());
        let mut next_grid = 0;
        for ((ids, mask), labels) in all_ids.iter().zip(&mask).zip(&labels) {
            let length = mask.iter().sum::<i64>() as usize;
            let ids: Vec<u32> = ids[..length].iter().map(|&id| id as u32).collect();
            let images = ids
                .windows(2)
                .filter(|w| w[0] == config.vision_start_token_id && w[1] == config.image_token_id)
                .count();
            for (index, &label) in labels[..length].iter().enumerate().filter(|(_, label)| **label >= 0) {
                targets.push(label as u32);
                target_rows.push((inputs.ids.len() + index - 1) as u32);
            }
            inputs.positions.extend(positions(
                &ids,
                config.image_token_id,
                &grids[next_grid..next_grid + images],
                config.vision.spatial_merge_size,
            ));
            next_grid += images;
            inputs.lengths.push(length);
            inputs.ids.extend(ids);
        }
        let rows = Tensor::new(target_rows.as_slice(), &Device::Cpu).expect("rows");
        Self { inputs, rows, targets, loss: floats(&batch["loss"])[0] }
    }

    /// The mean negative log-likelihood of the targets.
    fn loss(&self, model: &Qwen2_5Vl) -> Tensor {
        let hidden = model.forward(&self.inputs).expect("hidden states");
        let logits = model.text.logits(&hidden.index_select(&self.rows, 0).expect("rows")).expect("logits");
        ops::negative_log_likelihood(&logits, &self.targets).and_then(|l| l.mean_all()).expect("a loss")
    }
}

/// Compares a loss and the gradients of all variables with recorded ones.
fn check_gradients(
    name: &str,
    loss: &Tensor,
    expected: f32,
    variables: &BTreeMap<String, Var>,
    theirs: &HashMap<String, Tensor>,
) {
    let found = loss.to_scalar::<f32>().expect("a number");
    assert!((found - expected).abs() < 1e-5 * expected.abs(), "{name}: loss {found}, expected {expected}");
    let ours = gradients(loss, variables).expect("gradients of all parameters");
    assert_eq!(ours.len(), theirs.len(), "{name}");
    for (parameter, expected) in theirs {
        let error = relative(&ours[parameter], &floats(expected));
        assert!(error < 1e-3, "{name}: gradient of {parameter} differs by {error:e}");
    }
}

#[test]
fn loss_and_every_gradient_match() {
    for name in ["flat-f32-untied-sharded", "nested-f32-tied"] {
        let dir = fixtures().join(name);
        let config = Config::read(&dir).expect("a configuration");
        let batch = TrainBatch::read(&dir, &config);
        let loaded = Weights::read(&dir, DType::F32, &Device::Cpu).expect("weights");
        let variables: BTreeMap<String, Var> = loaded
            .tensors()
            .iter()
            .map(|(n, t)| (n.clone(), Var::from_tensor(t).expect("a variable")))
            .collect();
        let weights =
            Weights::new(variables.iter().map(|(n, v)| (n.clone(), v.as_tensor().clone())).collect());
        let model = Qwen2_5Vl::new(config, &weights, &Device::Cpu).expect("a model");
        let theirs = tensors(&dir.join("gradients.safetensors"));
        check_gradients(name, &batch.loss(&model), batch.loss, &variables, &theirs);
    }
}
