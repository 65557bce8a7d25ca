//! GRPO end to end with nano: a reward is learned, a run resumes to the bit, errors are named.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use qponder_kernels::pixels::{RgbImage, encode_png};
use qponder_pipeline::device::Place;
use qponder_pipeline::train::grpo::grpo;
use qponder_pipeline::train::{Progress, TrainError};
use qponder_shared::manifest::{Label, Row, Split};
use qponder_shared::recipe::{Data, GrpoRecipe, GrpoTrain, Part, Rewards, Rollout, ScoreReward, Validation};

fn nano() -> String {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../models/nano-ci").to_string_lossy().into_owned()
}

/// Small pictures whose label is the same: what a toy reward asks for.
fn dataset(dir: &Path, label: f64) -> String {
    let mut lines = String::new();
    for picture in 0..4_usize {
        let pixel = |x: usize, y: usize, c: usize| (128 + x * (picture + 1) / 2 + y * c) as u8;
        let data = (0..56 * 56).flat_map(|i| (0..3).map(move |c| pixel(i % 56, i / 56, c))).collect();
        let image = RgbImage::new(56, 56, data).expect("56 x 56");
        let row = Row {
            image: format!("{picture}.png"),
            label: Label::Mos(label),
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
        lines.push_str(&serde_json::to_string(&row).expect("serialises"));
        lines.push('\n');
    }
    let manifest = dir.join("manifest.jsonl");
    std::fs::write(&manifest, lines).expect("writes");
    manifest.to_string_lossy().into_owned()
}

fn recipe(manifest: &str, out: &Path, rollout: Rollout, train: GrpoTrain) -> GrpoRecipe {
    GrpoRecipe {
        base: nano(),
        out: out.to_string_lossy().into_owned(),
        data: Data { manifests: vec![manifest.into()], augment: false, pristine: 0.0 },
        rollout,
        reward: Rewards {
            format: 0.0,
            score: 1.0,
            score_kind: ScoreReward::Threshold,
            score_scale: 0.5,
            consistency: 0.0,
            distortion: 0.0,
            ..Rewards::default()
        },
        train,
        judge: None,
        lora: None,
        validation: Validation { every: 100, images: 0, reasoning_images: 0 },
    }
}

/// Three steps, each kept.
fn few_steps() -> GrpoTrain {
    GrpoTrain {
        steps: 3,
        images: 2,
        warmup: 1,
        mask_truncated: false,
        checkpoint_every: 1,
        ..GrpoTrain::default()
    }
}

/// Ten tokens hold no score; repetition differs between answers all the same.
fn short_answers(manifest: &str, out: &Path, train: GrpoTrain) -> GrpoRecipe {
    let rollout = Rollout { group: 4, max_new_tokens: 10, temperature: 1.3, ..Rollout::default() };
    let mut recipe = recipe(manifest, out, rollout, train);
    recipe.reward.length = 1.0;
    recipe.reward.repetition = 1.0;
    recipe.reward.consistency = 1.0;
    recipe
}

#[test]
fn a_toy_reward_is_learned_to_near_its_maximum() {
    const STEPS: usize = 24;
    let dir = tempfile::tempdir().expect("a directory");
    // Whatever is shown, only a low score pays.
    let manifest = dataset(dir.path(), 2.0);
    let train = GrpoTrain {
        steps: STEPS,
        images: 4,
        learning_rate: 4e-4,
        final_rate: 0.5,
        warmup: 2,
        parts: vec![Part::Language],
        ..GrpoTrain::default()
    };
    let rollout = Rollout { max_new_tokens: 200, temperature: 0.8, ..Rollout::default() };
    let recipe = recipe(&manifest, &dir.path().join("out"), rollout, train);
    let mut rewards = Vec::new();
    grpo(&recipe, Place::Cpu, &AtomicBool::new(false), &mut |event| {
        if let Progress::Policy { metrics, .. } = event {
            rewards.push(metrics["reward"]);
        }
    })
    .expect("trains");
    let last = rewards[STEPS - 3..].iter().sum::<f64>() / 3.0;
    assert!(rewards[0] < 0.5 && last > 0.85, "{rewards:?}");
    let kept = std::fs::read_to_string(dir.path().join("out/completions.jsonl")).expect("completions");
    assert_eq!(kept.lines().count(), STEPS * recipe.train.images * recipe.rollout.group);
    qponder_pipeline::assess::Assessor::load(&dir.path().join("out"), Place::Cpu)
        .expect("the saved model loads");
}

#[test]
fn an_interrupted_run_ends_in_the_same_weights_on_any_number_of_threads() {
    let dir = tempfile::tempdir().expect("a directory");
    let manifest = dataset(dir.path(), 2.0);
    let small = |out: &str, threads| {
        let train = GrpoTrain {
            // More than one update a step, so that old log-probabilities, ratios and the KL term matter.
            epochs: 2,
            beta: 0.1,
            learning_rate: 1e-4,
            parts: vec![Part::Vision, Part::Merger, Part::Language],
            threads,
            ..few_steps()
        };
        short_answers(&manifest, &dir.path().join(out), train)
    };
    let run = |out: &str, threads, stop_after: Option<usize>| {
        let stop = AtomicBool::new(false);
        grpo(&small(out, threads), Place::Cpu, &stop, &mut |event| {
            if matches!(event, Progress::Policy { step, .. } if Some(*step) == stop_after) {
                stop.store(true, Ordering::Relaxed);
            }
        })
    };
    // Stopped at any moment, within a step and between its updates too.
    let mut pause = Duration::ZERO;
    loop {
        pause += Duration::from_millis(150);
        let stop = AtomicBool::new(false);
        let ended = std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(pause);
                stop.store(true, Ordering::Relaxed);
            });
            grpo(&small("moments", 2), Place::Cpu, &stop, &mut |_| {})
        });
        match ended {
            Ok(()) => break,
            Err(TrainError::Stopped { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    let weights = |out: &str| std::fs::read(dir.path().join(out).join("model.safetensors")).expect("a model");
    run("whole", 2, None).expect("trains");
    let stopped = run("parts", 2, Some(2));
    assert!(matches!(stopped, Err(TrainError::Stopped { step: 2 })), "{stopped:?}");
    run("parts", 2, None).expect("goes on");
    assert!(weights("whole") == weights("parts"), "resumed weights differ");
    assert!(weights("whole") == weights("moments"), "stopping within a step changes the weights");
    run("single", 1, None).expect("trains");
    assert!(weights("whole") == weights("single"), "one thread gives other weights");
    let base = std::fs::read(PathBuf::from(nano()).join("model.safetensors")).expect("nano");
    assert!(weights("whole") != base, "nothing was learned");
}

#[test]
fn a_run_that_breaks_leaves_a_good_checkpoint_and_a_damaged_one_is_passed_over() {
    let dir = tempfile::tempdir().expect("a directory");
    let manifest = dataset(dir.path(), 2.0);
    // The first update leaves weights so large that their products overflow.
    let train = GrpoTrain { learning_rate: 1e25, warmup: 0, ..few_steps() };
    let broken = short_answers(&manifest, &dir.path().join("broken"), train);
    let ended = grpo(&broken, Place::Cpu, &AtomicBool::new(false), &mut |_| {});
    assert!(matches!(ended, Err(TrainError::NotANumber { step: 2 })), "{ended:?}");
    assert!(dir.path().join("broken/checkpoint-00000001.safetensors").is_file());

    let run = |out: &str, threads, stop_after: Option<usize>, told: &mut Vec<Progress>| {
        let stop = AtomicBool::new(false);
        let recipe = short_answers(&manifest, &dir.path().join(out), GrpoTrain { threads, ..few_steps() });
        grpo(&recipe, Place::Cpu, &stop, &mut |event| {
            if matches!(event, Progress::Policy { step, .. } if Some(*step) == stop_after) {
                stop.store(true, Ordering::Relaxed);
            }
            told.push(event.clone());
        })
    };
    let mut told = Vec::new();
    run("whole", 2, None, &mut told).expect("trains");
    let stopped = run("harmed", 2, Some(2), &mut told);
    assert!(matches!(stopped, Err(TrainError::Stopped { step: 2 })), "{stopped:?}");
    let newest = dir.path().join("harmed/checkpoint-00000002.safetensors");
    let mut bytes = std::fs::read(&newest).expect("a checkpoint");
    let place = bytes.len() - 1000;
    bytes[place] ^= 1;
    std::fs::write(&newest, &bytes).expect("writes");
    told.clear();
    // The number of threads is no part of a run: it may change between two sittings.
    run("harmed", 1, None, &mut told).expect("goes on");
    assert!(told.iter().any(|event| matches!(event, Progress::Damaged { error } if error.contains("hash"))));
    assert!(told.iter().any(|event| matches!(event, Progress::Started { step: 1, .. })), "{told:?}");
    let weights = |out: &str| std::fs::read(dir.path().join(out).join("model.safetensors")).expect("a model");
    assert!(weights("whole") == weights("harmed"), "the weights differ");

    let other = short_answers(&manifest, &dir.path().join("whole"), GrpoTrain { seed: 7, ..few_steps() });
    let error = grpo(&other, Place::Cpu, &AtomicBool::new(false), &mut |_| {}).expect_err("another run");
    assert!(error.to_string().contains("train.seed was 0, is 7"), "{error}");
}

#[test]
fn what_is_wrong_is_named_before_any_work() {
    let dir = tempfile::tempdir().expect("a directory");
    let manifest = dataset(dir.path(), 2.0);
    let run = |manifest: &str, base: &str| {
        let out = dir.path().join("out");
        let rollout = Rollout { max_new_tokens: 4, ..Rollout::default() };
        let train = GrpoTrain { steps: 1, images: 1, warmup: 0, ..GrpoTrain::default() };
        let recipe = GrpoRecipe { base: base.into(), ..recipe(manifest, &out, rollout, train) };
        grpo(&recipe, Place::Cpu, &AtomicBool::new(false), &mut |_| {}).map_err(|error| error.to_string())
    };
    assert!(run("nowhere.jsonl", &nano()).is_err_and(|e| e.contains("nowhere.jsonl")));
    assert!(run(&manifest, "no-such-model").is_err_and(|e| e.contains("no-such-model")));
    assert_eq!(run(&manifest, &nano()), Ok(()));
}
