//! A judge behind an endpoint: in an evaluation and as a reward, against one that misbehaves and against our own
//! server, which is no judge.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use qponder_pipeline::device::Place;
use qponder_pipeline::train::grpo::grpo;
use qponder_pipeline::train::{Progress, TrainError};
use qponder_shared::recipe::GrpoRecipe;
use qponder_tests::faults::{Act, Call, Faults};
use qponder_tests::labelled::dataset;
use qponder_tests::server::{Server, binary, data_dir, root};
use serde_json::Value;

fn verdict(accuracy: f64, remarks: &str) -> String {
    format!(
        "```json\n{{\"remarks\": \"{remarks}\", \"accuracy\": {accuracy}, \"completeness\": 4, \"reasonableness\": 9}}\n```"
    )
}

fn words(call: &Call) -> &str {
    call.body.pointer("/messages/1/content/1/text").and_then(Value::as_str).unwrap_or_default()
}

/// A judge's recipe; `more` are lines of `[endpoint]` and other tables.
fn judge(dir: &Path, url: &str, more: &str) -> String {
    let path = dir.join("judge.toml");
    let text = format!(
        "[endpoint]\nbase_url = '{url}'\nmodel = 'nano'\nconcurrency = 1\nfirst_wait = 0.001\nlongest_wait = 0.01\n{more}"
    );
    fs::write(&path, text).expect("writes");
    path.to_string_lossy().into_owned()
}

fn evaluate(dir: &Path, judge: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.current_dir(dir).args(["evaluate", "--mode", "reason", "--json", "--model"]);
    command.arg(root().join("models/nano-ci")).args(["--dataset", "set/manifest.jsonl", "--judge", judge]);
    command.args(arguments).env("QPONDER_TEST_KEY", KEY).output().expect("it runs")
}

