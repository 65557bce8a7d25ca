//! Annotations and reviews: versions that stay, who may settle what, and two people at once.

use std::process::Command;

use qponder_tests::client::{Client, text};
use qponder_tests::people::{first_admin, new_user};
use qponder_tests::pictures::png;
use qponder_tests::server::{Server, data_dir};
use serde_json::{Value, json};

use crate::problem;

/// A complete annotation with a score.
fn words(noise: &str, score: f64) -> String {
    let others = ["sharpness", "exposure", "contrast", "colour", "compression"];
    let others: String = others.iter().map(|name| format!("{name}: nothing to see (good)\n")).collect();
    format!("<think>\n{others}noise: grain ({noise})\nIt is so.\n</think>\n<answer>{score:.2}</answer>")
}

struct Place {
    server: Server,
    admin: Client,
    study: String,
    _data: tempfile::TempDir,
}

/// A study of one image that two annotators may correct.
fn place() -> Place {
    let data = data_dir();
    let (server, link) = Server::start_new_with_accounts(data.path(), &[]);
    let admin = first_admin(&server.client, &link);
    let image = admin.add_image("one.png", &png(64, 48, 90));
    let made = admin.post("/api/v1/studies", &json!({ "name": "One", "task": "reasoning", "overlap": 5 }));
    let study = text(&made.json()["id"]);
    let items = format!("/api/v1/studies/{study}/items");
    assert_eq!(admin.post(&items, &json!({ "images": [image] })).status, 200);
    assert_eq!(admin.assess(&json!({ "image_id": image }))["status"], "done");
    Place { server, admin, study, _data: data }
}

impl Place {
    /// A new annotator who has voted; the item, and what they were shown.
    fn annotator(&self, name: &str) -> (Client, String, Value) {
        let person = new_user(&self.server.client, &self.admin, "annotator", name);
        let members = format!("/api/v1/studies/{}/members", self.study);
        let added = self.admin.post(&members, &json!({ "email": format!("{name}@example.org") }));
        assert_eq!(added.status, 201);
        let task = person.get(&format!("/api/v1/studies/{}/tasks", self.study)).json()["items"][0].clone();
        let vote = json!({
            "item": task["item"], "rating": { "kind": "score", "score": 3.0 }, "key": "k", "ms": 1,
            "conditions": { "zoom": 1.0, "device_pixel_ratio": 1.0, "viewport_width": 9, "viewport_height": 9 },
        });
        assert_eq!(person.post(&format!("/api/v1/studies/{}/votes", self.study), &vote).status, 201);
        let item = text(&task["item"]);
        let shown = person.post(&format!("/api/v1/items/{item}/reveal"), &json!({}));
        assert_eq!(shown.status, 200, "{}", shown.json());
        (person, item, shown.json())
    }
}

