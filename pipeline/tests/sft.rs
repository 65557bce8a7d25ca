//! Training end to end on a handful of images: it learns, it resumes to the bit, it says what is wrong.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::Device;
use qponder_kernels::pixels::{RgbImage, encode_png};
use qponder_pipeline::assess::{Assessor, Event, Request};
use qponder_pipeline::degrade::degrade;
use qponder_pipeline::device::Place;
use qponder_pipeline::generate::{Finish, Flow};
use qponder_pipeline::train::{Progress, TrainError, sft};
use qponder_shared::api::{Mode, Sampling};
use qponder_shared::manifest::{Label, Row, Split};
use qponder_shared::recipe::{Data, Objective, Part, Precision, SftRecipe, Train, Validation};
use qponder_shared::{Distortion, DistortionKind, Severity};

/// A dataset of small synthetic pictures, each clean, blurred and noisy.
fn dataset(dir: &Path) -> String {
    let mut lines = String::new();
    for picture in 0..4_usize {
        let pixel =
            |x: usize, y: usize, c: usize| ((x * (picture + 2) + y * (c + 3) * 5) ^ (x * y / 3)) as u8;
        let data = (0..56 * 56).flat_map(|i| (0..3).map(move |c| pixel(i % 56, i / 56, c))).collect();
        let image = RgbImage::new(56, 56, data).expect("56 x 56");
        let kinds = [None, Some(DistortionKind::GaussianBlur), Some(DistortionKind::WhiteNoise)];
        for (index, kind) in kinds.into_iter().enumerate() {
            let distortion = kind.map(|kind| Distortion { kind, level: Severity::ALL[3] });
            let image = distortion.map_or_else(|| image.clone(), |d| degrade(&image, d, 1));
            let id = format!("{picture}-{index}");
            let row = Row {
                image: format!("{id}.png"),
                label: Label::Proxy(if kind.is_some() { 2.0 } else { 5.0 }),
                mos_std: None,
                reference: picture.to_string(),
                distortions: distortion.into_iter().collect(),
                split: if picture == 3 { Split::Val } else { Split::Train },
                source: "synthetic".into(),
                metrics: None,
                answer: None,
                id,
            };
            std::fs::write(dir.join(&row.image), encode_png(&image).expect("encodes")).expect("writes");
            lines.push_str(&serde_json::to_string(&row).expect("serialises"));
            lines.push('\n');
        }
    }
    let manifest = dir.join("manifest.jsonl");
    std::fs::write(&manifest, lines).expect("writes");
    manifest.to_string_lossy().into_owned()
}

fn recipe(manifest: &str, base: &str, out: &Path, train: Train) -> SftRecipe {
    SftRecipe {
        base: base.into(),
        out: out.to_string_lossy().into_owned(),
        data: Data { manifests: vec![manifest.into()], augment: true, pristine: 0.0 },
        train,
        lora: None,
        validation: Validation { every: 100, images: 0, reasoning_images: 0 },
    }
}

fn tiny(steps: usize, threads: usize) -> Train {
    let rest = Train { warmup: 1, checkpoint_every: 1, auxiliary_weight: 0.3, threads, ..Train::default() };
    Train { steps, batch: 4, micro_batch: 2, ..rest }
}

fn weights(out: &Path) -> Vec<u8> {
    std::fs::read(out.join("model.safetensors")).expect("a trained model")
}

#[test]
fn an_interrupted_run_ends_in_the_same_weights_on_any_number_of_threads() {
    let dir = tempfile::tempdir().expect("a directory");
    let manifest = dataset(dir.path());
    let (whole, parts) = (dir.path().join("whole"), dir.path().join("parts"));
    let run = |out: &Path, threads, stop_after: Option<usize>| {
        let stop = AtomicBool::new(false);
        // Threads are no part of a run's identity: the sums are formed in the same order.
        let recipe = recipe(&manifest, "nano:init", out, tiny(3, threads));
        sft(&recipe, Place::Cpu, &stop, &mut |event| {
            if matches!(event, Progress::Step { step, .. } if Some(*step) == stop_after) {
                stop.store(true, Ordering::Relaxed);
            }
        })
    };
    run(&whole, 2, None).expect("trains");
    let stopped = run(&parts, 2, Some(2));
    assert!(matches!(stopped, Err(TrainError::Stopped { step: 2 })), "{stopped:?}");
    run(&parts, 2, None).expect("goes on");
    assert!(weights(&whole) == weights(&parts), "resumed weights differ");
    let single = dir.path().join("single");
    run(&single, 1, None).expect("trains");
    assert!(weights(&whole) == weights(&single), "one thread gives other weights");
}