fn report(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

const KEY: &str = "sk-very-secret";
const HOSTILE: &str = "<script>alert(1)</script>";

#[test]
fn verdicts_are_averaged_counted_kept_and_asked_for_once() {
    let dir = data_dir();
    dataset(&dir.path().join("set"), 5, "val");
    let endpoint = Faults::start(|number, _| match number {
        0 => Act::Status(429, vec![("retry-after", "0".into())], String::new()),
        1 => Act::Answer(verdict(8.0, HOSTILE)),
        2 => Act::Cut(verdict(3.0, "")),
        3 => Act::Answer(verdict(2.0, "It says little.")),
        4 => Act::Answer("I like this photograph: 10 of 10.".into()),
        5 => Act::Answer(verdict(11.0, "")),
        6 => Act::Status(400, Vec::new(), format!("{{\"error\":{{\"message\":\"too small {HOSTILE}\"}}}}")),
        _ => Act::Answer(verdict(5.0, "The second time.")),
    });
    let recipe = judge(dir.path(), &endpoint.url, "stream = true\napi_key_env = 'QPONDER_TEST_KEY'\n");
    let output = evaluate(dir.path(), &recipe, &["--html", "page"]);
    assert!(output.status.success(), "{output:?}");
    let found = &report(&output)["models"][0]["judge"];
    let counts = ["answers", "verdicts", "unreadable", "failed"].map(|key| found[key].as_u64());
    assert_eq!(counts, [Some(5), Some(2), Some(2), Some(1)], "{found}");
    let mean = |key: &str| found[key]["value"].as_f64();
    assert_eq!(
        [mean("accuracy"), mean("completeness"), mean("reasonableness")],
        [Some(5.0), Some(4.0), Some(9.0)]
    );
    assert_eq!(found["accuracy"]["interval"]["low"], 2.0, "{found}");
    assert_eq!((&found["model"], &found["prompt_version"]), (&"nano".into(), &"judge-1".into()));
    assert_eq!(found["lowest"][0]["verdict"]["remarks"], "It says little.");

    // What the judge is shown: the image, what is known of it, and the answer in quotes, without the label.
    let calls = endpoint.calls();
    assert_eq!(calls.len(), 7);
    let said = words(&calls[0]);
    assert!(
        said.contains("nothing is known of them") && said.contains("\n> <think>\n> sharpness: "),
        "{said}"
    );
    assert!(calls[0].image().starts_with("data:image/png;base64,") && calls[0].body["temperature"] == 0.0);

    let page = fs::read_to_string(dir.path().join("page/index.html")).expect("a page");
    assert!(
        page.contains("What the judge says") && page.contains("2 verdicts cannot be read, 1"),
        "no section"
    );
    assert!(
        !page.contains("<script") && page.contains("&lt;script&gt;alert(1)"),
        "hostile remarks are shown"
    );
    let journal = fs::read_to_string(dir.path().join("page/verdicts.jsonl")).expect("a journal");
    assert_eq!(journal.lines().count(), 7);
    assert!(journal.contains("I like this photograph"), "raw verdicts are kept");
    assert!(!journal.contains(KEY) && !page.contains(KEY) && !format!("{output:?}").contains(KEY));

    // Again: what was answered is known, readable or not; what failed is asked for once more.
    let output = evaluate(dir.path(), &recipe, &["--html", "page"]);
    let again = &report(&output)["models"][0]["judge"];
    assert_eq!(endpoint.calls().len(), 8);
    assert_eq!((again["verdicts"].as_u64(), again["failed"].as_u64()), (Some(3), Some(0)), "{again}");
    assert_eq!(report(&output)["provenance"]["judge_calls"]["made"], 8);
}

#[test]
fn a_judge_that_is_of_no_use_leaves_a_report_and_a_limit_is_kept() {
    let dir = data_dir();
    dataset(&dir.path().join("set"), 4, "val");
    let endpoint = Faults::start(|_, call| {
        Act::Status(401, Vec::new(), format!("{{\"error\":\"bad key {}\"}}", call.authorization))
    });
    let recipe = judge(dir.path(), &endpoint.url, "api_key_env = 'QPONDER_TEST_KEY'\n");
    let output = evaluate(dir.path(), &recipe, &[]);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && errors.contains("bad key Bearer [key]"), "{errors}");
    assert!(!format!("{output:?}").contains(KEY));
    let found = report(&output);
    assert_eq!(found["models"][0]["judge"]["failed"], 4);
    assert!(found["models"][0]["judge"]["accuracy"].is_null(), "no number is made up");
    assert_eq!(found["models"][0]["modes"][0]["images"], 4, "the rest of the report is there");

    let endpoint = Faults::start(|_, _| Act::Answer(verdict(8.0, "")));
    let recipe = judge(dir.path(), &endpoint.url, "[limits]\nmax_calls = 3\n");
    let output = evaluate(dir.path(), &recipe, &["--scores", "scores.jsonl"]);
    let found = &report(&output)["models"][0]["judge"];
    assert_eq!((found["verdicts"].as_u64(), found["limit"].as_str()), (Some(3), Some("max_calls")));
    assert!(output.status.success() && endpoint.calls().len() == 3);
    assert_eq!(
        fs::read_to_string(dir.path().join("scores.verdicts.jsonl")).expect("kept").lines().count(),
        3
    );

    let quick = evaluate(dir.path(), &recipe, &["--mode", "quick"]);
    assert!(!quick.status.success() && endpoint.calls().len() == 3, "quick mode writes nothing to judge");
    fs::write(dir.path().join("judge.toml"), "[endpoint]\nbase_url = 'nowhere'\nmodel = 'm'\n")
        .expect("writes");
    let broken = evaluate(dir.path(), &recipe, &[]);
    assert!(String::from_utf8_lossy(&broken.stderr).contains("endpoint.base_url"), "{broken:?}");
}

