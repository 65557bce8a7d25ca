//! From a teacher's answers to a model that people ask: the whole pipeline as jobs, and the registry.

use qponder_tests::client::{Client, text};
use qponder_tests::pictures::png;
use qponder_tests::server::{Server, data_dir};
use qponder_tests::trainings::{
    add_dataset, distil_recipe, evaluate_recipe, grpo_recipe, sft_recipe, teacher,
};
use serde_json::{Value, json};

use crate::{column, eventually, problem};

fn queue(client: &Client, kind: &str, recipe: &str) -> String {
    let made = client.post("/api/v1/jobs", &json!({ "kind": kind, "name": kind, "recipe": recipe }));
    assert_eq!(made.status, 201, "{}", made.json());
    text(&made.json()["id"])
}

#[track_caller]
fn done(client: &Client, id: &str) -> Value {
    eventually(|| {
        let job = client.get(&format!("/api/v1/jobs/{id}")).json();
        assert!(job["state"] != "failed", "{job}");
        (job["state"] == "done").then_some(job)
    })
}

/// The model of that name as `/info` has it.
fn served(client: &Client, name: &str) -> Option<Value> {
    let info = client.get("/api/v1/info").json();
    info["models"].as_array().expect("models").iter().find(|model| model["name"] == name).cloned()
}

fn default(client: &Client) -> String {
    text(&client.get("/api/v1/info").json()["model"]["name"])
}

