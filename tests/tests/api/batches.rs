//! Jobs that train nothing: models that answer about a whole dataset, and models that are exported.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use qponder_tests::client::{Client, text};
use qponder_tests::server::{Server, binary, data_dir, root};
use qponder_tests::trainings::{add_dataset, kill_training};
use serde_json::{Value, json};

use crate::eventually;
use crate::jobs::{outcomes, queue, recipe, wait_for_state, wait_for_step};

fn images(client: &Client) -> Vec<String> {
    let page = client.get("/api/v1/images?limit=100").json();
    page["items"].as_array().expect("images").iter().map(|image| text(&image["id"])).collect()
}

fn answers(client: &Client, image: &str) -> Vec<Value> {
    let page = client.get(&format!("/api/v1/images/{image}/assessments")).json();
    page["items"].as_array().expect("assessments").clone()
}

#[test]
fn a_batch_that_is_killed_and_stopped_is_answered_once_and_can_be_compared() {
    let data = data_dir();
    let server = Server::start(data.path());
    let client = &server.client;
    let dataset = add_dataset(client, data.path());
    let trained =
        json!({ "kind": "sft", "name": "Learned", "recipe": recipe("model:nano-rl", &dataset, 2, 4) });
    let trained = queue(client, &trained);
    wait_for_state(client, &trained, "done");
    let batch = format!(
        "models = [\"model:nano-rl\", \"job:{trained}\"]\n[data]\nmanifests = [\"dataset:{dataset}\"]\n\
         [answer]\nmax_new_tokens = 256\nbatch = 2\n"
    );
    let id = queue(client, &json!({ "kind": "assess_batch", "name": "Everything", "recipe": batch }));
    wait_for_step(client, &id, 3);
    eventually(|| kill_training(&id).then_some(()));
    let failed = wait_for_state(client, &id, "queued");
    assert!(text(&failed["error"]).contains("killed"), "{failed}");
    wait_for_step(client, &id, 6);
    // The server stops in good order, its worker with it.
    let _ = server.stop();
    let server = Server::start(data.path());
    let client = &server.client;
    let done = wait_for_state(client, &id, "done");
    assert_eq!(outcomes(client, &id), ["failed", "released", "done"]);
    let images = images(client);
    let count = images.len() as u64;
    assert_eq!((done["step"].as_u64(), done["steps"].as_u64()), (Some(2 * count), Some(2 * count)), "{done}");
    let names: BTreeSet<String> =
        done["outcome"]["models"].as_array().expect("models").iter().map(text).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(names.contains("nano-rl") && names.iter().any(|name| name.starts_with("Learned #")), "{names:?}");
    assert_eq!(
        (done["outcome"]["images"].as_u64(), done["outcome"]["answered"].as_u64()),
        (Some(count), Some(2 * count))
    );
    // Each model has answered once about each image, in the words that it has for whoever asks about that one alone.
    for image in &images {
        let answers = answers(client, image);
        let by: BTreeSet<String> = answers.iter().map(|answer| text(&answer["model"])).collect();
        assert_eq!((answers.len(), &by), (2, &names), "{image}");
        assert!(answers.iter().all(|answer| answer["status"] == "done"), "{answers:?}");
    }
    let asked = json!({ "image_id": images[0], "model": "nano-rl", "mode": "reason",
        "sampling": { "max_new_tokens": 256 } });
    let alone = client.assess(&asked);
    let listed = answers(client, &images[0]);
    let batched = listed.iter().find(|one| one["model"] == "nano-rl" && one["id"] != alone["id"]);
    let batched = batched.expect("the batch's answer");
    assert_eq!((&batched["text"], &batched["score"]), (&alone["text"], &alone["score"]));
    // The pairs are there, without anybody having asked for them.
    let learned = names.iter().find(|name| name.starts_with("Learned")).expect("a name");
    let query = format!("left=nano-rl&right={}", learned.replace(' ', "%20").replace('#', "%23"));
    let pairs = client.get(&format!("/api/v1/comparison?{query}&limit=100")).json();
    let whole = |pair: &&Value| pair["left"].is_object() && pair["right"].is_object();
    let pairs = pairs["items"].as_array().expect("pairs").iter().filter(whole).count();
    let readable = 2 * count - done["outcome"]["unreadable"].as_u64().expect("a count");
    assert!(pairs as u64 >= readable - count && pairs > 0, "{pairs} pairs of {count} images");
}