#[test]
fn an_annotation_is_returned_answered_fixed_and_accepted() {
    let place = place();
    let (person, item, shown) = place.annotator("ada");
    let source = &shown["assessments"][0];
    let path = format!("/api/v1/items/{item}/annotations");
    // It must be complete, since models learn from it.
    let half = person.post(&path, &json!({ "text": "<think>\nnoise: grain (poor)", "base": 0 }));
    assert_eq!(problem(&half), "unprocessable");
    assert!(text(&half.json()["detail"]).contains("sharpness is not judged"), "{}", half.json());
    let body = json!({ "text": words("poor", 2.0), "source": source["id"], "base": 0 });
    let first = person.post(&path, &body);
    assert_eq!(first.status, 201, "{}", first.json());
    let first = first.json();
    assert_eq!((first["state"].as_str(), first["version"].as_u64()), (Some("submitted"), Some(1)));
    assert!(first["disagreement"].as_f64().is_some_and(|apart| apart >= 0.0), "{first}");
    assert_eq!(first["source"]["id"], source["id"], "the original stays beside it");
    let thread = format!("/api/v1/annotations/{}", text(&first["id"]));

    let reviewer = new_user(&place.server.client, &place.admin, "reviewer", "rhea");
    let queue = reviewer.get("/api/v1/annotations").json();
    assert_eq!(queue["items"][0]["id"], first["id"]);
    let reviews = format!("{thread}/reviews");
    let empty = reviewer.post(&reviews, &json!({ "version": 1, "verdict": "returned" }));
    assert_eq!(problem(&empty), "unprocessable", "returned without a word");
    let returned = json!({ "version": 1, "verdict": "returned", "comment": "Look at the <b>sky</b>." });
    assert_eq!(reviewer.post(&reviews, &returned).json()["state"], "returned");
    // The annotator sees it first, with the comment, and answers.
    let next = person.get(&format!("/api/v1/studies/{}/tasks", place.study)).json();
    assert_eq!(next["items"][0]["returned"]["id"], first["id"]);
    assert_eq!(next["progress"]["returned"], 1);
    assert_eq!(person.get(&thread).json()["reviews"][0]["comment"], "Look at the <b>sky</b>.");
    let comment = json!({ "comment": "The sky is fine, the grass is not." });
    assert_eq!(person.post(&format!("{thread}/comments"), &comment).status, 201);
    let second = person.post(&path, &json!({ "text": words("bad", 1.5), "source": source["id"], "base": 1 }));
    assert_eq!((second.status, second.json()["version"].as_u64()), (201, Some(2)));
    // The reviewer looked at version 1: told, not overwritten.
    let stale = reviewer.post(&reviews, &json!({ "version": 1, "verdict": "accepted" }));
    assert_eq!((stale.status, problem(&stale).as_str()), (409, "conflict"));
    let fixed =
        json!({ "version": 2, "verdict": "fixed", "text": words("bad", 1.7), "comment": "Only the score." });
    let fixed = reviewer.post(&reviews, &fixed);
    assert_eq!(fixed.status, 201, "{}", fixed.json());
    let whole = person.get(&thread).json();
    assert_eq!((whole["state"].as_str(), whole["version"].as_u64()), (Some("accepted"), Some(3)));
    let texts = crate::column(&whole["versions"], "text");
    assert_eq!(texts, [words("poor", 2.0), words("bad", 1.5), words("bad", 1.7)], "every version is there");
    let verdicts = crate::column(&whole["reviews"], "verdict");
    assert_eq!(verdicts, ["returned", "comment", "fixed"]);
    // It is settled until it is sent back.
    let late = person.post(&path, &json!({ "text": words("good", 4.0), "base": 3 }));
    assert_eq!((late.status, problem(&late).as_str()), (409, "settled"));
    let again = reviewer.post(&reviews, &json!({ "version": 3, "verdict": "accepted" }));
    assert_eq!((again.status, problem(&again).as_str()), (409, "settled"));
    assert_eq!(reviewer.get("/api/v1/annotations").json()["items"], json!([]));
    assert_eq!(reviewer.get("/api/v1/annotations?state=accepted").json()["items"][0]["version"], 3);
}

#[test]
fn nobody_settles_their_own_work_or_sees_that_of_others() {
    let place = place();
    let (person, item, _) = place.annotator("ada");
    let (other, _, _) = place.annotator("grace");
    let path = format!("/api/v1/items/{item}/annotations");
    let made = person.post(&path, &json!({ "text": words("poor", 2.0), "base": 0 })).json();
    let thread = format!("/api/v1/annotations/{}", text(&made["id"]));
    for (client, path) in [(&other, &thread), (&other, &format!("{thread}/comments"))] {
        let refused = if path.ends_with("comments") {
            client.post(path, &json!({ "comment": "x" }))
        } else {
            client.get(path)
        };
        assert_eq!(refused.status, 404, "{path}");
    }
    // Promoted, she may review, but not her own.
    let id = text(&qponder_tests::people::me(&person)["id"]);
    let promoted =
        place.admin.send_json("PATCH", &format!("/api/v1/users/{id}"), &json!({ "role": "reviewer" }));
    assert_eq!(promoted.status, 200);
    let own = person.post(&format!("{thread}/reviews"), &json!({ "version": 1, "verdict": "accepted" }));
    assert_eq!((own.status, problem(&own).as_str()), (403, "own-work"));
    let by_admin =
        place.admin.post(&format!("{thread}/reviews"), &json!({ "version": 1, "verdict": "accepted" }));
    assert_eq!(by_admin.json()["state"], "accepted");
}