#[test]
fn a_judge_that_cannot_be_asked_ends_everything_before_it_begins() {
    let dir = data_dir();
    dataset(&dir.path().join("set"), 2, "val");
    let body = format!("{{\"error\":{{\"message\":\"bad key {KEY}\"}}}}");
    let locked = Faults::listing(Act::Status(401, Vec::new(), body), |_, call| opinion(call));
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        format!("http://{}/v1", listener.local_addr().expect("its address"))
    };
    for (url, words) in [(&locked.url, "bad key [key]"), (&closed, "refused")] {
        let recipe = judge(dir.path(), url, "api_key_env = 'QPONDER_TEST_KEY'\n");
        let output = evaluate(dir.path(), &recipe, &["--html", "page"]);
        let errors = String::from_utf8_lossy(&output.stderr);
        let begins = format!("{url} cannot be asked: ");
        assert!(errors.contains(&begins) && errors.contains(words), "{errors}");
        assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
        assert!(!dir.path().join("page/answers.jsonl").exists(), "nothing was begun");
    }
    assert!(locked.calls().is_empty());

    dataset(&dir.path().join("train"), 2, "train");
    let mut recipe = rewarded(dir.path(), "out", &closed, "");
    recipe.data.manifests = vec![dir.path().join("train/manifest.jsonl").to_string_lossy().into_owned()];
    let (result, steps) = train(&recipe);
    let error = result.expect_err("nobody is there").to_string();
    assert!(error.contains("cannot be asked") && steps.is_empty(), "{error}");
    assert!(!dir.path().join("out").exists(), "nothing was begun");
}

#[test]
fn scores_that_are_there_stay_until_there_are_new_ones() {
    let dir = data_dir();
    dataset(&dir.path().join("set"), 2, "val");
    let evaluate = |arguments: &[&str]| {
        let mut command = Command::new(binary());
        command.current_dir(dir.path()).args([
            "evaluate",
            "--dataset",
            "set/manifest.jsonl",
            "--mode",
            "quick",
        ]);
        command.arg("--model").arg(root().join("models/nano-ci")).args(arguments).output().expect("it runs")
    };
    let errors = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let scores = dir.path().join("scores.jsonl");
    fs::write(&scores, "what was there\n").expect("writes");
    let failed = evaluate(&["--scores", "scores.jsonl", "--split", "test"]);
    assert!(!failed.status.success() && errors(&failed).contains("no test rows"), "{failed:?}");
    assert_eq!(fs::read_to_string(&scores).expect("it stays"), "what was there\n");
    let itself = evaluate(&["--scores", "set/manifest.jsonl"]);
    assert!(errors(&itself).contains("is a manifest of this evaluation"), "{itself:?}");
    let nowhere = evaluate(&["--scores", "nowhere/scores.jsonl"]);
    assert!(errors(&nowhere).contains("a directory that is there"), "{nowhere:?}");
    std::os::unix::fs::symlink(&scores, dir.path().join("link.jsonl")).expect("a link");
    let link = evaluate(&["--scores", "link.jsonl"]);
    assert!(errors(&link).contains("is no ordinary file"), "{link:?}");
    assert!(!evaluate(&["--limit", "0"]).status.success());
    let done = evaluate(&["--scores", "scores.jsonl"]);
    assert!(done.status.success(), "{done:?}");
    assert_eq!(lines(&scores).len(), 2);
    let names = fs::read_dir(dir.path()).expect("a directory").flatten();
    let names: BTreeSet<String> = names.map(|file| file.file_name().to_string_lossy().into_owned()).collect();
    assert!(!names.iter().any(|name| name.contains("answers") || name.contains("partial")), "{names:?}");
}

#[test]
fn our_own_server_answers_and_is_no_judge() {
    let dir = data_dir();
    dataset(&dir.path().join("set"), 3, "val");
    let server = Server::start(&dir.path().join("data"));
    let recipe = judge(dir.path(), &format!("{}/v1", server.client.url), "");
    // One answer: nano does not know when to stop.
    let output = evaluate(dir.path(), &recipe, &["--limit", "1"]);
    assert!(output.status.success(), "{output:?}");
    let found = report(&output);
    let judge = &found["models"][0]["judge"];
    let counts = ["answers", "verdicts", "unreadable", "failed"].map(|key| judge[key].as_u64());
    assert_eq!(counts, [Some(1), Some(0), Some(1), Some(0)], "{judge}");
    assert!(judge["accuracy"].is_null() && judge["lowest"].as_array().is_some_and(Vec::is_empty));
}

