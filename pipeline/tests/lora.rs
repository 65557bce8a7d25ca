//! Training of adapters end to end: what changes and what does not, exact resume with dropout, and the
//! files that a run leaves.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::{Device, Tensor};
use qponder_kernels::pixels::{RgbImage, encode_png};
use qponder_pipeline::adapter::Adapter;
use qponder_pipeline::device::Place;
use qponder_pipeline::train::grpo::grpo;
use qponder_pipeline::train::{Progress, TrainError, sft};
use qponder_shared::manifest::{Label, Row, Split};
use qponder_shared::recipe::{
    Data, GrpoRecipe, GrpoTrain, Lora, Part, Rewards, Rollout, SftRecipe, Target, Train, Validation,
};

fn nano() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../models/nano-ci")
}

/// Small pictures with labels from 1 to 4.
fn data(dir: &Path) -> Data {
    let mut lines = String::new();
    for picture in 0..4_u8 {
        let pixel = |x: usize, y: usize, c: usize| (x * (usize::from(picture) + 2) + y * (c + 3)) as u8;
        let data = (0..56 * 56).flat_map(|i| (0..3).map(move |c| pixel(i % 56, i / 56, c))).collect();
        let image = RgbImage::new(56, 56, data).expect("56 x 56");
        let row = Row {
            image: format!("{picture}.png"),
            label: Label::Mos(f64::from(picture) + 1.0),
            mos_std: None,
            reference: picture.to_string(),
            distortions: Vec::new(),
            split: Split::Train,
            source: "synthetic".into(),
            metrics: None,
            answer: None,
            id: picture.to_string(),
        };
        std::fs::write(dir.join(&row.image), encode_png(&image).expect("encodes")).expect("writes");
        lines += &(serde_json::to_string(&row).expect("serialises") + "\n");
    }
    let manifest = dir.join("manifest.jsonl");
    std::fs::write(&manifest, lines).expect("writes");
    Data { manifests: vec![manifest.to_string_lossy().into_owned()], augment: true, pristine: 0.0 }
}

fn no_validation() -> Validation {
    Validation { every: 100, images: 0, reasoning_images: 0 }
}

fn sft_recipe(data: &Data, out: &Path, threads: usize, lora: Lora) -> SftRecipe {
    SftRecipe {
        base: nano().to_string_lossy().into_owned(),
        out: out.to_string_lossy().into_owned(),
        data: data.clone(),
        train: Train {
            steps: 3,
            batch: 4,
            micro_batch: 2,
            warmup: 1,
            learning_rate: 5e-3,
            checkpoint_every: 1,
            threads,
            ..Train::default()
        },
        lora: Some(lora),
        validation: no_validation(),
    }
}

/// Trains until a step is done, or to the end.
fn train(recipe: &SftRecipe, stop_after: Option<usize>) -> Result<Vec<Progress>, TrainError> {
    let stop = AtomicBool::new(false);
    let mut events = Vec::new();
    sft(recipe, Place::Cpu, &stop, &mut |event| {
        if matches!(event, Progress::Step { step, .. } if Some(*step) == stop_after) {
            stop.store(true, Ordering::Relaxed);
        }
        events.push(event.clone());
    })?;
    Ok(events)
}

fn bytes(dir: &Path, name: &str) -> Vec<u8> {
    std::fs::read(dir.join(name)).expect(name)
}

fn tensors(path: &Path) -> BTreeMap<String, Tensor> {
    candle_core::safetensors::load(path, &Device::Cpu).expect("tensors").into_iter().collect()
}

/// The numbers' bits, for exact comparison.
fn bits(tensor: &Tensor) -> Vec<u32> {
    let values: Vec<f32> =
        tensor.to_dtype(candle_core::DType::F32).and_then(|t| t.flatten_all()?.to_vec1()).expect("numbers");
    values.into_iter().map(f32::to_bits).collect()
}

#[test]
fn an_interrupted_run_with_dropout_ends_in_the_same_adapter_on_any_number_of_threads() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = data(dir.path());
    let recipe = |out: &str, threads, dropout| {
        let targets = [&Target::LANGUAGE[..], &[Target::VisionAttention, Target::Merger]].concat();
        let lora = Lora { rank: 4, alpha: 8.0, dropout, targets, ..Lora::default() };
        sft_recipe(&data, &dir.path().join(out), threads, lora)
    };
    let adapter = |out: &str| bytes(&dir.path().join(out), "adapter/adapter_model.safetensors");
    let model = |out: &str| bytes(&dir.path().join(out), "model.safetensors");
    train(&recipe("whole", 2, 0.2), None).expect("trains");
    let stopped = train(&recipe("parts", 2, 0.2), Some(2));
    assert!(matches!(stopped, Err(TrainError::Stopped { step: 2 })), "{stopped:?}");
    train(&recipe("parts", 2, 0.2), None).expect("goes on");
    assert!(adapter("whole") == adapter("parts") && model("whole") == model("parts"), "resumed run differs");
    train(&recipe("single", 1, 0.2), None).expect("trains");
    assert!(adapter("whole") == adapter("single"), "one thread gives another adapter");
    train(&recipe("plain", 2, 0.0), None).expect("trains");
    assert!(adapter("whole") != adapter("plain"), "dropout changes nothing");
    // Making layers again in the backward pass must see the same masks.
    let mut again = recipe("again", 2, 0.2);
    again.train.recompute = true;
    train(&again, None).expect("trains");
    assert!(adapter("whole") == adapter("again"), "recomputed layers drop other numbers");
}

