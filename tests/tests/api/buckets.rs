//! An object store in a bucket: the server keeps everything there, and workers that share nothing else with it, or with
//! each other, go on where another one stopped.

use std::path::Path;

use qponder_tests::bucket::Bucket;
use qponder_tests::cable::Cable;
use qponder_tests::client::{Client, text};
use qponder_tests::server::{Server, data_dir, run_to_end};
use qponder_tests::trainings::{Worker, add_dataset, uninterrupted};
use serde_json::json;

use crate::eventually;
use crate::jobs::{job, outcomes, queue, recipe, steps, wait_for_state, wait_for_step};

/// The model that a job trained, as the server has it.
fn kept(client: &Client, id: &str) -> Vec<u8> {
    let files = client.get(&format!("/api/v1/jobs/{id}/artifacts")).json();
    let model = files.as_array().expect("files").iter().find(|file| file["name"] == "model.safetensors");
    client.get(&format!("/api/v1/artifacts/{}", text(&model.expect("a model")["id"]))).body
}

#[test]
fn workers_that_share_nothing_but_a_bucket_go_on_from_each_other() {
    let data = data_dir();
    let bucket = Bucket::open(&data.path().join("buckets"));
    let (location, environment) = (bucket.location(), bucket.environment());
    let arguments = ["--no-worker", "--object-store", &location];
    let server = Server::start_in(data.path(), &arguments, &environment);
    let client = &server.client;
    let dataset = add_dataset(client, data.path());
    assert!(!bucket.files("originals").is_empty(), "images are in the bucket");
    let objects = std::fs::read_dir(data.path().join("objects")).expect("a folder").count();
    assert_eq!(objects, 0, "and nowhere else");

    let cable = Cable::lay(data.path());
    let start = |folder: &str| {
        let scratch = data.path().join(folder);
        let scratch = scratch.to_str().expect("text").to_owned();
        let arguments = ["--database-url", &cable.database_url(), "--object-store", &location];
        Worker::start_in(Path::new(&scratch), &arguments, &environment)
    };
    let body =
        json!({ "kind": "sft", "name": "Handed on", "recipe": recipe("model:nano-rl", &dataset, 20, 16) });
    let id = queue(client, &body);
    let first = start("first");
    wait_for_step(client, &id, 3);
    // Killed with its training, once a state is kept: a second one is sent when the first one has arrived.
    eventually(|| (checkpoints(&bucket) >= 2).then_some(()));
    drop(first);
    let second = start("second");
    let went_on = eventually(|| {
        let attempts = client.get(&format!("/api/v1/jobs/{id}/attempts")).json();
        attempts[1]["first_step"].as_u64().filter(|step| *step > 0)
    });
    wait_for_step(client, &id, went_on + 3);
    // Stopped in good order, and of what it kept last the checkpoint is damaged afterwards.
    second.stop();
    assert_eq!(job(client, &id)["state"], "queued");
    let newest = bucket.files("checkpoints").into_iter().filter(|file| size(file) > 1 << 20);
    let newest =
        newest.max_by_key(|file| file.metadata().and_then(|found| found.modified()).expect("a time"));
    let newest = newest.expect("a checkpoint");
    let mut bytes = std::fs::read(&newest).expect("it can be read");
    bytes[1 << 19] ^= 1;
    std::fs::write(&newest, bytes).expect("written");

    let _third = start("third");
    wait_for_state(client, &id, "done");
    assert_eq!(outcomes(client, &id), ["lost", "released", "done"]);
    assert_eq!(steps(client, &id), (1..=20).collect::<Vec<_>>());
    let attempts = client.get(&format!("/api/v1/jobs/{id}/attempts")).json();
    let begun: Vec<_> = (0..3).map(|place| attempts[place]["first_step"].as_u64().expect("a step")).collect();
    assert!(begun[0] == 0 && begun[1] >= 2 && begun[2] > begun[1], "{attempts}");
    let lines = crate::column(&client.get(&format!("/api/v1/jobs/{id}/log")).json(), "text");
    let says = |words: &str| lines.iter().any(|line| line.contains(words));
    assert!(says("was brought here") && says("is damaged in the object store"), "{lines:?}");
    let third = data.path().join("third");
    assert!(kept(client, &id) == uninterrupted(client, &third, &id), "the weights differ");
    // Its logs tell every step once, although three workers wrote them.
    let log = std::fs::read_to_string(third.join("jobs").join(&id).join("out/metrics.jsonl")).expect("a log");
    assert_eq!(log.lines().filter(|line| line.contains("\"event\":\"step\"")).count(), 20, "{log}");
    // What is done is not gone on with.
    eventually(|| bucket.files("checkpoints").is_empty().then_some(()));
    assert!(!third.join("jobs").join(&id).join("data").exists(), "what it read is still there");
}