#[test]
fn the_loss_falls_and_the_model_reads_back() {
    let dir = tempfile::tempdir().expect("a directory");
    let manifest = dataset(dir.path());
    let tower = dir.path().join("tower");
    let stop = AtomicBool::new(false);
    let train = Train { objective: Objective::Tower, ..tiny(2, 2) };
    sft(&recipe(&manifest, "nano:init", &tower, train), Place::Cpu, &stop, &mut |_| {}).expect("trains");
    let mut losses = Vec::new();
    let train = Train { learning_rate: 2e-3, ..tiny(8, 2) };
    let out = dir.path().join("answer");
    sft(&recipe(&manifest, &tower.to_string_lossy(), &out, train), Place::Cpu, &stop, &mut |event| {
        if let Progress::Step { loss, .. } = event {
            losses.push(*loss);
        }
    })
    .expect("trains");
    assert!(losses[7] < 0.8 * losses[0], "{losses:?}");
    let assessor = Assessor::load(&out, Place::Cpu).expect("the saved model loads");
    assert!(assessor.info().parameters > 3_000_000);
}

#[test]
fn the_objective_quick_learns_the_score_and_no_reasoning() {
    let dir = tempfile::tempdir().expect("a directory");
    let manifest = dataset(dir.path());
    let train = Train { objective: Objective::Quick, learning_rate: 2e-3, ..tiny(6, 2) };
    let run = |name: &str| {
        let out = dir.path().join(name);
        let mut recipe = recipe(&manifest, "nano:init", &out, train.clone());
        recipe.validation = Validation { every: 6, images: 3, reasoning_images: 3 };
        let (mut losses, mut reasoned) = (Vec::new(), None);
        sft(&recipe, Place::Cpu, &AtomicBool::new(false), &mut |event| match event {
            Progress::Step { reason, quick, .. } => {
                assert_eq!(*reason, 0.0);
                losses.push(*quick);
            }
            Progress::Validated { report, .. } => reasoned = Some(report.reasoning_images),
            _ => {}
        })
        .expect("trains");
        assert!(losses[5] < 0.8 * losses[0], "{losses:?}");
        assert_eq!(reasoned, Some(0));
        weights(&out)
    };
    let taught_by_the_rule = run("rule");

    // What a teacher wrote changes nothing.
    let answer = "<think>\nIt is nice.\n</think>\n<answer>\n4.00\n</answer>";
    let line = format!("{{\"answer\":{},", serde_json::to_string(answer).expect("serialises"));
    let lines = std::fs::read_to_string(&manifest).expect("a manifest");
    std::fs::write(&manifest, lines.replace("{\"id\"", &format!("{line}\"id\""))).expect("writes");
    assert!(std::fs::read_to_string(&manifest).expect("a manifest").contains("It is nice."));
    assert!(run("teacher") == taught_by_the_rule);
}

#[test]
fn a_damaged_checkpoint_is_told_and_the_one_before_it_is_used() {
    let dir = tempfile::tempdir().expect("a directory");
    let manifest = dataset(dir.path());
    let (whole, harmed) = (dir.path().join("whole"), dir.path().join("harmed"));
    let run = |out: &Path, stop_after: Option<usize>, told: &mut Vec<Progress>| {
        let stop = AtomicBool::new(false);
        sft(&recipe(&manifest, "nano:init", out, tiny(3, 2)), Place::Cpu, &stop, &mut |event| {
            if matches!(event, Progress::Step { step, .. } if Some(*step) == stop_after) {
                stop.store(true, Ordering::Relaxed);
            }
            told.push(event.clone());
        })
    };
    let mut told = Vec::new();
    run(&whole, None, &mut told).expect("trains");
    let _ = run(&harmed, Some(2), &mut told);
    let newest = harmed.join("checkpoint-00000002.safetensors");
    let mut bytes = std::fs::read(&newest).expect("a checkpoint");
    let place = bytes.len() - 1000;
    bytes[place] ^= 1;
    std::fs::write(&newest, &bytes).expect("writes");
    told.clear();
    run(&harmed, None, &mut told).expect("goes on");
    let damaged = |event: &Progress| matches!(event, Progress::Damaged { error } if error.contains("00000002") && error.contains("hash"));
    assert!(told.iter().any(damaged), "{told:?}");
    assert!(told.iter().any(|event| matches!(event, Progress::Started { step: 1, .. })), "{told:?}");
    assert!(weights(&whole) == weights(&harmed), "the weights differ");

    // With no good one left, nothing is thrown away.
    for step in [2, 3] {
        let path = harmed.join(format!("checkpoint-{step:08}.safetensors"));
        std::fs::write(path, b"no checkpoint").expect("writes");
    }
    assert!(matches!(run(&harmed, None, &mut told), Err(TrainError::Checkpoint { .. })));
}

