//! Several models in one server: named, asked, behind an endpoint, gone after a restart.

use std::fs;
use std::path::Path;

use qponder_tests::client::text;
use qponder_tests::faults::{Act, Faults};
use qponder_tests::pictures::png;
use qponder_tests::server::{Server, data_dir, root, run_to_end};
use serde_json::{Value, json};

use crate::{column, eventually, problem, rambling_model};

const CREATE: &str = "/api/v1/assessments";

fn nano(stage: &str) -> String {
    root().join("models").join(stage).to_string_lossy().into_owned()
}

/// Writes the file of a teacher behind an endpoint.
fn teacher(dir: &Path, base_url: &str, model: &str, more: &str) -> String {
    let file = dir.join("teacher.toml");
    let text = format!("[endpoint]\nbase_url = {base_url:?}\nmodel = {model:?}\nfirst_wait = 0.01\n{more}");
    fs::write(&file, text).expect("it can be written");
    file.to_string_lossy().into_owned()
}

#[test]
fn each_of_two_models_answers_when_it_is_asked() {
    let data = data_dir();
    let (rl, ci) = (nano("nano-rl"), nano("nano-ci"));
    let server = Server::start_with(data.path(), &["--model", &rl, "--model", &ci]);
    let info = server.client.get("/api/v1/info").json();
    assert_eq!(info["model"]["name"], "nano-rl");
    assert_eq!(column(&info["models"], "name"), ["nano-rl", "nano-ci"]);
    assert_eq!(column(&info["models"], "role"), ["model", "model"]);
    assert_eq!(column(&info["models"], "where"), ["local", "local"]);
    assert_ne!(info["models"][0]["sha256"], info["models"][1]["sha256"]);
    assert_eq!(column(&server.client.get("/v1/models").json()["data"], "id"), ["nano-rl", "nano-ci"]);

    let image = server.client.add_image("a.png", &png(112, 84, 5));
    let of = |model: &str| server.client.assess(&json!({ "image_id": image, "model": model }));
    let (first, second) = (of("nano-rl"), of("nano-ci"));
    assert_eq!((&first["model"], &second["model"]), (&"nano-rl".into(), &"nano-ci".into()));
    let default = server.client.assess(&json!({ "image_id": image }));
    assert_eq!((&default["model"], &default["text"]), (&first["model"], &first["text"]));

    let unknown = server.client.post(CREATE, &json!({ "image_id": image, "model": "nano-xl" }));
    assert_eq!((unknown.status, problem(&unknown).as_str()), (422, "unprocessable"));
    let detail = text(&unknown.json()["detail"]);
    assert!(["nano-xl", "nano-rl", "nano-ci"].iter().all(|name| detail.contains(name)), "{detail}");
}

#[test]
fn a_teacher_behind_an_endpoint_is_asked_with_its_prompt() {
    let (theirs, ours, files) = (data_dir(), data_dir(), data_dir());
    let other = Server::start_with(theirs.path(), &["--model", &nano("nano-rl")]);
    let file = teacher(files.path(), &format!("{}/v1", other.client.url), "nano-rl", "");
    let arguments = ["--model", &nano("nano-ci"), "--teacher-endpoint", &file, "--teacher-prompt", "trained"];
    let server = Server::start_with(ours.path(), &arguments);
    let models = server.client.get("/api/v1/info").json()["models"].clone();
    assert_eq!(column(&models, "role"), ["model", "teacher"]);
    assert_eq!(column(&models, "where"), ["local", "endpoint"]);

    let image = server.client.add_image("a.png", &png(112, 84, 5));
    let answer = server.client.assess(&json!({ "image_id": image, "model": "nano-rl" }));
    assert_eq!(answer["status"], "done", "{answer}");
    assert_eq!((&answer["model"], &answer["prompt_version"]), (&"nano-rl".into(), &"reason-1".into()));
    assert_eq!(answer["parse_ok"], true, "{answer}");

    for (body, words) in [
        (json!({ "image_id": image, "model": "nano-rl", "mode": "quick" }), "reason mode"),
        (json!({ "image_id": image, "model": "nano-rl", "sampling": { "top_k": 4 } }), "top_k"),
    ] {
        let refused = server.client.post(CREATE, &body);
        assert_eq!(refused.status, 422, "{body}");
        assert!(text(&refused.json()["detail"]).contains(words), "{}", refused.json());
    }
    // The endpoint's key is no user's business, and neither is its address.
    assert!(!models.to_string().contains("http"), "{models}");
}

