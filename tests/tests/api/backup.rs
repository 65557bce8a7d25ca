//! What is backed up can be restored, and what is damaged is told.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use qponder_tests::client::text;
use qponder_tests::pictures::png;
use qponder_tests::server::{Server, binary, data_dir};
use qponder_tests::trainings::{add_dataset, sft_recipe};
use serde_json::json;

use crate::eventually;

fn run(command: &str, data: &Path, flag: &str, folder: &Path) -> Output {
    let mut program = Command::new(binary());
    program.arg(command).arg("--data-dir").arg(data).arg(flag).arg(folder).env("RUST_LOG", "warn");
    program.output().expect("it starts")
}

fn back_up(data: &Path, into: &Path) -> String {
    let done = run("backup", data, "--into", into);
    assert!(done.status.success(), "{}", words(&done));
    String::from_utf8_lossy(&done.stdout).into_owned()
}

fn restore(from: &Path, data: &Path) -> Output {
    run("restore", data, "--from", from)
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_server_is_as_it_was_after_a_restore() {
    let (data, kept, again) = (data_dir(), data_dir(), data_dir());
    let server = Server::start(data.path());
    let client = &server.client;
    let dataset = add_dataset(client, data.path());
    let bytes = png(112, 84, 5);
    let image = client.add_image("a.png", &bytes);
    let answer = client.assess(&json!({ "image_id": image, "mode": "quick" }));
    let recipe = sft_recipe("model:nano-rl", &format!("dataset:{dataset}"), 2);
    let job = client.post("/api/v1/jobs", &json!({ "kind": "sft", "name": "Kept", "recipe": recipe }));
    let job = text(&job.json()["id"]);
    eventually(|| (client.get(&format!("/api/v1/jobs/{job}")).json()["state"] == "done").then_some(()));
    let files = client.get(&format!("/api/v1/jobs/{job}/artifacts")).json();

    // The server runs meanwhile, and goes on changing.
    let said = back_up(data.path(), kept.path());
    assert!(said.contains("0 were there already") && said.contains("1 assessments"), "{said}");
    let later = client.add_image("b.png", &png(80, 60, 6));
    let said = back_up(data.path(), kept.path());
    assert!(said.starts_with("1 new files"), "{said}");
    assert_eq!(client.delete(&format!("/api/v1/images/{image}")).status, 204);
    let _ = client.add_image("c.png", &png(80, 60, 7));

    // Into a folder with something in it nothing is restored.
    let refused = restore(kept.path(), data.path());
    assert!(words(&refused).contains("restore into a new folder"), "{}", words(&refused));
    let fresh = again.path().join("data");
    let done = restore(kept.path(), &fresh);
    assert!(done.status.success(), "{}", words(&done));

    let restored = Server::start(&fresh);
    let client = &restored.client;
    assert_eq!(client.get(&format!("/api/v1/images/{image}/original")).body, bytes);
    assert_eq!(client.get(&format!("/api/v1/images/{later}")).status, 200);
    let id = text(&answer["id"]);
    assert_eq!(client.get(&format!("/api/v1/assessments/{id}")).json(), answer);
    assert_eq!(client.get(&format!("/api/v1/jobs/{job}/artifacts")).json(), files);
    let model = files.as_array().expect("files").iter().find(|file| file["name"] == "model.safetensors");
    let model = model.expect("a model");
    let kept_model = client.get(&format!("/api/v1/artifacts/{}", text(&model["id"])));
    assert_eq!(kept_model.body.len() as u64, model["bytes"].as_u64().expect("a size"));
    // What the training made is promoted there, though its folder was never backed up.
    let named = client.post("/api/v1/models", &json!({ "job": job, "name": "kept" }));
    assert_eq!(named.status, 201, "{}", named.json());
    let _ = restored.stop();

    // A server that does not run is backed up too.
    let _ = server.stop();
    let said = back_up(data.path(), kept.path());
    assert!(said.starts_with("1 new files"), "{said}");
}

#[test]
fn a_damaged_backup_is_told_before_anything_is_served() {
    let (data, kept, again) = (data_dir(), data_dir(), data_dir());
    let none = restore(kept.path(), &again.path().join("none"));
    assert!(words(&none).contains("holds no backup"), "{}", words(&none));
    let server = Server::start(data.path());
    let _ = server.client.add_image("a.png", &png(112, 84, 5));
    let _ = back_up(data.path(), kept.path());
    let folder =
        |path: &Path| fs::read_dir(path).expect("a folder").flatten().next().expect("an entry").path();
    let original = folder(&folder(&kept.path().join("objects/originals")));
    let good = fs::read(&original).expect("a file");
    let mut bad = good.clone();
    bad[40] ^= 1;
    fs::write(&original, &bad).expect("written");
    let refused = restore(kept.path(), &again.path().join("one"));
    assert!(words(&refused).contains("its hash is not its name"), "{}", words(&refused));
    // One that is gone is named, and everything else is there.
    fs::remove_file(&original).expect("removed");
    let refused = restore(kept.path(), &again.path().join("two"));
    assert!(words(&refused).contains("are not in the backup, the first: originals/"), "{}", words(&refused));
    fs::write(&original, &good).expect("written");
    let dump = fs::read_dir(kept.path()).expect("a folder").flatten();
    let dump = dump.map(|entry| entry.path()).find(|path| path.extension().is_some_and(|end| end == "dump"));
    let dump = dump.expect("a dump");
    let mut bytes = fs::read(&dump).expect("a file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&dump, bytes).expect("written");
    let refused = restore(kept.path(), &again.path().join("three"));
    assert!(words(&refused).contains("its hash is another one"), "{}", words(&refused));
}