#[test]
fn a_pipeline_ends_in_a_model_that_is_promoted_and_rolled_back() {
    let (theirs, ours) = (data_dir(), data_dir());
    let other = Server::start(theirs.path());
    let file = teacher(ours.path(), &other.client.url);
    let server = Server::start_with(ours.path(), &["--teacher-endpoint", &file]);
    let client = &server.client;
    let dataset = add_dataset(client, ours.path());
    // All of it is queued at once; each job waits for those whose work it needs.
    let distil = queue(client, "distil", &distil_recipe("nano", &dataset));
    let sft = queue(client, "sft", &sft_recipe("model:nano-rl", &format!("job:{distil}"), 4));
    let grpo = queue(client, "grpo", &grpo_recipe(&format!("job:{sft}"), &dataset, 2));
    let models = ["model:nano-rl".to_owned(), format!("job:{sft}"), format!("job:{grpo}")];
    let evaluate = queue(client, "evaluate", &evaluate_recipe(&models, &dataset, 4));
    let waiting = client.get(&format!("/api/v1/jobs/{evaluate}")).json();
    assert_eq!(waiting["needs"].as_array().map(Vec::len), Some(2), "{waiting}");

    let distilled = done(client, &distil);
    let outcome = &distilled["outcome"];
    assert_eq!(outcome["kind"], "distilled", "{distilled}");
    assert_eq!(outcome["answered"], outcome["wanted"], "{outcome}");
    assert!(outcome["accepted"].as_u64() > Some(0), "{outcome}");
    assert_eq!(distilled["step"], outcome["wanted"], "{distilled}");
    let evaluated = done(client, &evaluate);
    let measured = evaluated["outcome"]["measured"].as_array().expect("measurements").clone();
    // Three models in two modes.
    assert_eq!(measured.len(), 6, "{measured:?}");
    assert!(measured.iter().all(|one| one["dataset"] == format!("dataset:{dataset}")), "{measured:?}");
    assert!(measured.iter().all(|one| one["images"] == 4), "{measured:?}");
    assert_eq!(evaluated["outcome"]["differences"].as_array().map(Vec::len), Some(6));
    let before = client.get(&format!("/api/v1/jobs/{evaluate}/lineage")).json();
    assert_eq!(column(&before, "id"), [distil.clone(), sft.clone(), grpo.clone()]);

    // What the jobs made can be had, and is what they made.
    let files = client.get(&format!("/api/v1/jobs/{evaluate}/artifacts")).json();
    let names = column(&files, "name");
    assert!(
        ["index.html", "report.json", "scores-1.jsonl"]
            .iter()
            .all(|name| names.contains(&(*name).to_owned())),
        "{names:?}"
    );
    let report = &files[names.iter().position(|name| name == "report.json").expect("a report")];
    let kept = client.get(&format!("/api/v1/artifacts/{}", text(&report["id"])));
    assert_eq!((kept.status, kept.body.len() as u64), (200, report["bytes"].as_u64().expect("a size")));
    assert!(kept.header("content-disposition").contains("report.json"));

    // Only what was trained gets a name, and each name once.
    let register = |job: &str, name: &str| {
        client.post("/api/v1/models", &json!({ "job": job, "name": name, "card": "Trained in a test." }))
    };
    for (job, name, words) in
        [(&evaluate, "x", "has trained no model"), (&grpo, "a b", "letters"), (&grpo, "nano-rl", "already")]
    {
        let refused = register(job, name);
        assert_eq!((refused.status, problem(&refused).as_str()), (422, "unprocessable"));
        assert!(text(&refused.json()["detail"]).contains(words), "{}", refused.json());
    }
    let made = register(&grpo, "mine-1");
    assert_eq!(made.status, 201, "{}", made.json());
    let model = made.json();
    let id = text(&model["id"]);
    assert_eq!((&model["is_served"], &model["uses"]), (&json!(false), &json!([])));
    let found = client.get(&format!("/api/v1/models/{id}/measurements")).json();
    assert_eq!(found.as_array().map(Vec::len), Some(2), "{found}");

    // Promoted: whoever names no model asks this one from now on, without a restart.
    let image = client.add_image("a.png", &png(112, 84, 5));
    let first = client.assess(&json!({ "image_id": image, "mode": "quick" }));
    assert_eq!(first["model"], "nano-rl", "{first}");
    let promote = |to: &str, model: Value| {
        client.send_json("PUT", &format!("/api/v1/uses/{to}"), &json!({ "model": model }))
    };
    assert_eq!(promote("default", json!(id)).status, 200);
    assert_eq!(default(client), "mine-1");
    let second = client.assess(&json!({ "image_id": image, "mode": "quick" }));
    assert_eq!((&second["model"], &second["status"]), (&json!("mine-1"), &json!("done")), "{second}");
    let both = promote("teacher", json!(id));
    assert!(text(&both.json()["detail"]).contains("compared with"), "{}", both.json());
    let put_away =
        client.send_json("PATCH", &format!("/api/v1/models/{id}"), &json!({ "is_archived": true }));
    assert_eq!((put_away.status, problem(&put_away).as_str()), (409, "model-in-use"));

    // It stays after a restart, and can start a training and be measured by its name.
    let _ = server.stop();
    let server = Server::start_with(ours.path(), &["--teacher-endpoint", &file]);
    let client = &server.client;
    assert_eq!(default(client), "mine-1");
    let again = queue(client, "evaluate", &evaluate_recipe(&["model:mine-1".to_owned()], &dataset, 2));
    assert_eq!(done(client, &again)["outcome"]["measured"].as_array().map(Vec::len), Some(2));

    // Rolled back, it is let go a little later.
    assert_eq!(client.post("/api/v1/uses/default/rollback", &json!({})).status, 200);
    assert_eq!(default(client), "nano-rl");
    eventually(|| served(client, "mine-1").is_none().then_some(()));
    let uses = client.get("/api/v1/uses").json();
    assert_eq!((&uses[0]["name"], &uses[1]["name"]), (&Value::Null, &json!("mine-1")), "{uses}");
    let none = client.post("/api/v1/uses/preview/rollback", &json!({}));
    assert_eq!((none.status, problem(&none).as_str()), (422, "unprocessable"));

    // As a teacher it is compared with, and goes when another one comes.
    let promote = |model: Value| client.send_json("PUT", "/api/v1/uses/teacher", &json!({ "model": model }));
    assert_eq!(promote(json!(id)).status, 200);
    assert_eq!(served(client, "mine-1").expect("it is served")["role"], "teacher");
    assert_eq!(promote(Value::Null).status, 200);
    eventually(|| served(client, "mine-1").is_none().then_some(()));

    // The archive is a directory that the command line takes.
    let archive = client.get(&format!("/api/v1/models/{id}/file"));
    assert_eq!(archive.status, 200);
    let folder = ours.path().join("exported");
    tar::Archive::new(&archive.body[..]).unpack(&folder).expect("an archive");
    assert_eq!(
        std::fs::read_to_string(folder.join("mine-1/README.md")).expect("a card"),
        "Trained in a test."
    );
    let photograph = ours.path().join("a.png");
    std::fs::write(&photograph, png(112, 84, 5)).expect("written");
    let said = std::process::Command::new(qponder_tests::server::binary())
        .args(["assess", "--mode", "quick", "--json", "--model"])
        .args([folder.join("mine-1"), photograph])
        .output()
        .expect("it starts");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let said: Value = serde_json::from_slice(&said.stdout).expect("JSON");
    assert_eq!(said["score"], second["score"], "{said}");
}

#[test]
fn what_a_recipe_names_is_checked_before_it_is_queued() {
    let data = data_dir();
    let server = Server::start_with(data.path(), &["--no-worker"]);
    let client = &server.client;
    let dataset = add_dataset(client, data.path());
    let sft = queue(client, "sft", &sft_recipe("model:nano-rl", &format!("dataset:{dataset}"), 4));
    let distil = queue(client, "distil", &distil_recipe("anybody", &dataset));
    for (kind, recipe, words) in [
        ("sft", sft_recipe("model:nano-rl", &format!("job:{sft}"), 4), "name a distillation"),
        ("sft", sft_recipe(&format!("job:{distil}"), &format!("dataset:{dataset}"), 4), "trains no model"),
        ("distil", distil_recipe("anybody", &dataset).replace("teacher = ", "# "), "teacher is missing"),
        ("evaluate", evaluate_recipe(&[], &dataset, 4), "models"),
    ] {
        let refused = client.post("/api/v1/jobs", &json!({ "kind": kind, "name": "x", "recipe": recipe }));
        assert_eq!((refused.status, problem(&refused).as_str()), (422, "unprocessable"), "{recipe}");
        assert!(text(&refused.json()["detail"]).contains(words), "{}", refused.json());
    }
}