#[test]
fn swapped_reasoning_is_in_the_report() {
    let dir = data_dir();
    dataset(&dir.path().join("set"), 3, "val");
    let mut command = Command::new(binary());
    command.current_dir(dir.path()).args(["evaluate", "--dataset", "set/manifest.jsonl", "--mode", "quick"]);
    command.args(["--swap", "3", "--html", "page", "--json", "--model"]).arg(root().join("models/nano-ci"));
    let output = command.output().expect("it runs");
    let found = report(&output);
    // Three opinions: 1.5, 2.0 and 2.5 points, the outer two of which can lend each other their reasoning.
    let swap = &found["models"][0]["swap"];
    let left_out = ["without_donor", "unreadable"].map(|key| swap[key].as_u64().unwrap_or_default());
    assert_eq!(swap["images"].as_u64().unwrap_or_default() + left_out.iter().sum::<u64>(), 3, "{swap}");
    assert!(left_out[0] == 1 && swap["donor"]["parse_failures"].is_u64(), "{swap}");
    let page = fs::read_to_string(dir.path().join("page/index.html")).expect("a page");
    assert!(
        page.contains("Whether the reasoning decides the score") && page.contains("After another"),
        "no section"
    );
}

/// GRPO of nano where only the judge's opinion counts.
fn rewarded(dir: &Path, out: &str, url: &str, more: &str) -> GrpoRecipe {
    let text = format!(
        "base = '{}'\nout = '{}'\n[data]\nmanifests = ['{}']\n[rollout]\ngroup = 3\nmax_new_tokens = 12\n\
         temperature = 4.0\n[reward]\nformat = 0.0\nscore = 0.0\nconsistency = 0.0\ndistortion = 0.0\njudge = 1.0\n\
         [train]\nsteps = 3\nimages = 2\nwarmup = 0\nlearning_rate = 1e-3\nmask_truncated = false\n\
         checkpoint_every = 100\n[validation]\nimages = 0\n[judge]\nbase_url = '{url}'\nmodel = 'm'\n\
         concurrency = 2\nfirst_wait = 0.001\nlongest_wait = 0.01\n{more}",
        root().join("models/nano-ci").display(),
        dir.join(out).display(),
        dir.join("set/manifest.jsonl").display()
    );
    GrpoRecipe::parse(&text).expect("a recipe")
}

/// A grade that depends on the answer alone.
fn opinion(call: &Call) -> Act {
    let answer = words(call).lines().filter(|line| line.starts_with('>'));
    let letters = answer.flat_map(str::bytes).fold(7_u32, |sum, byte| sum.wrapping_mul(31) + u32::from(byte));
    Act::Answer(verdict(f64::from(letters % 11), ""))
}

fn train(recipe: &GrpoRecipe) -> (Result<(), TrainError>, Vec<Value>) {
    let mut steps = Vec::new();
    let result = grpo(recipe, Place::Cpu, &AtomicBool::new(false), &mut |event| {
        if let Progress::Policy { metrics, .. } = event {
            steps.push(serde_json::to_value(metrics).expect("numbers"));
        }
    });
    (result, steps)
}

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn a_judge_rewards_and_what_it_does_not_say_is_counted() {
    let dir = data_dir();
    dataset(&dir.path().join("set"), 4, "train");
    let endpoint = Faults::start(|number, call| match number {
        0 => Act::Status(500, Vec::new(), String::new()),
        1 => Act::Answer("no opinion".into()),
        2 => Act::Status(422, Vec::new(), String::new()),
        _ => opinion(call),
    });
    let recipe = rewarded(dir.path(), "out", &endpoint.url, "");
    let (result, steps) = train(&recipe);
    result.expect("it trains");
    let first = &steps[0];
    assert_eq!((&first["judge/failures"], &first["judge/unreadable"]), (&2.0.into(), &1.0.into()), "{first}");
    assert_eq!(steps[1]["judge/failures"], 0.0);
    assert!(first["rewards/judge/std"].as_f64().is_some_and(|std| std > 0.0), "{first}");
    assert!(first["grad_norm"].as_f64().is_some_and(|norm| norm > 0.0), "it teaches: {first}");
    // The reward is the judge's term alone, and what is shown of it are verdicts alone.
    let difference = |step: &Value| {
        step["reward"].as_f64().zip(step["rewards/judge/mean"].as_f64()).map(|(a, b)| (a - b).abs())
    };
    assert!(difference(&steps[1]).is_some_and(|difference| difference < 1e-9), "{}", steps[1]);
    let kept = lines(&dir.path().join("out/completions.jsonl"));
    assert_eq!(kept.len(), 3 * 2 * 3, "every answer of each group");
    assert!(kept.iter().all(|line| line.get("judge").is_some()), "{}", kept[0]);
    assert!(kept[6]["judge"] == kept[6]["reward"], "{}", kept[6]);
    assert!(kept[..6].iter().any(|line| line["judge"].is_null()), "{kept:?}");
    // Mirrored images are judged as the policy saw them.
    let images: BTreeSet<String> = endpoint.calls().iter().map(|call| call.image().to_owned()).collect();
    assert_eq!(images.len(), 6, "an image of a step each, turned in its own way");
}