#[test]
fn two_who_write_at_once_lose_nothing() {
    let place = place();
    let (person, item, _) = place.annotator("ada");
    let path = format!("/api/v1/items/{item}/annotations");
    let both = std::thread::scope(|scope| {
        let sent = [2.0, 4.0].map(|score| {
            let (person, path) = (&person, &path);
            scope.spawn(move || person.post(path, &json!({ "text": words("poor", score), "base": 0 })))
        });
        sent.map(|sent| sent.join().expect("an answer"))
    });
    let mut statuses = both.each_ref().map(|answer| answer.status);
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409]);
    let refused = both.iter().find(|answer| answer.status == 409).expect("one");
    assert_eq!(problem(refused), "conflict");
    assert!(text(&refused.json()["detail"]).contains("version 1"), "{}", refused.json());
    // A second item's reveal is needed for a second annotation; a wrong source is none.
    let wrong = json!({ "text": words("poor", 2.0), "base": 1, "source": place.study });
    assert_eq!(person.post(&path, &wrong).status, 404);
}

#[test]
fn what_was_accepted_becomes_a_dataset_that_training_reads() {
    let place = place();
    let (person, item, shown) = place.annotator("ada");
    let datasets = format!("/api/v1/studies/{}/datasets", place.study);
    let wish = json!({ "name": "Settled", "only_answered": true });
    // Before anything is accepted there is nothing to learn from.
    let early = place.admin.post(&datasets, &wish);
    assert_eq!(problem(&early), "unprocessable");
    assert!(text(&early.json()["detail"]).contains("accepted annotation"), "{}", early.json());
    let source = &shown["assessments"][0]["id"];
    let body = json!({ "text": words("bad", 1.5), "source": source, "base": 0 });
    let made = person.post(&format!("/api/v1/items/{item}/annotations"), &body).json();
    let reviews = format!("/api/v1/annotations/{}/reviews", text(&made["id"]));
    assert_eq!(place.admin.post(&reviews, &json!({ "version": 1, "verdict": "accepted" })).status, 201);

    let first = place.admin.post(&datasets, &wish);
    assert_eq!(first.status, 201, "{}", first.json());
    let first = first.json();
    assert_eq!((first["version"].as_u64(), first["images"].as_u64()), (Some(1), Some(1)));
    // What people said is the image's label now; who rates does not see it.
    let image = format!("/api/v1/images/{}", text(&made["image"]));
    let label = place.admin.get(&image).json()["labels"][0].clone();
    assert_eq!((&label["kind"], label["value"].as_f64()), (&json!("mos"), Some(3.0)), "{label}");
    assert_eq!(person.get(&image).json()["labels"], json!([]));
    let again = place.admin.post(&datasets, &wish).json();
    assert_eq!((again["version"].as_u64(), &again["sha256"]), (Some(2), &first["sha256"]));
    assert_eq!(place.admin.get("/api/v1/datasets").json()["items"][0]["version"], 2);

    let archive = place.admin.get(&format!("/api/v1/datasets/{}/archive", text(&first["id"])));
    assert_eq!(archive.header("content-type"), "application/x-tar");
    let folder = data_dir();
    std::fs::write(folder.path().join("dataset.tar"), &archive.body).expect("it is written");
    let unpacked = Command::new("tar").args(["-xf", "dataset.tar"]).current_dir(folder.path()).status();
    assert!(unpacked.expect("tar starts").success());
    let manifest = std::fs::read_to_string(folder.path().join("manifest.jsonl")).expect("a manifest");
    let row: Value = serde_json::from_str(manifest.trim()).expect("one line");
    assert_eq!((row["mos"].as_f64(), &row["answer"]), (Some(3.0), &json!(words("bad", 1.5))));
    assert!(folder.path().join(text(&row["image"])).is_file());
    // A cold start learns from it.
    let recipe = format!(
        "base = \"{}\"\nout = \"out\"\n[data]\nmanifests = [\"manifest.jsonl\"]\n[train]\nsteps = 2\nbatch = 1\n\
         micro_batch = 1\nlearning_rate = 1e-4\nwarmup = 1\n[validation]\nimages = 0\n",
        qponder_tests::server::model().display()
    );
    std::fs::write(folder.path().join("recipe.toml"), recipe).expect("it is written");
    let trained = Command::new(qponder_tests::server::binary())
        .args(["sft", "--recipe", "recipe.toml"])
        .current_dir(folder.path())
        .output()
        .expect("it starts");
    assert!(trained.status.success(), "{}", String::from_utf8_lossy(&trained.stderr));
    assert!(folder.path().join("out/model.safetensors").is_file());
}

