//! The engine that runs in browsers, held against the pipeline's f32 model.

use std::path::Path;

use qponder_kernels::engine::{Engine, Sampler};
use qponder_kernels::gguf::{Value, Writer};
use qponder_kernels::pixels::{Limits, RgbImage, decode};
use qponder_pipeline::assess::{Answer, Assessor, Event, Flow, Request};
use qponder_pipeline::degrade::degrade;
use qponder_pipeline::device::Place;
use qponder_pipeline::export::{Kind, export_gguf};
use qponder_shared::api::{Mode, Sampling};
use qponder_shared::distortion::{Distortion, DistortionKind, Severity};
use qponder_shared::{Level, stats};
use qponder_tests::figures;
use qponder_tests::server::root;

/// Pristine photographs and degraded copies of them.
fn images() -> Vec<RgbImage> {
    let mut images = Vec::new();
    for (index, name) in ["brook.jpg", "mountains.jpg", "moose.png"].into_iter().enumerate() {
        let bytes = std::fs::read(root().join("tests/fixtures/photographs").join(name)).expect("a fixture");
        let image = decode(&bytes, &Limits::default()).expect("an image").image;
        for (number, kind) in DistortionKind::ALL.into_iter().enumerate().skip(index).step_by(3) {
            let level = Severity::ALL[number % Severity::ALL.len()];
            images.push(degrade(&image, Distortion { kind, level }, 1));
        }
        images.push(image);
    }
    images
}

fn engine(model: &Path, kind: Kind) -> Engine {
    let place = tempfile::tempdir().expect("a temporary folder");
    let manifest = export_gguf(model, place.path(), kind, 1_000_000, false, &mut |_| {}).expect("an export");
    let files: Vec<Vec<u8>> = manifest
        .files
        .iter()
        .map(|file| {
            let bytes = std::fs::read(place.path().join(&file.name)).expect("the file");
            assert_eq!(bytes.len() as u64, file.bytes(), "{}", file.name);
            bytes
        })
        .collect();
    Engine::read(&files[0], &files[1]).expect("a model")
}

fn pipeline(model: &Path) -> Assessor {
    Assessor::load(model, Place::Cpu).expect("a model")
}

/// What the pipeline answers.
fn answers(assessor: &Assessor, images: &[RgbImage], mode: Mode) -> Vec<Answer> {
    let request = |image: &RgbImage| Request {
        image: image.clone(),
        mode,
        sampling: Sampling { max_new_tokens: 48, ..Sampling::default() },
        wording: None,
    };
    let requests: Vec<Request> = images.iter().map(request).collect();
    let mut answers = vec![None; requests.len()];
    assessor.answer(&requests, &mut |index, event| {
        match event {
            Event::Done(answer) => answers[index] = Some(answer),
            Event::Text(_) => {}
            Event::Refused(error) | Event::Failed(error) => panic!("{error}"),
        }
        Flow::Continue
    });
    answers.into_iter().map(|answer| answer.expect("an answer")).collect()
}

/// Runs a future that never waits.
fn now<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}

/// The scores of the pipeline and of the engine.
fn compare(kind: Kind, images: &[RgbImage], expected: &[Answer]) -> (f64, f64, f64) {
    let mut engine = engine(&root().join("models/nano"), kind);
    let score = |p: [f64; 5]| Level::expectation(p).expect("probabilities").get();
    let ours: Vec<f64> =
        images.iter().map(|image| score(now(engine.score(image)).expect("a score"))).collect();
    let theirs: Vec<f64> = expected.iter().map(|answer| answer.score.expect("a score").get()).collect();
    let differences: Vec<f64> = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs()).collect();
    let mean = differences.iter().sum::<f64>() / differences.len() as f64;
    let most = differences.iter().fold(0.0_f64, |a, &b| a.max(b));
    let srcc = stats::srcc(&ours, &theirs).expect("a correlation");
    figures::print(&format!(
        "{kind:?}: score difference mean {mean:.4}, most {most:.4}; SRCC with f32 {srcc:.5}"
    ));
    (mean, most, srcc)
}

