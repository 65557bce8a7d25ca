//! Distillation through its public interface: against our own server, and against one that misbehaves.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use qponder_pipeline::calls::{CallsError, Event, Limit};
use qponder_pipeline::device::Place;
use qponder_pipeline::distil::{DistilError, Progress, Report, distil, estimate};
use qponder_pipeline::teacher;
use qponder_pipeline::train::data::read_manifests;
use qponder_pipeline::train::sft;
use qponder_shared::manifest::{Label, Row, Split};
use qponder_shared::recipe::{Data, DistilRecipe, SftRecipe, Train, Validation};
use qponder_shared::{Score, grammar};
use qponder_tests::faults::{Act, Faults};
use qponder_tests::pictures::png;
use qponder_tests::server::{Server, binary, data_dir, root};
use serde_json::Value;

/// A dataset of small pictures with the same label, in a folder of its own beside the output.
fn dataset(dir: &Path, pictures: u8) -> PathBuf {
    let folder = dir.join("set/images");
    fs::create_dir_all(&folder).expect("a folder");
    let mut lines = String::new();
    for picture in 0..pictures {
        let id = format!("p{picture}");
        fs::write(folder.join(format!("{id}.png")), png(112, 84, picture.wrapping_mul(37))).expect("writes");
        let row = Row {
            image: format!("images/{id}.png"),
            label: Label::Mos(2.5),
            mos_std: None,
            reference: id.clone(),
            distortions: Vec::new(),
            split: Split::Train,
            source: "synthetic".into(),
            metrics: None,
            answer: None,
            id,
        };
        lines.push_str(&(serde_json::to_string(&row).expect("serialises") + "\n"));
    }
    let manifest = dir.join("set/manifest.jsonl");
    fs::write(&manifest, lines).expect("writes");
    manifest
}

/// A recipe for `url`; `more` are lines of other tables.
fn recipe_text(dir: &Path, url: &str, endpoint: &str, more: &str) -> String {
    format!(
        "out = '{}'\n[data]\nmanifests = ['{}']\n[endpoint]\nbase_url = '{url}'\nmodel = 'nano'\n\
         first_wait = 0.001\nlongest_wait = 0.01\n{endpoint}\n{more}",
        dir.join("out").display(),
        dir.join("set/manifest.jsonl").display()
    )
}

fn recipe(dir: &Path, url: &str, endpoint: &str, more: &str) -> DistilRecipe {
    DistilRecipe::parse(&recipe_text(dir, url, endpoint, more)).expect("a recipe")
}

/// A good answer, another for every number.
fn answer(number: usize) -> String {
    teacher::write(&[], Score::clamped(2.6).unwrap_or(Score::MIN), number as u64)
}

/// The words of `answer` for all: near-duplicates are not what these tests are about.
const LENIENT: &str = "[filters]\non = ['attributes', 'score', 'leak']\n";

fn run(recipe: &DistilRecipe) -> (Result<Report, DistilError>, Vec<Progress>) {
    let mut events = Vec::new();
    let result = distil(recipe, &AtomicBool::new(false), &mut |event| events.push(event.clone()));
    (result, events)
}

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn outcomes(dir: &Path) -> Vec<String> {
    let said = |entry: &Value| entry["cause"].as_str().unwrap_or("answered").to_owned();
    lines(&dir.join("out/replies.jsonl")).iter().map(said).collect()
}

