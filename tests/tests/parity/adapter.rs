//! An adapter that PEFT saved, and what PyTorch computes with it: `fixtures/peft/`.

use qponder_pipeline::adapter::{Adapter, AdapterError};
use qponder_pipeline::export::{Destination, Layout, Precision, export, merge};
use qponder_pipeline::save;

use super::*;

const BASE: &str = "nested-f32-tied";
const CASE: &str = "one_image";

fn peft() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/peft")
}

fn adapter() -> Adapter {
    Adapter::read(&peft().join("adapter")).expect("PEFT's adapter")
}

fn base() -> Weights {
    Weights::read(&fixtures().join(BASE), DType::F32, &Device::Cpu).expect("weights")
}

/// Checks a model's logits of the case.
fn check_logits(what: &str, model: &Qwen2_5Vl) {
    let checkpoint = Checkpoint::read(BASE);
    let (_, case) = checkpoint.cases().find(|(name, _)| *name == CASE).expect("the case");
    let hidden = model.forward(&checkpoint.inputs(case)).expect("hidden states");
    let ours = floats(&model.text.logits(&hidden).expect("logits"));
    let error = relative(&ours, &floats(&tensors(&peft().join("cases.safetensors"))["logits"]));
    assert!(error < 5e-5, "{what}: logits differ by {error:e}");
}

#[test]
fn logits_match_beside_the_weights_and_merged_into_them() {
    let config = Config::read(&fixtures().join(BASE)).expect("a configuration");
    let model = |weights: &Weights| Qwen2_5Vl::new(config.clone(), weights, &Device::Cpu).expect("a model");
    check_logits("adapter", &model(&adapter().over(&base()).expect("fits")));
    check_logits("merged", &model(&adapter().merge(&base()).expect("fits")));

    // In files of at most 20 kB, with an index.
    let out = tempfile::tempdir().expect("a directory");
    let layout = Layout { precision: Precision::F32, shard_bytes: 20_000 };
    let to = Destination { dir: out.path().join("merged"), layout, force: false };
    merge(&fixtures().join(BASE), &peft().join("adapter"), &to, &mut |_| {}).expect("merges");
    let files = Weights::files(&to.dir).expect("an index");
    assert!(files.len() > 3, "{files:?}");
    check_logits("exported", &Qwen2_5Vl::read(&to.dir, &Device::Cpu).expect("a model"));
    let again = merge(&fixtures().join(BASE), &peft().join("adapter"), &to, &mut |_| {});
    assert!(again.is_err_and(|e| e.to_string().contains("--force")));
    let to = Destination { layout: Layout::default(), force: true, ..to };
    merge(&fixtures().join(BASE), &peft().join("adapter"), &to, &mut |_| {}).expect("replaces");
    assert_eq!(Weights::files(&to.dir).expect("one file"), [to.dir.join("model.safetensors")]);
    Processor::read(&to.dir, &config).expect("the processor's files came along");
}

#[test]
fn numbers_that_f16_cannot_hold_are_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let (source, out) = (dir.path().join("large"), dir.path().join("out"));
    let mut all = base().tensors().clone();
    if let Some(norm) = all.get_mut("model.norm.weight") {
        *norm = (&*norm * 1e5).expect("numbers");
    }
    let config = Config::read(&fixtures().join(BASE)).expect("a configuration");
    let to = |precision| Destination {
        dir: out.clone(),
        layout: Layout { precision, ..Layout::default() },
        force: false,
    };
    save::model(
        &source,
        &config,
        &Weights::new(all),
        Some(&fixtures().join(BASE)),
        to(Precision::F32).layout,
    )
    .expect("saves");
    let refused = export(&source, &to(Precision::F16), &mut |_| {});
    assert!(refused.is_err_and(|e| e.to_string().contains("model.norm.weight")));
    export(&source, &to(Precision::Bf16), &mut |_| {}).expect("bf16 holds them");
    Qwen2_5Vl::read(&out, &Device::Cpu).expect("a model");
}