#[test]
fn training_in_bf16_follows_training_in_f32() {
    let dir = tempfile::tempdir().expect("a directory");
    let manifest = dataset(dir.path());
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/nano-ci");
    let mut losses = Vec::new();
    for (name, precision) in [("wide", Precision::F32), ("narrow", Precision::Bf16)] {
        for (kind, recompute) in [("kept", false), ("again", true)] {
            let out = dir.path().join(format!("{name}-{kind}"));
            let train = Train { precision, recompute, head_tokens: 16, learning_rate: 1e-4, ..tiny(2, 2) };
            let stop = AtomicBool::new(false);
            let mut own = Vec::new();
            sft(&recipe(&manifest, &base.to_string_lossy(), &out, train), Place::Cpu, &stop, &mut |event| {
                if let Progress::Step { loss, grad_norm, .. } = event {
                    own.extend([*loss, *grad_norm]);
                }
            })
            .expect("trains");
            losses.push(own);
        }
    }
    for own in &losses[1..] {
        for (found, expected) in own.iter().zip(&losses[0]) {
            assert!((found / expected - 1.0).abs() < 0.03, "{losses:?}");
        }
    }
}

#[test]
fn what_is_wrong_is_named_before_any_work() {
    let dir = tempfile::tempdir().expect("a directory");
    let manifest = dataset(dir.path());
    let out = dir.path().join("out");
    let stop = AtomicBool::new(false);
    let fails = |recipe: &SftRecipe, expected: &str| {
        let error = sft(recipe, Place::Cpu, &stop, &mut |_| {}).expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}");
    };
    fails(&recipe("nowhere.jsonl", "nano:init", &out, tiny(1, 1)), "nowhere.jsonl");
    fails(&recipe(&manifest, "no-such-model", &out, tiny(1, 1)), "no-such-model");
    let broken = dir.path().join("broken.jsonl");
    std::fs::write(&broken, "\n{\"id\": 3}\n").expect("writes");
    fails(&recipe(&broken.to_string_lossy(), "nano:init", &out, tiny(1, 1)), "line 2");
    sft(&recipe(&manifest, "nano:init", &out, tiny(1, 1)), Place::Cpu, &stop, &mut |_| {}).expect("trains");
    fails(&recipe(&manifest, "nano:init", &out, tiny(2, 1)), "train.steps was 1, is 2");

    // A run goes on with the rows and the base that it began with.
    let trained = out.to_string_lossy().into_owned();
    let (before, later) = (std::fs::read_to_string(&manifest).expect("reads"), dir.path().join("later"));
    sft(&recipe(&manifest, &trained, &later, tiny(1, 1)), Place::Cpu, &stop, &mut |_| {}).expect("trains");
    std::fs::write(&manifest, before.replacen("2.0", "2.5", 1)).expect("writes");
    fails(&recipe(&manifest, &trained, &later, tiny(1, 1)), "the rows of data.manifests are others");
    std::fs::write(&manifest, &before).expect("writes");
    let model = out.join("model.safetensors");
    std::fs::rename(&model, dir.path().join("aside")).expect("moves");
    std::fs::copy(later.join("model.safetensors"), &model).expect("copies");
    fails(&recipe(&manifest, &trained, &later, tiny(1, 1)), "the weights in base are others");
    std::fs::rename(dir.path().join("aside"), &model).expect("moves");
    sft(&recipe(&manifest, &trained, &later, tiny(1, 1)), Place::Cpu, &stop, &mut |_| {}).expect("is done");

    // What is there already is not lost.
    fails(&recipe(&manifest, &trained, &out, tiny(1, 1)), "is the base model itself");
    let foreign = dir.path().join("foreign");
    std::fs::create_dir(&foreign).expect("a directory");
    std::fs::copy(out.join("model.safetensors"), foreign.join("model.safetensors")).expect("copies");
    fails(&recipe(&manifest, "nano:init", &foreign, tiny(1, 1)), "was not trained there");
    assert!(weights(&foreign) == weights(&out));

    let idle = Train { objective: Objective::Tower, parts: vec![Part::Language], ..tiny(1, 1) };
    let other = dir.path().join("idle");
    fails(&recipe(&manifest, "nano:init", &other, idle), "nothing of the model would be trained");
    let lines = std::fs::read_to_string(&manifest).expect("a manifest");
    let silent = lines.replacen('{', "{\"answer\":\"It is nice.\",", 1);
    std::fs::write(&manifest, silent).expect("writes");
    fails(&recipe(&manifest, "nano:init", &other, tiny(1, 1)), "ends with no score");
    let long = format!("{}<answer>\\n4.00\\n</answer>", "It is nice. ".repeat(1500));
    std::fs::write(&manifest, lines.replacen('{', &format!("{{\"answer\":\"{long}\","), 1)).expect("writes");
    fails(&recipe(&manifest, "nano:init", &other, tiny(1, 1)), "its answer has 180");
    std::fs::write(&manifest, &lines).expect("writes");

    // A file that is broken is not taken as missing.
    let generation = out.join("generation_config.json");
    let before = std::fs::read(&generation).expect("reads");
    std::fs::write(&generation, "{\"eos_token_id\": ").expect("writes");
    fails(&recipe(&manifest, &trained, &other, tiny(1, 1)), "generation_config.json");
    std::fs::write(&generation, before).expect("writes");

    // The model says how many tokens it takes.
    let config = out.join("config.json");
    let before = std::fs::read_to_string(&config).expect("reads");
    let short = before.replace("\"max_position_embeddings\": 4096", "\"max_position_embeddings\": 40");
    assert!(short != before, "{before}");
    std::fs::write(&config, short).expect("writes");
    fails(&recipe(&manifest, &trained, &other, tiny(1, 1)), "tokens, and the model takes 40");
    let asked = || Request {
        image: RgbImage::new(56, 56, vec![90; 56 * 56 * 3]).expect("56 x 56"),
        mode: Mode::Reason,
        sampling: Sampling::default(),
        wording: None,
    };
    let answered = |most: usize| {
        let most = format!("\"max_position_embeddings\": {most}");
        std::fs::write(&config, before.replace("\"max_position_embeddings\": 4096", &most)).expect("writes");
        let assessor = Assessor::load(&out, Place::Cpu).expect("loads");
        let mut ended = None;
        assessor.answer(&[asked()], &mut |_, event| {
            ended = Some(event);
            Flow::Continue
        });
        ended.expect("something happens")
    };
    let Event::Refused(reason) = answered(40) else { panic!("a prompt that does not fit is refused") };
    assert!(reason.contains("the model takes 40"), "{reason}");
    // An answer ends where the model's positions do.
    let Event::Done(whole) = answered(4096) else { panic!("it answers") };
    let Event::Done(cut) = answered(whole.prompt_tokens + 3) else { panic!("it answers") };
    assert!(cut.new_tokens <= 3 && cut.prompt_tokens == whole.prompt_tokens, "{cut:?}");
    assert_eq!((whole.finish, cut.finish), (Finish::Length, Finish::Length));
    std::fs::write(&config, &before).expect("writes");

    // A base that is broken is not the fault of a learning rate.
    let mut tensors =
        candle_core::safetensors::load(out.join("model.safetensors"), &Device::Cpu).expect("reads");
    let name = "model.norm.weight".to_owned();
    let nan = (&tensors[&name] * f64::NAN).expect("a product");
    tensors.insert(name, nan);
    candle_core::safetensors::save(&tensors, out.join("model.safetensors")).expect("writes");
    fails(
        &recipe(&manifest, &trained, &other, tiny(1, 1)),
        "tensor model.norm.weight holds numbers that are none",
    );
}