#[test]
fn only_adapted_modules_change_and_a_checkpoint_holds_adapters_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = data(dir.path());
    let out = dir.path().join("out");
    let lora = Lora { rank: 4, targets: vec![Target::Query, Target::VisionDown], ..Lora::default() };
    let events = train(&sft_recipe(&data, &out, 2, lora), None).expect("trains");
    let is_target = |module: &str| {
        module.ends_with("self_attn.q_proj")
            || (module.starts_with("visual.blocks.") && module.ends_with("mlp.down_proj"))
    };

    let (base, merged) =
        (tensors(&nano().join("model.safetensors")), tensors(&out.join("model.safetensors")));
    assert_eq!(base.keys().collect::<Vec<_>>(), merged.keys().collect::<Vec<_>>());
    for (name, before) in &base {
        let is_adapted = name.strip_suffix(".weight").is_some_and(is_target);
        assert_eq!(bits(before) != bits(&merged[name]), is_adapted, "{name}");
    }

    let checkpoint = tensors(&out.join("checkpoint-00000003.safetensors"));
    let matrices: Vec<&str> = checkpoint.keys().filter_map(|name| name.strip_prefix("weight/")).collect();
    assert!(!matrices.is_empty());
    for name in &matrices {
        let module = name.strip_suffix(".lora_A.weight").or(name.strip_suffix(".lora_B.weight"));
        assert!(module.is_some_and(is_target), "{name}");
    }
    let numbers: usize = matrices.iter().map(|name| checkpoint[&format!("weight/{name}")].elem_count()).sum();
    assert!(
        matches!(events[0], Progress::Started { trained, .. } if trained == numbers as u64),
        "{events:?}"
    );

    let adapter = Adapter::read(&out.join("adapter")).expect("an adapter");
    assert_eq!(adapter.tensors().keys().map(String::as_str).collect::<Vec<_>>(), matrices);
    for (name, tensor) in adapter.tensors() {
        assert_eq!(bits(tensor), bits(&checkpoint[&format!("weight/{name}")]), "{name}");
    }
    qponder_pipeline::assess::Assessor::load(&out, Place::Cpu).expect("the merged model loads");
}

#[test]
fn parts_beside_the_adapters_are_trained_fully() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = data(dir.path());
    let out = dir.path().join("out");
    let lora = Lora { rank: 2, targets: vec![Target::Merger], parts: vec![Part::Merger], ..Lora::default() };
    train(&sft_recipe(&data, &out, 2, lora), None).expect("trains");
    let (base, merged) =
        (tensors(&nano().join("model.safetensors")), tensors(&out.join("model.safetensors")));
    let changed = base.keys().filter(|name| bits(&base[*name]) != bits(&merged[*name]));
    // The norm is trained itself, the linear layers by their adapters, whose biases are frozen.
    assert_eq!(
        changed.map(String::as_str).collect::<Vec<_>>(),
        ["visual.merger.ln_q.weight", "visual.merger.mlp.0.weight", "visual.merger.mlp.2.weight"]
    );
    assert!(!out.join("adapter").exists(), "an adapter alone would not be the trained model");
}

#[test]
fn grpo_resumes_exactly_and_its_reference_is_the_base() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = data(dir.path());
    let recipe = |out: &str, threads, epochs| GrpoRecipe {
        base: nano().to_string_lossy().into_owned(),
        out: dir.path().join(out).to_string_lossy().into_owned(),
        data: data.clone(),
        rollout: Rollout { group: 4, max_new_tokens: 10, temperature: 1.3, ..Rollout::default() },
        // Ten tokens hold no score; repetition differs between answers all the same.
        reward: Rewards { repetition: 1.0, ..Rewards::default() },
        judge: None,
        train: GrpoTrain {
            steps: 3,
            images: 2,
            epochs,
            beta: 0.1,
            learning_rate: 5e-3,
            warmup: 1,
            mask_truncated: false,
            checkpoint_every: 1,
            threads,
            ..GrpoTrain::default()
        },
        lora: Some(Lora { rank: 4, dropout: 0.1, ..Lora::default() }),
        validation: no_validation(),
    };
    let run = |out: &str, threads, epochs, stop_after: Option<usize>| {
        let stop = AtomicBool::new(false);
        let mut kl = Vec::new();
        let ended = grpo(&recipe(out, threads, epochs), Place::Cpu, &stop, &mut |event| {
            if let Progress::Policy { step, metrics } = event {
                kl.push(metrics["kl"]);
                stop.store(Some(*step) == stop_after, Ordering::Relaxed);
            }
        });
        ended.map(|()| kl)
    };
    // Adapters begin at zero, and the reference has none: what they learn shows as divergence. With several epochs
    // a step's divergence is the mean over them, of which only the first is before an update.
    let kl = run("one epoch", 2, 1, None).expect("trains");
    assert!(kl[0].abs() < 1e-6 && kl[1..].iter().all(|&kl| kl > 1e-4), "{kl:?}");
    run("whole", 2, 2, None).expect("trains");
    let stopped = run("parts", 2, 2, Some(2));
    assert!(matches!(stopped, Err(TrainError::Stopped { step: 2 })), "{stopped:?}");
    run("parts", 2, 2, None).expect("goes on");
    let adapter = |out: &str| bytes(&dir.path().join(out), "adapter/adapter_model.safetensors");
    assert!(adapter("whole") == adapter("parts"), "resumed adapter differs");
    run("single", 1, 2, None).expect("trains");
    assert!(adapter("whole") == adapter("single"), "one thread gives another adapter");
}