#[test]
fn a_run_whose_judge_says_nothing_stops_and_goes_on_exactly_when_it_does() {
    let dir = data_dir();
    dataset(&dir.path().join("set"), 4, "train");
    let steady = Faults::start(|_, call| opinion(call));
    let whole = rewarded(dir.path(), "whole", &steady.url, "");
    train(&whole).0.expect("it trains");

    // The first step is judged; then the judge talks nonsense, then it is down, then it is back.
    let mood = Arc::new(AtomicUsize::new(0));
    let shown = Arc::clone(&mood);
    let moody = Faults::start(move |_, call| match shown.load(Ordering::Relaxed) {
        0 | 3 => opinion(call),
        1 => Act::Answer("no opinion".into()),
        _ => Act::Status(503, Vec::new(), "maintenance".into()),
    });
    let recipe = rewarded(dir.path(), "parts", &moody.url, "retries = 0");
    let stop = AtomicBool::new(false);
    let result = grpo(&recipe, Place::Cpu, &stop, &mut |event| {
        if matches!(event, Progress::Policy { step: 1, .. }) {
            mood.store(1, Ordering::Relaxed);
        }
    });
    let error = result.expect_err("no verdict").to_string();
    assert!(error.contains("step 2") && error.contains("there is no JSON object"), "{error}");
    let saved = dir.path().join("parts/checkpoint-00000001.safetensors");
    assert!(saved.is_file(), "the checkpoint of the step before is kept");
    mood.store(2, Ordering::Relaxed);
    let error = train(&recipe).0.expect_err("no verdict").to_string();
    assert!(error.contains("maintenance") && saved.is_file(), "{error}");
    mood.store(3, Ordering::Relaxed);
    train(&recipe).0.expect("it goes on");
    let weights = |out: &str| fs::read(dir.path().join(out).join("model.safetensors")).expect("a model");
    assert!(weights("whole") == weights("parts"), "a judge that answers equally resumes exactly");
    let steps = |out: &str| -> Vec<Value> {
        let all = lines(&dir.path().join(out).join("completions.jsonl"));
        all.into_iter().map(|line| line["text"].clone()).collect()
    };
    assert_eq!(steps("whole"), steps("parts"));

    // A judge that does not take our key is of no use from the first call on.
    let locked = Faults::start(|_, _| Act::Status(401, Vec::new(), "who are you".into()));
    let (result, _) = train(&rewarded(dir.path(), "locked", &locked.url, ""));
    let Err(TrainError::Judge { step: 1, reason }) = result else { panic!("{result:?}") };
    assert!(reason.contains("who are you"), "{reason}");
}

#[test]
fn a_run_can_be_stopped_while_it_waits_for_the_judge() {
    let dir = data_dir();
    dataset(&dir.path().join("set"), 2, "train");
    let stop = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&stop);
    let busy = Faults::start(move |_, _| {
        seen.store(true, Ordering::Relaxed);
        Act::Status(429, vec![("retry-after", "3600".into())], String::new())
    });
    let result = grpo(&rewarded(dir.path(), "out", &busy.url, ""), Place::Cpu, &stop, &mut |_| {});
    assert!(matches!(result, Err(TrainError::Stopped { step: 0 })), "{result:?}");
    assert!(dir.path().join("out/checkpoint-00000000.safetensors").is_file());
}