#[test]
fn our_own_server_teaches_and_a_second_run_asks_nothing() {
    let dir = data_dir();
    dataset(dir.path(), 5);
    let server = Server::start(&dir.path().join("data"));
    let url = format!("{}/v1", server.client.url);
    let more = "[ask]\nprompt = 'reason'\nanswers = 2\ntemperature = 0.4\nmax_tokens = 256\n[filters]\non = ['attributes']\n";
    for (endpoint, out) in [("", "whole"), ("stream = true", "streamed")] {
        let recipe = DistilRecipe {
            out: dir.path().join(out).to_string_lossy().into_owned(),
            ..recipe(dir.path(), &url, endpoint, more)
        };
        let before = estimate(&recipe).expect("an estimate");
        assert_eq!((before.images, before.wanted, before.known, before.calls), (5, 10, 0, 10));
        let (first, _) = run(&recipe);
        let first = first.expect("distils");
        assert_eq!((first.wanted, first.answered, first.calls.made), (10, 10, 10));
        assert!(first.calls.failed.is_empty() && first.accepted >= 5, "{first:?}");
        assert!(first.calls.prompt_tokens > 10 * 12 && first.calls.completion_tokens > 10 * 20, "{first:?}");

        let out = Path::new(&recipe.out);
        let journal = fs::read(out.join("replies.jsonl")).expect("a journal");
        let manifest = fs::read(out.join("manifest.jsonl")).expect("a manifest");
        let (second, events) = run(&recipe);
        assert_eq!(second.expect("distils"), first);
        assert!(
            !events.iter().any(|event| matches!(event, Progress::Call(Event::Answered { .. }))),
            "{events:?}"
        );
        assert!(fs::read(out.join("replies.jsonl")).expect("a journal") == journal, "it asked again");
        assert!(fs::read(out.join("manifest.jsonl")).expect("a manifest") == manifest);
        assert_eq!(estimate(&recipe).expect("an estimate").calls, 0);
    }
    let read = |out: &str| lines(&dir.path().join(out).join("manifest.jsonl"));
    let by_id = |rows: Vec<Value>| -> BTreeMap<String, Value> {
        rows.into_iter().map(|row| (row["id"].to_string(), row["answer"].clone())).collect()
    };
    // The same seeds give the same answers, streamed or not.
    assert_eq!(by_id(read("whole")), by_id(read("streamed")));

    let manifest = dir.path().join("whole/manifest.jsonl");
    let items = read_manifests(&[&manifest], Split::Train).expect("rows");
    for item in &items {
        let response = grammar::parse(item.row.answer.as_deref().unwrap_or_default());
        assert!(response.is_well_formed(), "{:?}", response.faults);
        assert_eq!(item.row.label, Label::Mos(2.5));
        item.image().expect("the image is found from the new manifest");
    }
    let training = SftRecipe {
        base: root().join("models/nano-ci").to_string_lossy().into_owned(),
        out: dir.path().join("sft").to_string_lossy().into_owned(),
        data: Data {
            manifests: vec![manifest.to_string_lossy().into_owned()],
            augment: false,
            pristine: 0.0,
        },
        train: Train { steps: 1, warmup: 0, batch: 2, micro_batch: 1, ..Train::default() },
        lora: None,
        validation: Validation { every: 1, images: 0, reasoning_images: 0 },
    };
    sft(&training, Place::Cpu, &AtomicBool::new(false), &mut |_| {}).expect("the cold start learns from it");
}