#[test]
fn a_training_goes_on_while_its_bucket_is_out_of_reach() {
    let data = data_dir();
    let bucket = Bucket::open(&data.path().join("buckets"));
    let location = bucket.location();
    let arguments = ["--no-worker", "--object-store", &location];
    let server = Server::start_in(data.path(), &arguments, &bucket.environment());
    let client = &server.client;
    let dataset = add_dataset(client, data.path());
    let (database, cable) = (Cable::lay(data.path()), Cable::lay_to_address(bucket.address()));
    let scratch = data.path().join("worker");
    let arguments = ["--database-url", &database.database_url(), "--object-store", &location];
    let _worker = Worker::start_in(&scratch, &arguments, &Bucket::environment_at(cable.address()));

    let body =
        json!({ "kind": "sft", "name": "Cut off", "recipe": recipe("model:nano-rl", &dataset, 14, 16) });
    let id = queue(client, &body);
    eventually(|| (checkpoints(&bucket) >= 1).then_some(()));
    cable.cut();
    // It is trained to its end, waits until what it made can be kept, and says so.
    wait_for_step(client, &id, 14);
    let log = || crate::column(&client.get(&format!("/api/v1/jobs/{id}/log")).json(), "text");
    eventually(|| log().iter().any(|line| line.contains("what the job made is not kept yet")).then_some(()));
    let found = job(client, &id);
    assert!(found["state"] == "running" && found["attempt"] == 1, "{found}");
    cable.mend();
    wait_for_state(client, &id, "done");
    assert_eq!(outcomes(client, &id), ["done"]);
    assert_eq!(steps(client, &id), (1..=14).collect::<Vec<_>>());
    assert!(kept(client, &id) == uninterrupted(client, &scratch, &id), "the weights differ");
    eventually(|| bucket.files("checkpoints").is_empty().then_some(()));
}

#[test]
fn what_waits_for_a_bucket_can_be_cancelled_and_left_to_another_worker() {
    let data = data_dir();
    let bucket = Bucket::open(&data.path().join("buckets"));
    let location = bucket.location();
    let arguments = ["--no-worker", "--object-store", &location];
    let server = Server::start_in(data.path(), &arguments, &bucket.environment());
    let client = &server.client;
    let dataset = add_dataset(client, data.path());
    let (database, cable) = (Cable::lay(data.path()), Cable::lay_to_address(bucket.address()));
    let scratch = data.path().join("worker");
    let arguments = ["--database-url", &database.database_url(), "--object-store", &location];
    let worker = Worker::start_in(&scratch, &arguments, &Bucket::environment_at(cable.address()));
    eventually(|| {
        client.get("/api/v1/workers").json().as_array().is_some_and(|all| !all.is_empty()).then_some(())
    });
    cable.cut();
    let says = |id: &str, words: &str| {
        let log = client.get(&format!("/api/v1/jobs/{id}/log")).json();
        crate::column(&log, "text").iter().any(|line| line.contains(words)).then_some(())
    };
    // The images of a dataset are in the bucket: the job waits for them, says so, and can be cancelled.
    let recipe = recipe("model:nano-rl", &dataset, 2, 4);
    let first = queue(client, &json!({ "kind": "sft", "name": "Begins", "recipe": recipe }));
    eventually(|| says(&first, "what the job needs is out of reach"));
    assert_eq!(client.delete(&format!("/api/v1/jobs/{first}")).status, 200);
    wait_for_state(client, &first, "cancelled");
    // An export needs nothing of it before its end, and its worker can be stopped there.
    let recipe = "model = \"model:nano-rl\"\n";
    let second = queue(client, &json!({ "kind": "export", "name": "Ends", "recipe": recipe }));
    eventually(|| says(&second, "what the job made is not kept yet"));
    worker.stop();
    assert_eq!(job(client, &second)["state"], "queued");
    cable.mend();
    let _worker = Worker::start_in(&scratch, &arguments, &Bucket::environment_at(cable.address()));
    wait_for_state(client, &second, "done");
    assert_eq!(outcomes(client, &second), ["released", "done"]);
    assert_eq!(outcomes(client, &first), ["cancelled"]);
}

fn size(file: &Path) -> u64 {
    file.metadata().expect("a file").len()
}

/// How many checkpoints are in a bucket. What lies beside them is pieces of logs.
fn checkpoints(bucket: &Bucket) -> usize {
    let files = bucket.files("checkpoints").into_iter();
    files.filter(|file| file.metadata().is_ok_and(|found| found.len() > 1 << 20)).count()
}

#[test]
fn a_bucket_that_cannot_be_reached_is_told_at_once() {
    let data = data_dir();
    for (location, words) in [
        ("gs://photos", "neither a directory nor s3://BUCKET"),
        // Nobody listens there, and nobody has said with which keys.
        ("s3://photos/team", "--object-store s3://photos/team"),
    ] {
        let output = run_to_end(data.path(), &["--object-store", location]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(words), "{said}");
    }
}

#[test]
fn a_backup_of_a_bucket_is_restored_into_another_one() {
    let data = data_dir();
    let (first, second) =
        (Bucket::open(&data.path().join("buckets")), Bucket::open(&data.path().join("others")));
    let location = first.location();
    let server =
        Server::start_in(&data.path().join("old"), &["--object-store", &location], &first.environment());
    let picture = qponder_tests::pictures::png(64, 48, 1);
    let id = server.client.add_image("a.png", &picture);
    let run = |arguments: &[&str], bucket: &Bucket| {
        let mut command = std::process::Command::new(qponder_tests::server::binary());
        let done = command.args(arguments).args(["--object-store", &location]).envs(bucket.environment());
        let done = done.current_dir(data.path()).output().expect("it starts");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    run(&["backup", "--data-dir", "old", "--into", "kept"], &first);
    assert!(server.stop().success());
    run(&["restore", "--from", "kept", "--data-dir", "new"], &second);
    drop(first);
    let server =
        Server::start_in(&data.path().join("new"), &["--object-store", &location], &second.environment());
    let found = server.client.get(&format!("/api/v1/images/{id}/original"));
    assert!(found.status == 200 && found.body == picture, "the image came back");
}