#[test]
fn quantised_scores_agree_with_the_pipeline() {
    let images = images();
    let expected = answers(&pipeline(&root().join("models/nano")), &images, Mode::Quick);
    let (mean, most, _) = compare(Kind::F16, &images, &expected);
    assert!(mean < 2e-4 && most < 1e-3, "f16: {mean} {most}");
    let (mean, most, srcc) = compare(Kind::Q8_0, &images, &expected);
    assert!(mean <= 0.02 && most <= 0.05 && srcc >= 0.998, "q8_0: {mean} {most} {srcc}");
    let (.., srcc) = compare(Kind::Q4_0, &images, &expected);
    assert!(srcc >= 0.9, "q4_0: {srcc}");
}

#[test]
fn reasoning_of_whole_weights_is_the_pipelines_word_for_word() {
    let images = &images()[..3];
    let expected = answers(&pipeline(&root().join("models/nano")), images, Mode::Reason);
    let mut engine = engine(&root().join("models/nano"), Kind::F16);
    for (image, expected) in images.iter().zip(expected) {
        let mut streamed = String::new();
        let answer = now(engine.explain(image, Sampler::greedy(), 48, async |text: &str| {
            streamed.push_str(text);
            true
        }));
        let answer = answer.expect("an answer");
        assert_eq!((&answer.text, answer.new_tokens), (&expected.text, expected.new_tokens));
        assert_eq!(streamed, answer.text);
    }
}

#[test]
fn the_committed_exports_are_of_the_committed_model() {
    for (name, kind) in [("q8_0", Kind::Q8_0), ("q4_0", Kind::Q4_0)] {
        let place = tempfile::tempdir().expect("a temporary folder");
        let model = root().join("models/nano-rl");
        let _ = export_gguf(&model, place.path(), kind, 1_000_000, false, &mut |_| {}).expect("an export");
        for file in std::fs::read_dir(place.path()).expect("the export") {
            let file = file.expect("a file").path();
            let committed = model.join(name).join(file.file_name().expect("a name"));
            assert!(
                std::fs::read(&committed).ok() == std::fs::read(&file).ok(),
                "{} is of another model; run `qponder export gguf --model models/nano-rl --quant {name} \
                 --out models/nano-rl/{name} --force`",
                committed.display()
            );
        }
    }
}

/// Checkpoints of transformers with other sizes: untied heads, several key heads, odd widths.
#[test]
fn tiny_checkpoints_score_as_in_the_pipeline() {
    let images = &images()[..2];
    let checkpoints = root().join("tests/fixtures/transformers");
    let mut tried = 0;
    for entry in std::fs::read_dir(checkpoints).expect("the fixtures") {
        let dir = entry.expect("an entry").path();
        if !dir.join("config.json").is_file() {
            continue;
        }
        let expected = answers(&pipeline(&dir), images, Mode::Quick);
        let mut engine = engine(&dir, Kind::F16);
        for (image, expected) in images.iter().zip(expected) {
            let ours = now(engine.score(image)).expect("a score");
            let expected = expected.level_probabilities.expect("quick mode");
            for (a, b) in ours.iter().zip(expected) {
                assert!((a - b).abs() < 2e-3, "{}: {ours:?} {expected:?}", dir.display());
            }
        }
        tried += 1;
    }
    assert!(tried >= 4, "{tried} checkpoints");
}

#[test]
fn foreign_files_are_refused_with_a_reason() {
    let mut writer = Writer::default();
    writer.set("general.architecture", Value::Text("llama".into()));
    let foreign = writer.finish();
    let folder = root().join("models/nano/q8_0");
    let files = ["model-q8_0.gguf", "mmproj-q8_0.gguf"]
        .map(|name| std::fs::read(folder.join(name)).expect("a committed export"));
    let refused = |text: &[u8], vision: &[u8]| Engine::read(text, vision).map(|_| ()).expect_err("refused");
    let error = refused(&foreign, &files[1]).to_string();
    assert!(error.contains("general.architecture") && error.contains("qwen2vl"), "{error}");
    let error = refused(&files[1], &files[0]).to_string();
    assert!(error.contains("general.architecture"), "exchanged: {error}");
    let error = refused(&files[0], &foreign).to_string();
    assert!(error.contains("clip"), "{error}");
}