#[test]
fn loss_and_gradients_of_all_matrices_match() {
    let dir = fixtures().join(BASE);
    let config = Config::read(&dir).expect("a configuration");
    let batch = TrainBatch::read(&dir, &config);
    let whole = adapter().over(&base()).expect("fits");
    let mut all = whole.tensors().clone();
    let mut variables = BTreeMap::new();
    for name in adapter().tensors().keys() {
        let variable = Var::from_tensor(&all[name]).expect("a variable");
        all.insert(name.clone(), variable.as_tensor().clone());
        variables.insert(name.clone(), variable);
    }
    let weights = Weights::new(all).adapted(whole.adaptation());
    let theirs: HashMap<String, Tensor> = tensors(&peft().join("gradients.safetensors"))
        .into_iter()
        .map(|(name, tensor)| {
            let name = name.replace("base_model.model.model.language_model.", "model.");
            (name.replace("base_model.model.model.visual.", "visual."), tensor)
        })
        .collect();
    let loss = floats(&tensors(&peft().join("cases.safetensors"))["loss"])[0];
    for recompute in [false, true] {
        let model = Qwen2_5Vl::new(config.clone(), &weights, &Device::Cpu).expect("a model");
        let found = batch.loss(&model.with_recompute(recompute));
        check_gradients("adapter", &found, loss, &variables, &theirs);
    }
}

#[test]
fn what_we_save_is_read_back_with_pefts_names() {
    let out = tempfile::tempdir().expect("a directory");
    adapter().write(out.path(), BASE).expect("writes");
    let names = |dir: &Path| {
        let mut names: Vec<String> = tensors(&dir.join("adapter_model.safetensors")).into_keys().collect();
        names.sort();
        names
    };
    assert_eq!(names(out.path()), names(&peft().join("adapter")));
    let (theirs, ours) = (adapter(), Adapter::read(out.path()).expect("ours"));
    assert_eq!(ours.scale(), theirs.scale());
    for (name, tensor) in theirs.tensors() {
        assert_eq!(floats(&ours.tensors()[name]), floats(tensor), "{name}");
    }
}

#[test]
fn what_cannot_be_used_is_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let read = || Adapter::read(dir.path()).map(|_| ()).map_err(|e| e.to_string());
    assert!(read().is_err_and(|e| e.contains("adapter_config.json")));
    let config = std::fs::read_to_string(peft().join("adapter/adapter_config.json")).expect("a fixture");
    let write = |from: &str, to: &str| {
        let changed = config.replace(from, to);
        assert!(from.is_empty() || changed != config, "{from}");
        std::fs::write(dir.path().join("adapter_config.json"), changed).expect("writes");
    };
    write("", "");
    assert!(read().is_err_and(|e| e.contains("adapter_model.safetensors")));
    std::fs::write(dir.path().join("adapter_model.bin"), "").expect("writes");
    assert!(read().is_err_and(|e| e.contains("pickle")));
    std::fs::copy(
        peft().join("adapter/adapter_model.safetensors"),
        dir.path().join("adapter_model.safetensors"),
    )
    .expect("copies");
    assert_eq!(read(), Ok(()));
    for (from, to, named) in [
        ("\"use_dora\": false", "\"use_dora\": true", "use_dora"),
        ("\"LORA\"", "\"IA3\"", "peft_type"),
        ("\"r\": 4", "\"r\": 8", "r is 8"),
        ("\"rank_pattern\": {}", "\"rank_pattern\": {\"q_proj\": 2}", "rank_pattern"),
        ("\"init_lora_weights\": true", "\"init_lora_weights\": \"pissa\"", "init_lora_weights"),
    ] {
        write(from, to);
        assert!(read().is_err_and(|e| e.contains(named)), "{named}");
    }
    let other = Weights::read(&fixtures().join("flat-bf16-tied"), DType::F32, &Device::Cpu).expect("weights");
    let error = adapter().merge(&other).map(|_| ()).expect_err("another model");
    assert!(matches!(error, AdapterError::Shape { .. }), "{error}");
}