#[test]
fn an_endpoint_that_fails_says_what_to_do_and_does_not_hold_up_others() {
    let answer = "<think>\nsharpness: crisp (good)\nIt is fine.\n</think>\n<answer>4.00</answer>";
    for (script, status, words) in [
        (Some(Act::Status(401, vec![], "{}".into())), "failed", "api_key_env"),
        (Some(Act::Status(404, vec![], "{}".into())), "failed", "base_url"),
        (Some(Act::HangUp), "failed", "its endpoint runs"),
        (Some(Act::Answer(answer.into())), "done", ""),
        (None, "failed", "its endpoint runs"),
    ] {
        let (data, files) = (data_dir(), data_dir());
        // Busy once, which is tried again, and then as the script says.
        let endpoint = script.clone().map(|act| {
            Faults::start(move |call, _| match call {
                0 => Act::Status(503, vec![], String::new()),
                _ => act.clone(),
            })
        });
        let url =
            endpoint.as_ref().map_or("http://127.0.0.1:9/v1".to_owned(), |endpoint| endpoint.url.clone());
        let file = teacher(files.path(), &url, "wise", "retries = 2\n");
        let server = Server::start_with(data.path(), &["--teacher-endpoint", &file]);
        let image = server.client.add_image("a.png", &png(56, 56, 5));
        let ended = server.client.assess(&json!({ "image_id": image, "model": "wise" }));
        assert_eq!(ended["status"], status, "{script:?}: {ended}");
        let error = ended["error"].as_str().unwrap_or_default();
        assert!(error.contains(words), "{script:?}: {error}");
        if let Some(endpoint) = &endpoint {
            let asked = endpoint.calls()[0].body.to_string();
            assert!(asked.contains("You are an expert in image quality assessment"), "{asked}");
            assert_eq!(ended["prompt_version"], "distil-blind-1");
        }
        if status == "done" {
            assert_eq!((&ended["text"], ended["score"].as_f64()), (&answer.into(), Some(4.0)));
        } else {
            assert!(error.starts_with("wise gave no answer after "), "{error}");
        }
    }
}

#[test]
fn a_teacher_that_stalls_can_be_cancelled_while_others_answer() {
    let (data, files) = (data_dir(), data_dir());
    let endpoint = Faults::start(|_, _| Act::Stall);
    let file = teacher(files.path(), &endpoint.url, "wise", "concurrency = 1\n");
    let server = Server::start_with(data.path(), &["--teacher-endpoint", &file]);
    let image = server.client.add_image("a.png", &png(56, 56, 5));
    let ask =
        || text(&server.client.post(CREATE, &json!({ "image_id": image, "model": "wise" })).json()["id"]);
    let (first, second) = (ask(), ask());
    let local = server.client.assess(&json!({ "image_id": image, "mode": "quick" }));
    assert_eq!(local["status"], "done");
    // One call at a time: the second waits, and no call is made for it.
    eventually(|| (endpoint.calls().len() == 1).then_some(()));
    for id in [&second, &first] {
        let _ = server.client.delete(&format!("{CREATE}/{id}"));
    }
    eventually(|| {
        (server.client.get(&format!("{CREATE}/{first}")).json()["status"] == "cancelled").then_some(())
    });
    assert_eq!(endpoint.calls().len(), 1);
    assert!(server.stop().success(), "a stalled call does not keep the server from stopping");
}

#[test]
fn what_waits_is_taken_up_by_its_model_or_says_that_it_is_gone() {
    let data = data_dir();
    let rambling = rambling_model();
    let name = rambling.rsplit('/').next().expect("a name").to_owned();
    let models = ["--model", &nano("nano-ci"), "--model", &rambling];
    let server = Server::start_with(data.path(), &models);
    let image = server.client.add_image("brook.jpg", include_bytes!("../../fixtures/photographs/brook.jpg"));
    let body = json!({ "image_id": image, "model": name, "sampling": { "max_new_tokens": 4096 } });
    let id = text(&server.client.post(CREATE, &body).json()["id"]);
    let mut events = server.client.events(&format!("{CREATE}/{id}/events"), &[]);
    assert!(events.any(|event| event.name == "token"));
    server.kill();

    let read = |server: &Server| server.client.get(&format!("{CREATE}/{id}")).json();
    let server = Server::start_with(data.path(), &models);
    let again = eventually(|| {
        let now = read(&server);
        (text(&now["text"]).len() > 20).then_some(now)
    });
    assert_eq!(again["model"], name.as_str());
    server.kill();

    let server = Server::start_with(data.path(), &["--model", &nano("nano-ci")]);
    let gone = eventually(|| Some(read(&server)).filter(|now| now["status"] == "failed"));
    assert_eq!((&gone["status"], &gone["score"]), (&"failed".into(), &Value::Null));
    let error = text(&gone["error"]);
    assert!(error.contains(&name) && error.contains("no longer served"), "{error}");
}

#[test]
fn models_that_cannot_be_told_apart_are_refused() {
    let (data, files) = (data_dir(), data_dir());
    let limited = teacher(files.path(), "http://127.0.0.1:9/v1", "m", "[limits]\nmax_calls = 1\n");
    for (arguments, words) in [
        (["--model", &nano("nano-rl"), "--model", &nano("nano")].as_slice(), "two models are called nano-rl"),
        (&["--teacher", "/no/such/teacher"], "/no/such/teacher"),
        (&["--teacher-endpoint", "/no/such/file"], "/no/such/file"),
        (&["--teacher-endpoint", &limited], "limits"),
    ] {
        let output = run_to_end(data.path(), arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && stderr.contains(words), "{arguments:?}: {stderr}");
    }
}