#[test]
fn an_export_gives_files_that_another_engine_answers_from() {
    let data = data_dir();
    let server = Server::start(data.path());
    let client = &server.client;
    let recipe = "model = \"model:nano-rl\"\n[write]\nquant = \"q8_0\"\n";
    let id = queue(client, &json!({ "kind": "export", "name": "For browsers", "recipe": recipe }));
    let done = wait_for_state(client, &id, "done");
    let files = client.get(&format!("/api/v1/jobs/{id}/artifacts")).json();
    let files = files.as_array().expect("files");
    let names: Vec<String> = files.iter().map(|file| text(&file["name"])).collect();
    assert_eq!(names, ["manifest.json", "mmproj-q8_0.gguf", "model-q8_0.gguf"]);
    let bytes: u64 = files.iter().filter_map(|file| file["bytes"].as_u64()).sum();
    assert_eq!(done["outcome"], json!({ "kind": "exported", "files": 3, "bytes": bytes }));
    let folder = data.path().join("exported");
    std::fs::create_dir(&folder).expect("a folder");
    for file in files {
        let answer = client.get(&format!("/api/v1/artifacts/{}", text(&file["id"])));
        assert_eq!(Some(answer.body.len() as u64), file["bytes"].as_u64());
        std::fs::write(folder.join(text(&file["name"])), &answer.body).expect("written");
    }
    let said = |model: &Path, backend: &str| {
        let answered = Command::new(binary())
            .args(["assess", "--mode", "quick", "--json", "--backend", backend, "--model"])
            .arg(model)
            .arg(root().join("tests/fixtures/photographs"))
            .output()
            .expect("it starts");
        assert!(answered.status.success(), "{}", String::from_utf8_lossy(&answered.stderr));
        let lines = String::from_utf8(answered.stdout).expect("UTF-8");
        let score = |line: &str| serde_json::from_str::<Value>(line).ok()?["score"].as_f64();
        lines.lines().filter_map(score).collect::<Vec<f64>>()
    };
    let (theirs, ours) = (said(&folder, "cpu"), said(&root().join("models/nano-rl"), "candle"));
    assert!(!ours.is_empty() && theirs.len() == ours.len());
    for (theirs, ours) in theirs.iter().zip(&ours) {
        assert!((theirs - ours).abs() < 0.05, "{theirs} and {ours}");
    }
}

#[test]
fn batches_and_exports_that_cannot_be_are_refused_in_words() {
    let data = data_dir();
    let server = Server::start_with(data.path(), &["--no-worker"]);
    let client = &server.client;
    let nobody = "019c0000-0000-7000-8000-000000000000";
    let batch =
        format!("models = [\"model:nano-rl\"]\n[data]\nmanifests = [\"dataset:{nobody}\"]\n[answer]\n");
    let export = "model = \"model:nano-rl\"\n[write]\n";
    for (kind, recipe, status, words) in [
        ("assess_batch", batch.clone(), 404, "dataset"),
        ("assess_batch", batch.replace("\"model:nano-rl\"", ""), 422, "name 1 to 20 models"),
        ("assess_batch", format!("{batch}batch = 1000\n"), 422, "answer.batch"),
        ("assess_batch", format!("{batch}mode = \"slow\"\n"), 422, "reason"),
        ("export", export.replace("model:nano-rl", "/etc"), 422, "`model:`"),
        ("export", format!("{export}quant = \"q2\"\n"), 422, "q4_0"),
        ("export", format!("out = \"/etc\"\n{export}"), 422, "leave it out"),
    ] {
        let answer = client.post("/api/v1/jobs", &json!({ "kind": kind, "name": "a", "recipe": recipe }));
        assert_eq!(answer.status, status, "{}", answer.json());
        let words_are_there = text(&answer.json()["detail"]).contains(words);
        assert!(words_are_there, "{}", answer.json());
    }
    // What is known only when it begins: the job fails at once, with its reason.
    let server = {
        let _ = server.stop();
        Server::start(data.path())
    };
    let missing = export.replace("nano-rl", "nobody");
    let id = queue(&server.client, &json!({ "kind": "export", "name": "Missing", "recipe": missing }));
    let failed = wait_for_state(&server.client, &id, "failed");
    assert!(text(&failed["error"]).contains("there is no model \"nobody\""), "{failed}");
}