#[test]
fn faults_that_may_pass_are_tried_again_and_every_reply_is_kept() {
    let dir = data_dir();
    dataset(dir.path(), 1);
    let endpoint = Faults::start(|number, _| match number {
        0 => {
            Act::Status(429, vec![("retry-after", "0".into())], r#"{"error":{"message":"slow down"}}"#.into())
        }
        1 => Act::Status(500, Vec::new(), "<html>oops</html>".into()),
        2 => Act::Stall,
        3 => Act::Cut(answer(0)),
        4 => Act::Status(200, Vec::new(), "\u{1}garbage".into()),
        5 => Act::HangUp,
        _ => Act::Answer(answer(0)),
    });
    let recipe = recipe(dir.path(), &endpoint.url, "stream = true\ntimeout = 0.5\nretries = 6", LENIENT);
    let (report, events) = run(&recipe);
    let report = report.expect("it gets its answer in the end");
    let causes = ["rate_limited", "unavailable", "timeout", "cut_off", "unreadable", "connection"];
    assert_eq!(outcomes(dir.path()), [&causes[..], &["answered"]].concat());
    let retried: Vec<&str> = events
        .iter()
        .filter_map(|event| match event {
            Progress::Call(Event::Retrying { cause, .. }) => Some(cause.name()),
            _ => None,
        })
        .collect();
    assert_eq!(retried, causes);
    assert_eq!((report.accepted, report.calls.made, report.calls.unanswered), (1, 7, 0));
    assert_eq!(report.calls.failed, causes.map(|cause| (cause, 1)).into());
    let kept = lines(&dir.path().join("out/replies.jsonl"));
    for (index, words) in
        [(0, "slow down"), (1, "<html>oops"), (3, "sharpness"), (4, "garbage"), (6, "[DONE]")]
    {
        assert!(kept[index]["body"].as_str().is_some_and(|body| body.contains(words)), "{}", kept[index]);
    }
    assert_eq!(kept[0]["message"], "status 429: slow down");
    // Seven times the same question.
    let calls = endpoint.calls();
    assert!(calls.iter().all(|call| call.body == calls[0].body));
    assert!(calls[0].image().starts_with("data:image/png;base64,iVBORw0KGgo"), "{}", calls[0].image());
    let saved: Value =
        serde_json::from_str(&fs::read_to_string(dir.path().join("out/report.json")).expect("a report"))
            .expect("JSON");
    assert_eq!(saved["calls"]["failed"]["cut_off"], 1);
    assert_eq!(saved["refused"]["score"], 0);
}

#[test]
fn a_wait_that_was_asked_for_is_kept_and_can_be_interrupted() {
    let dir = data_dir();
    dataset(dir.path(), 2);
    let endpoint =
        Faults::start(|_, _| Act::Status(429, vec![("retry-after", "3600".into())], String::new()));
    let recipe = recipe(dir.path(), &endpoint.url, "concurrency = 1", "");
    let stop = AtomicBool::new(false);
    let mut waits = Vec::new();
    let result = distil(&recipe, &stop, &mut |event| {
        if let Progress::Call(Event::Retrying { wait_ms, .. }) = event {
            waits.push(*wait_ms);
            stop.store(true, Ordering::Relaxed);
        }
    });
    assert!(
        matches!(result, Err(DistilError::Calls(CallsError::Stopped { answered: 0, wanted: 2 }))),
        "{result:?}"
    );
    assert!(matches!(waits[..], [3_600_000..=3_601_000]), "{waits:?}");
    assert_eq!(endpoint.calls().len(), 1);
}

#[test]
fn an_interrupted_run_goes_on_where_it_was_and_repeats_no_call() {
    let dir = data_dir();
    dataset(dir.path(), 6);
    let endpoint = Faults::start(|number, _| Act::Answer(answer(number)));
    let recipe = recipe(dir.path(), &endpoint.url, "concurrency = 1", LENIENT);
    let stop = AtomicBool::new(false);
    let stopped = distil(&recipe, &stop, &mut |event| {
        if matches!(event, Progress::Call(Event::Answered { answered: 2, .. })) {
            stop.store(true, Ordering::Relaxed);
        }
    });
    let Err(DistilError::Calls(CallsError::Stopped { answered, wanted: 6 })) = stopped else {
        panic!("{stopped:?}")
    };
    assert_eq!((answered, endpoint.calls().len()), (2, 2));
    assert_eq!(lines(&dir.path().join("out/manifest.jsonl")).len(), answered);
    // As a power cut within a write would leave it.
    let journal = dir.path().join("out/replies.jsonl");
    let whole = fs::read_to_string(&journal).expect("a journal");
    fs::write(&journal, format!("{whole}{{\"id\":\"p5/0@dis")).expect("writes");
    let (report, events) = run(&recipe);
    let report = report.expect("goes on");
    assert!(matches!(events[0], Progress::Started { torn: true, .. }), "{:?}", events[0]);
    assert_eq!((report.answered, report.accepted, report.calls.made), (6, 6, 6));
    let mut images: Vec<_> = endpoint.calls().iter().map(|call| call.image().to_owned()).collect();
    images.sort();
    images.dedup();
    assert_eq!((endpoint.calls().len(), images.len()), (6, 6));

    // Other filters need no call; another question is another request.
    let strict = DistilRecipe::parse(&recipe_text(
        dir.path(),
        &endpoint.url,
        "",
        "[filters]\non = ['score']\ntolerance = 0.05\n",
    ));
    let report = run(&strict.expect("a recipe")).0.expect("filters");
    assert_eq!((report.accepted, report.refused["score"], report.refused_by_it_alone["score"]), (0, 6, 6));
    let rejected = lines(&dir.path().join("out/rejected.jsonl"));
    assert_eq!(rejected[0]["reasons"][0]["reason"], "score");
    assert_eq!(endpoint.calls().len(), 6);
    let other =
        recipe_text(dir.path(), &endpoint.url, "", &format!("[ask]\nprompt = 'conditioned'\n{LENIENT}"));
    run(&DistilRecipe::parse(&other).expect("a recipe")).0.expect("asks");
    let calls = endpoint.calls();
    assert_eq!(calls.len(), 12);
    let words = calls[11].body["messages"][1]["content"][1]["text"].as_str().unwrap_or_default();
    assert!(words.contains("2.50 on a scale"), "{words}");
}

#[test]
fn no_limit_is_overstepped() {
    let dir = data_dir();
    dataset(dir.path(), 8);
    let endpoint = Faults::start(|number, _| Act::Answer(answer(number)));
    let limited = |limit: &str| {
        run(&recipe(dir.path(), &endpoint.url, "concurrency = 4", &format!("{LENIENT}{limit}")))
    };
    let (report, _) = limited("[limits]\nmax_calls = 3\n");
    let report = report.expect("a limit is no error");
    assert_eq!((report.answered, report.limit), (3, Some(Limit::MaxCalls)));
    // 120 tokens a call at a million for a token each: 120 a call, and far more at worst.
    let prices = "prompt_price = 1e6\ncompletion_price = 1e6\n";
    let (report, _) = limited(&format!("[limits]\nmax_cost = 100.0\n{prices}"));
    let report = report.expect("a limit is no error");
    assert_eq!((report.answered, report.limit), (3, Some(Limit::MaxCost)));
    assert_eq!(endpoint.calls().len(), 3);
    let (report, _) = limited(&format!("[limits]\nmax_cost = 1e6\n{prices}"));
    let report = report.expect("the rest");
    assert_eq!((report.answered, report.limit, endpoint.calls().len()), (8, None, 8));
    // The first three were free.
    assert!((report.calls.cost - 5.0 * 120.0).abs() < 1e-6, "{}", report.calls.cost);
}

#[test]
fn what_cannot_pass_is_not_tried_again() {
    let dir = data_dir();
    dataset(dir.path(), 12);
    // One image is refused; the others get their answers.
    let refused = "iVBORw0KGgo";
    let first = std::sync::OnceLock::new();
    let endpoint = Faults::start(move |number, call| {
        assert!(call.image().contains(refused));
        if first.get_or_init(|| call.image().to_owned()) == call.image() {
            return Act::Status(400, Vec::new(), r#"{"error":{"message":"image too small"}}"#.into());
        }
        Act::Answer(answer(number))
    });
    let (report, events) = run(&recipe(dir.path(), &endpoint.url, "", LENIENT));
    let report = report.expect("one refused image is no reason to stop");
    assert_eq!((report.answered, report.calls.unanswered, endpoint.calls().len()), (11, 1, 12));
    let failed = events.iter().find_map(|event| match event {
        Progress::Call(Event::Failed { message, .. }) => Some(message.as_str()),
        _ => None,
    });
    assert_eq!(failed, Some("status 400: image too small"));
    // Once more: only that one is asked for.
    run(&recipe(dir.path(), &endpoint.url, "", LENIENT)).0.expect("once more");
    assert_eq!(endpoint.calls().len(), 13);

    // An endpoint that is down is not asked for ever.
    let down = data_dir();
    dataset(down.path(), 12);
    let endpoint = Faults::start(|_, _| Act::Status(503, Vec::new(), "maintenance".into()));
    let (result, _) = run(&recipe(down.path(), &endpoint.url, "concurrency = 1\nretries = 1", ""));
    let Err(DistilError::Calls(CallsError::GaveUp { failures: 10, message, .. })) = result else {
        panic!("{result:?}")
    };
    assert_eq!(message, "status 503: maintenance");
    assert_eq!(endpoint.calls().len(), 20);
}

#[test]
fn a_key_is_sent_and_never_written() {
    const KEY: &str = "sk-very-secret";
    let dir = data_dir();
    dataset(dir.path(), 3);
    let endpoint = Faults::start(|_, call| {
        let said = format!(r#"{{"error":{{"message":"bad key {}"}}}}"#, call.authorization);
        Act::Status(401, Vec::new(), said)
    });
    let file = dir.path().join("recipe.toml");
    let keyed = "api_key_env = 'QPONDER_TEST_KEY'\nconcurrency = 1";
    fs::write(&file, recipe_text(dir.path(), &endpoint.url, keyed, "")).expect("writes");
    let command = |arguments: &[&str], key: Option<&str>| {
        let mut command = Command::new(binary());
        command.args(["distil", "--recipe"]).arg(&file).args(arguments).env_remove("QPONDER_TEST_KEY");
        if let Some(key) = key {
            command.env("QPONDER_TEST_KEY", key);
        }
        command.output().expect("it runs")
    };
    let output = command(&["--dry-run"], None);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("3 calls"), "{output:?}");
    let output = command(&[], None);
    assert!(String::from_utf8_lossy(&output.stderr).contains("QPONDER_TEST_KEY"), "{output:?}");
    assert!(endpoint.calls().is_empty(), "nothing may be asked without the key, or in a dry run");

    let output = command(&[], Some(KEY));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("bad key Bearer [key]"), "{output:?}");
    assert_eq!(endpoint.calls().len(), 1);
    assert_eq!(endpoint.calls()[0].authorization, format!("Bearer {KEY}"));
    for entry in fs::read_dir(dir.path().join("out")).expect("the output") {
        let path = entry.expect("an entry").path();
        let text = fs::read_to_string(&path).expect("text");
        assert!(!text.contains(KEY) && !text.contains("base64"), "{}", path.display());
    }
    assert!(!format!("{output:?}").contains(KEY));
}

#[test]
fn what_is_wrong_is_named_before_any_call() {
    let dir = data_dir();
    let manifest = dataset(dir.path(), 2);
    let endpoint = Faults::start(|number, _| Act::Answer(answer(number)));
    let recipe = recipe(dir.path(), &endpoint.url, "", LENIENT);
    let good = fs::read_to_string(&manifest).expect("a manifest");
    for (text, words) in [
        (good.replace("2.5", "7.5"), "7.5, which is outside 1 to 5"),
        (good.replace("\"id\":\"p1\"", "\"id\":\"p0\""), "id p0"),
        (good.replace("train", "val"), "no train rows"),
        (format!("{good}{{\"id\":3}}\n"), "line 3"),
    ] {
        fs::write(&manifest, &text).expect("writes");
        let error = run(&recipe).0.map(|_| ()).expect_err(words).to_string();
        assert!(error.contains(words), "{error}");
    }
    assert!(endpoint.calls().is_empty());

    // A broken image costs its own answer; a row that stands twice is asked about once.
    fs::write(&manifest, format!("{good}{good}")).expect("writes");
    fs::write(dir.path().join("set/images/p1.png"), "shopping: milk").expect("writes");
    let dry = estimate(&recipe).expect("an estimate");
    assert_eq!((dry.images, dry.calls, dry.unreadable.len()), (2, 1, 1));
    let (report, events) = run(&recipe);
    let report = report.expect("the other image");
    assert_eq!((report.answered, report.unreadable_images, endpoint.calls().len()), (1, 1, 1));
    let skipped = events.iter().find_map(|event| match event {
        Progress::Call(Event::Skipped { id, reason }) => Some((id.as_str(), reason.as_str())),
        _ => None,
    });
    assert!(skipped.is_some_and(|(id, reason)| id == "p1" && reason.contains("a text file")), "{skipped:?}");
}
