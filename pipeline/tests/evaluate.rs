//! Evaluation end to end with nano: what is measured, what is repeated, and what the page makes of hostile text.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use qponder_kernels::pixels::{RgbImage, encode_png};
use qponder_pipeline::assess::{Assessor, Event, Flow, Forced, Request};
use qponder_pipeline::degrade::degrade;
use qponder_pipeline::device::Place;
use qponder_pipeline::evaluate::{
    Case, EvaluateError, Evaluation, FittedOn, Kept, ModelReport, Plan, Progress, Provenance, Scored, Suite,
    Work, cases, check_determinism, consistency, evaluate, report, run, swap,
};
use qponder_shared::api::{Mode, Sampling};
use qponder_shared::manifest::{Label, Row, Split};
use qponder_shared::recipe::FitOn;
use qponder_shared::{Distortion, DistortionKind, Severity};

fn nano() -> Assessor {
    Assessor::load(&PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../models/nano-ci"), Place::Cpu)
        .expect("nano")
}

const HOSTILE: &str = "<script>alert(1)</script>\"'&";

/// Small pictures, each as it is, blurred and noisy; one of three in the training split.
fn dataset(dir: &Path, name: &str) -> PathBuf {
    let dir = dir.join(name);
    std::fs::create_dir_all(&dir).expect("a directory");
    let mut lines = String::new();
    for picture in 0..6_usize {
        let pixel =
            |x: usize, y: usize, c: usize| ((x * (picture + 2) + y * (c + 3) * 5) ^ (x * y / 3)) as u8;
        let data = (0..56 * 56).flat_map(|i| (0..3).map(move |c| pixel(i % 56, i / 56, c))).collect();
        let image = RgbImage::new(56, 56, data).expect("56 x 56");
        let kinds = [None, Some(DistortionKind::GaussianBlur), Some(DistortionKind::WhiteNoise)];
        for (index, kind) in kinds.into_iter().enumerate() {
            let distortion = kind.map(|kind| Distortion { kind, level: Severity::ALL[picture % 5] });
            let image = distortion.map_or_else(|| image.clone(), |d| degrade(&image, d, 1));
            let row = Row {
                image: format!("{picture}-{index}.png"),
                label: Label::Proxy([5.0, 2.0, 3.0][index] - 0.1 * picture as f64),
                mos_std: None,
                reference: picture.to_string(),
                distortions: distortion.into_iter().collect(),
                split: [Split::Train, Split::Val, Split::Test][picture % 3],
                source: "synthetic".into(),
                metrics: None,
                answer: None,
                id: format!("{picture}-{index}{HOSTILE}"),
            };
            std::fs::write(dir.join(&row.image), encode_png(&image).expect("encodes")).expect("writes");
            lines.push_str(&serde_json::to_string(&row).expect("serialises"));
            lines.push('\n');
        }
    }
    let manifest = dir.join("manifest.jsonl");
    std::fs::write(&manifest, lines).expect("writes");
    manifest
}

fn suite(manifests: &[PathBuf], cases: &[Case], models: usize) -> (Suite, Vec<Vec<Scored>>) {
    let assessor = nano();
    let validation = self::cases(manifests, Split::Val, None).expect("rows");
    let consistency = consistency(manifests).expect("rows");
    let plan = Plan { cases, fit_on: Some(&validation), consistency };
    let (mut modes, mut scored) = (Vec::new(), Vec::new());
    for mode in [Mode::Quick, Mode::Reason] {
        let mut done = 0;
        let (report, rows) = evaluate(&assessor, &plan, mode, &mut Kept::none(), &mut |count| {
            done = count;
            Ok(())
        })
        .expect("evaluates");
        assert_eq!(done, plan.images());
        modes.push(report);
        scored.extend(rows);
    }
    let model = |index: usize| ModelReport {
        name: format!("nano {index} {HOSTILE}"),
        model: assessor.info().clone(),
        modes: modes.clone(),
        judge: None,
        swap: None,
        determinism: None,
    };
    let models: Vec<ModelReport> = (0..models).map(model).collect();
    let scored = vec![scored; models.len()];
    let provenance = Provenance::of(manifests, cases, "test", "today".into()).expect("manifests");
    (Suite::new(provenance, models, &scored).expect("the same images"), scored)
}

#[test]
fn models_are_measured_on_each_dataset_and_against_each_other() {
    let dir = tempfile::tempdir().expect("a directory");
    let manifests = [dataset(dir.path(), "one"), dataset(dir.path(), "two")];
    let cases = cases(&manifests, Split::Test, None).expect("rows");
    let (suite, mut scored) = suite(&manifests, &cases, 2);

    let [quick, reason] = suite.models[0].modes.as_slice() else { panic!("two modes") };
    assert_eq!((quick.overall.images, quick.overall.references), (12, 4), "photographs of each dataset");
    assert_eq!(quick.datasets.keys().collect::<Vec<_>>(), ["one", "two"]);
    assert!(quick.datasets.values().all(|found| found.images == 6));
    assert_eq!(
        quick.distortions.iter().map(|(name, found)| (*name, found.images)).collect::<Vec<_>>(),
        [("gaussian_blur", 4), ("none", 4), ("white_noise", 4)]
    );
    assert_eq!(quick.overall.fitted.map(|fitted| fitted.on), Some(FittedOn::ValidationSplit));
    assert!(quick.overall.krcc.expect("spread").interval.is_some() && quick.description.is_none());
    let description = reason.description.as_ref().expect("of the reasoning");
    let naming = description.naming.as_ref().expect("known distortions");
    assert_eq!((naming.all.images, naming.pristine), (8, 4));
    assert_eq!(naming.confusion.counts.iter().flatten().sum::<usize>(), 12);
    assert_eq!(description.support.expect("answers").fitted_rows, 12, "the training rows");

    let matrix = &suite.matrices[0];
    assert_eq!((matrix.datasets.len(), matrix.rows.len()), (2, 2));
    assert_eq!(matrix.rows[0].cells[0].expect("asked").srcc, quick.datasets["one"].srcc);
    let [stages] = suite.stages.as_slice() else { panic!("one pair of models") };
    assert_eq!(stages.comparisons[0].srcc.map(|difference| difference.value), Some(0.0));

    let last = scored[0].last_mut().expect("scores");
    (last.score, last.text) = (None, format!("{HOSTILE} no answer"));
    let page = report::page(&suite, &cases, &scored).expect("a page");
    assert!(!page.contains("<script") && page.contains("&lt;script&gt;alert(1)"), "hostile text is shown");
    assert!(
        page.contains("there is no &lt;answer&gt;") && page.contains("no answer</pre>"),
        "a parse failure"
    );
    assert!(page.contains("data:image/png;base64,iVBOR"), "pictures are within");
    let outside = ["http:", "https:", "url(", "<link", "<iframe", "@import"];
    assert!(outside.iter().all(|from| !page.contains(from)), "nothing comes from elsewhere");
    for tag in ["section", "table", "figure", "svg", "article", "details", "tr", "td", "th", "div"] {
        let [opened, bare, closed] =
            [format!("<{tag} "), format!("<{tag}>"), format!("</{tag}>")].map(|t| page.matches(&t).count());
        assert_eq!(opened + bare, closed, "every <{tag}> is closed");
    }
}

#[test]
fn a_whole_evaluation_tells_how_far_it_is_is_written_and_can_be_stopped() {
    let dir = tempfile::tempdir().expect("a directory");
    let nano = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../models/nano-ci");
    let answers = dir.path().join("answers.jsonl");
    let mut evaluation = Evaluation {
        models: vec![nano.clone(), nano.join("../nano-rl")],
        manifests: vec![dataset(dir.path(), "set")],
        split: Split::Test,
        limit: Some(5),
        modes: vec![Mode::Reason],
        fit_on: FitOn::Val,
        determinism: 2,
        swap: 3,
        device: Place::Cpu,
        answers: None,
    };
    let stop = AtomicBool::new(false);
    let (mut begun, mut steps, mut last) = (Vec::new(), 0, 0);
    let evaluated = run(&evaluation, None, &stop, &mut |event| match event {
        Progress::Started { steps: all, .. } => steps = all,
        Progress::Began { work, of, .. } => begun.push((work, of)),
        Progress::Advanced { step, .. } => last = step,
        Progress::Judging(_) => {}
    })
    .expect("evaluates");
    let of_a_model = [(Work::Answers(Mode::Reason), 5 + 5), (Work::Determinism, 6 * 2), (Work::Swap, 2 * 3)];
    assert_eq!(begun, of_a_model.repeat(2));
    assert_eq!((steps, last), (20, 20), "both models' answers, the validation split's included");
    let suite = &evaluated.suite;
    assert_eq!(
        suite.models.iter().map(|model| model.name.as_str()).collect::<Vec<_>>(),
        ["nano-ci", "nano-rl"]
    );
    assert!(suite.models.iter().all(|model| model.swap.is_some() && model.determinism.is_some()));
    assert_eq!((suite.stages.len(), suite.models[0].modes[0].overall.images), (1, 5));

    let out = dir.path().join("out");
    std::fs::create_dir(&out).expect("a directory");
    evaluated.write(&out).expect("writes");
    let read = |name: &str| std::fs::read_to_string(out.join(name)).expect(name);
    assert_eq!(read("report.json"), serde_json::to_string(suite).expect("serialises"));
    assert!(read("index.html").contains("Evaluation of nano-ci, nano-rl"));
    assert_eq!(read("scores-2.jsonl").lines().count(), 5);

    // A second model that is damaged is found before the first is asked.
    let cut = dir.path().join("cut");
    std::fs::create_dir(&cut).expect("a directory");
    for file in std::fs::read_dir(&nano).expect("a model").flatten().filter(|file| file.path().is_file()) {
        std::fs::copy(file.path(), cut.join(file.file_name())).expect("copies");
    }
    let whole = std::fs::read(nano.join("model.safetensors")).expect("weights");
    std::fs::write(cut.join("model.safetensors"), &whole[..whole.len() - 1]).expect("writes");
    let broken = Evaluation { models: vec![nano.clone(), cut], ..evaluation.clone() };
    let refused =
        run(&broken, None, &stop, &mut |event| panic!("{event:?}")).expect_err("damaged").to_string();
    assert!(refused.contains("bytes where its header says"), "{refused}");

    // Stopped among the second model's answers, it goes on from those that are kept, to the same end.
    evaluation.answers = Some(answers.clone());
    let stopped = run(&evaluation, None, &stop, &mut |event| {
        if matches!(event, Progress::Advanced { step: 15, .. }) {
            stop.store(true, Ordering::Relaxed);
        }
    });
    assert!(matches!(stopped, Err(EvaluateError::Stopped)), "{:?}", stopped.map(|found| found.suite));
    let lines = || std::fs::read_to_string(&answers).expect("a journal").lines().count();
    assert_eq!(lines(), 15);
    stop.store(false, Ordering::Relaxed);
    let resumed = run(&evaluation, None, &stop, &mut |_| {}).expect("goes on");
    assert_eq!(lines(), 20, "none is asked for twice");
    assert_eq!(resumed.scored, evaluated.scored);
    assert_eq!(resumed.suite.models, suite.models);
}

#[test]
fn equal_seeds_give_equal_answers_and_own_reasoning_its_own_score() {
    let dir = tempfile::tempdir().expect("a directory");
    let cases = cases(&[dataset(dir.path(), "set")], Split::Val, None).expect("rows");
    let assessor = nano();
    let checked = check_determinism(&assessor, &cases, 4, &mut |_| Ok(())).expect("answers");
    assert_eq!((checked.images, checked.differences), (4, vec![]));

    let swapped = swap(&assessor, &cases, 1, &mut |_| Ok(())).expect("answers");
    assert_eq!(swapped.images + swapped.without_donor + swapped.unreadable, cases.len());
    assert!(swapped.images > 0, "{swapped:?}");
    assert_eq!(swapped.own.map(|own| own.value), Some(1.0), "{swapped:?}");
}

#[test]
fn a_forced_beginning_stands_at_the_start_of_the_answer() {
    let image = RgbImage::new(56, 56, vec![90; 3 * 56 * 56]).expect("56 x 56");
    let sampling = Sampling { max_new_tokens: 200, ..Sampling::default() };
    let forced = |mode, beginning: &str| Forced {
        request: Request { image: image.clone(), mode, sampling, wording: None },
        beginning: beginning.into(),
    };
    let beginning = "<think>\nsharpness: all is smeared (bad)\nIt is bad.\n</think>\n";
    let requests = vec![forced(Mode::Reason, beginning), forced(Mode::Reason, ""), forced(Mode::Quick, "x")];
    let mut found = vec![None; 3];
    let mut streamed = String::new();
    nano().answer_from(requests, &mut |index, event| {
        match event {
            Event::Text(text) if index == 0 => streamed.push_str(&text),
            Event::Done(answer) => found[index] = Some(answer),
            Event::Refused(reason) | Event::Failed(reason) => panic!("{reason}"),
            Event::Text(_) => {}
        }
        Flow::Continue
    });
    let [forced, free, quick] = found.as_slice() else { panic!("three answers") };
    let (forced, free) = (forced.as_ref().expect("done"), free.as_ref().expect("done"));
    assert_eq!(forced.text, format!("{beginning}{streamed}"), "only what is new is streamed");
    assert!(forced.prompt_tokens > free.prompt_tokens && forced.new_tokens < free.new_tokens);
    assert_eq!(forced.response.attributes.len(), 1);
    assert!(quick.as_ref().is_some_and(|answer| answer.level_probabilities.is_some()));
}

#[test]
fn answers_are_the_same_to_the_bit_in_every_batch_of_up_to_16() {
    #[cfg(target_arch = "x86_64")]
    let is_own = std::arch::is_x86_feature_detected!("avx512f");
    #[cfg(not(target_arch = "x86_64"))]
    let is_own = false;
    // Other matrix products than ours promise the numbers up to rounding only.
    if !is_own {
        return;
    }
    let assessor = nano();
    let image = |seed: usize| {
        let pixel = |i: usize| ((i * (seed + 3)) ^ (i / 168 * 7)) as u8;
        RgbImage::new(168, 140, (0..3 * 168 * 140).map(pixel).collect()).expect("168 x 140")
    };
    let sampling = |seed: u64| Sampling { temperature: 1.0, max_new_tokens: 40, seed, ..Sampling::default() };
    for mode in [Mode::Quick, Mode::Reason] {
        let request = |seed: usize| Request {
            image: image(seed),
            mode,
            sampling: sampling(seed as u64),
            wording: None,
        };
        let answers = |batch: usize| {
            let mut answers = vec![None; 16];
            for first in (0..16).step_by(batch) {
                let requests: Vec<Request> = (first..16.min(first + batch)).map(request).collect();
                assessor.answer(&requests, &mut |index, event| {
                    if let Event::Done(answer) = event {
                        answers[first + index] =
                            Some((answer.text, answer.score, answer.level_probabilities));
                    }
                    Flow::Continue
                });
            }
            answers
        };
        let alone = answers(1);
        assert!(alone.iter().all(Option::is_some), "{alone:?}");
        for batch in [2, 5, 16] {
            assert_eq!(answers(batch), alone, "{mode:?}, {batch} together");
        }
    }
}

#[test]
fn what_is_wrong_with_the_data_is_named_before_any_work() {
    let dir = tempfile::tempdir().expect("a directory");
    let manifest = dataset(dir.path(), "set");
    let twice = cases(&[manifest.clone(), manifest.clone()], Split::Val, None);
    assert!(matches!(twice, Err(EvaluateError::Repeated { .. })), "{twice:?}");
    let text = std::fs::read_to_string(&manifest).expect("rows");
    std::fs::write(&manifest, text.replace("\"test\"", "\"val\"")).expect("writes");
    let none = cases(&[manifest], Split::Test, None).expect_err("no rows").to_string();
    assert!(none.contains("has no test rows"), "{none}");
}