#[test]
fn what_is_sent_twice_is_there_once() {
    let place = place();
    let (ada, item, shown) = place.annotator("ada");
    let source = &shown["assessments"][0]["id"];
    let annotations = format!("/api/v1/items/{item}/annotations");
    let first = json!({ "text": words("poor", 2.0), "source": source, "base": 0 });
    let thread = ada.post(&annotations, &first);
    assert_eq!(thread.status, 201, "{}", thread.json());
    // The answer got lost on the way, so the page sends it again.
    let again = ada.post(&annotations, &first);
    assert_eq!((again.status, &again.json()["version"]), (201, &json!(1)), "{}", again.json());
    // Other words from the same beginning are a conflict still.
    let other = ada.post(&annotations, &json!({ "text": words("bad", 2.0), "source": source, "base": 0 }));
    assert_eq!((other.status, problem(&other).as_str()), (409, "conflict"));

    let thread = format!("/api/v1/annotations/{}", text(&thread.json()["id"]));
    let rhea = new_user(&place.server.client, &place.admin, "reviewer", "rhea");
    let count = |kind: &str| rhea.get(&thread).json()[kind].as_array().map(Vec::len);
    for _ in 0..2 {
        assert_eq!(rhea.post(&format!("{thread}/comments"), &json!({ "comment": "Hm." })).status, 201);
    }
    assert_eq!(count("reviews"), Some(1));
    let review = json!({ "version": 1, "verdict": "returned", "comment": "Look at the noise." });
    for _ in 0..2 {
        let sent = rhea.post(&format!("{thread}/reviews"), &review);
        assert_eq!((sent.status, &sent.json()["state"]), (201, &json!("returned")), "{}", sent.json());
    }
    assert_eq!(count("reviews"), Some(2));
    let fixed = json!({ "version": 1, "verdict": "fixed", "comment": "", "text": words("fair", 2.5) });
    for _ in 0..2 {
        let sent = rhea.post(&format!("{thread}/reviews"), &fixed);
        assert_eq!((sent.status, &sent.json()["state"]), (201, &json!("accepted")), "{}", sent.json());
    }
    assert_eq!((count("reviews"), count("versions")), (Some(3), Some(2)));
    let unlike = json!({ "version": 1, "verdict": "fixed", "comment": "", "text": words("good", 2.5) });
    assert_eq!(rhea.post(&format!("{thread}/reviews"), &unlike).status, 409);

    // A study, under its key.
    let make = |key: &str, name: &str| {
        let body = json!({ "name": name, "task": "acr", "overlap": 2 }).to_string();
        let headers = [("content-type", "application/json"), ("idempotency-key", key)];
        place.admin.send("POST", "/api/v1/studies", &headers, body.as_bytes())
    };
    let (first, second) = (make("k1", "Twice"), make("k1", "Twice"));
    assert_eq!((first.status, second.status), (201, 200));
    assert_eq!(first.json()["id"], second.json()["id"]);
    assert_ne!(make("k2", "Twice").json()["id"], first.json()["id"]);
    assert_eq!(make("k1", "Another").status, 422);
}
