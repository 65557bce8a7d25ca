//! Training jobs: queued, done by workers, interrupted in every way, and never lost.

use std::path::Path;
use std::time::{Duration, Instant};

use qponder_tests::cable::Cable;
use qponder_tests::client::{Client, text};
use qponder_tests::database;
use qponder_tests::server::{Server, data_dir};
use qponder_tests::trainings::{Worker, add_dataset, kill_training, training, uninterrupted};
use serde_json::{Value, json};

use crate::{eventually, problem};

/// A recipe of so many steps on a dataset.
pub fn recipe(base: &str, dataset: &str, steps: usize, batch: usize) -> String {
    format!(
        "base = \"{base}\"\n[data]\nmanifests = [\"dataset:{dataset}\"]\n[train]\nsteps = {steps}\nbatch = {batch}\n\
         micro_batch = 4\nlearning_rate = 1e-4\nwarmup = 2\ncheckpoint_every = 2\nthreads = 1\n[validation]\nimages = 0\n"
    )
}

pub fn queue(client: &Client, body: &Value) -> String {
    let made = client.post("/api/v1/jobs", body);
    assert_eq!(made.status, 201, "{}", made.json());
    text(&made.json()["id"])
}

pub fn job(client: &Client, id: &str) -> Value {
    let job = client.get(&format!("/api/v1/jobs/{id}"));
    assert_eq!(job.status, 200, "{}", job.json());
    job.json()
}

#[track_caller]
pub fn wait_for_step(client: &Client, id: &str, step: u64) {
    eventually(|| {
        let job = job(client, id);
        assert!(job["state"] == "running" || job["state"] == "queued", "{job}");
        (job["state"] == "running" && job["step"].as_u64() >= Some(step)).then_some(())
    });
}

#[track_caller]
pub fn wait_for_state(client: &Client, id: &str, state: &str) -> Value {
    eventually(|| Some(job(client, id)).filter(|job| job["state"] == state))
}

/// Steps of a job's numbers, as they stand.
pub fn steps(client: &Client, id: &str) -> Vec<u64> {
    let metrics = client.get(&format!("/api/v1/jobs/{id}/metrics")).json();
    let rows = metrics["metrics"].as_array().expect("numbers").iter().filter(|row| row["part"] == "train");
    rows.map(|row| row["step"].as_u64().expect("a step")).collect()
}

pub fn outcomes(client: &Client, id: &str) -> Vec<String> {
    crate::column(&client.get(&format!("/api/v1/jobs/{id}/attempts")).json(), "outcome")
}

fn trained(data: &Path, id: &str) -> Vec<u8> {
    std::fs::read(data.join("jobs").join(id).join("out/model.safetensors")).expect("a model")
}

#[test]
fn a_job_that_is_killed_again_and_again_ends_as_one_that_is_not() {
    let data = data_dir();
    let server = Server::start(data.path());
    let dataset = add_dataset(&server.client, data.path());
    let id = queue(
        &server.client,
        &json!({ "kind": "sft", "name": "Killed", "recipe": recipe("model:nano-rl", &dataset, 14, 16) }),
    );
    // The process that trains.
    wait_for_step(&server.client, &id, 3);
    eventually(|| kill_training(&id).then_some(()));
    let failed = wait_for_state(&server.client, &id, "queued");
    assert!(text(&failed["error"]).contains("killed"), "{failed}");
    assert!(failed["run_after"].is_string(), "{failed}");
    wait_for_step(&server.client, &id, 6);
    // The server with its worker: the training dies with it, and the lease runs out.
    server.kill();
    let gone = Instant::now();
    while training(&id).is_some() {
        assert!(gone.elapsed() < Duration::from_secs(5), "the training outlived its worker");
    }
    let server = Server::start(data.path());
    wait_for_step(&server.client, &id, 8);
    // The database, in the middle of a step.
    let cut = "select count(pg_terminate_backend(pid)) from pg_stat_activity where pid <> pg_backend_pid() \
               and application_name = 'qponder' and query not ilike '%advisory%'";
    let _ = database::query(data.path(), cut);
    let done = wait_for_state(&server.client, &id, "done");
    assert_eq!((done["step"].as_u64(), done["steps"].as_u64()), (Some(14), Some(14)), "{done}");
    assert_eq!(steps(&server.client, &id), (1..=14).collect::<Vec<_>>());
    assert_eq!(outcomes(&server.client, &id), ["failed", "lost", "done"]);
    assert!(
        trained(data.path(), &id) == uninterrupted(&server.client, data.path(), &id),
        "the weights differ"
    );
}

#[test]
fn jobs_that_need_others_wait_for_them() {
    let data = data_dir();
    let server = Server::start(data.path());
    let client = &server.client;
    let dataset = add_dataset(client, data.path());
    let first = json!({ "kind": "sft", "name": "First", "recipe": recipe("model:nano-rl", &dataset, 4, 4) });
    let first = queue(client, &first);
    let grpo = format!(
        "base = \"job:{first}\"\n[data]\nmanifests = [\"dataset:{dataset}\"]\n[rollout]\ngroup = 2\nmax_new_tokens = 32\n\
         [train]\nsteps = 2\nimages = 2\nwarmup = 1\ncheckpoint_every = 1\n[validation]\nimages = 0\nreasoning_images = 0\n"
    );
    let second = queue(client, &json!({ "kind": "grpo", "name": "Second", "recipe": grpo }));
    let waiting = job(client, &second);
    assert_eq!(waiting["needs"], json!([first]));
    assert!(["waiting", "running"].contains(&waiting["state"].as_str().expect("a state")), "{waiting}");
    // Whoever follows it hears of all of it: every number once, in order, and the end.
    let events = client.events(&format!("/api/v1/jobs/{second}/events"), &[]);
    let (mut seen, mut last) = (Vec::new(), Value::Null);
    for event in events {
        match event.name.as_str() {
            "metrics" => seen.extend(event.data["metrics"].as_array().expect("numbers").clone()),
            "job" => last = event.data["job"].clone(),
            _ => {}
        }
    }
    assert_eq!(last["state"], "done", "{last}");
    let numbers: Vec<_> = seen.iter().map(|row| row["step"].as_u64()).collect();
    assert_eq!(numbers, [Some(1), Some(2)]);
    assert!(seen[0]["numbers"]["reward"].is_number(), "{}", seen[0]);
    // Some of what was sampled can be looked at, step by step.
    let answers = client.get(&format!("/api/v1/jobs/{second}/completions?step=1")).json();
    assert_eq!((answers["step"].as_u64(), answers["last_step"].as_u64()), (Some(1), Some(2)), "{answers}");
    let answer = &answers["items"][0];
    assert!(answer["image"].is_string() && answer["rewards"]["format"].is_number(), "{answer}");
    assert_eq!(client.get(&format!("/api/v1/jobs/{first}/completions")).status, 404);
    let log = client.get(&format!("/api/v1/jobs/{second}/log")).json();
    let lines = crate::column(&log, "text");
    assert!(lines.iter().any(|line| line.starts_with("2 steps, ")), "{lines:?}");
    assert_eq!(job(client, &first)["state"], "done");
    let workers = client.get("/api/v1/workers").json();
    assert_eq!(workers.as_array().map(Vec::len), Some(1), "{workers}");
}

#[test]
fn a_job_is_cancelled_in_the_middle_of_a_step_and_tried_again() {
    let data = data_dir();
    let server = Server::start(data.path());
    let client = &server.client;
    let dataset = add_dataset(client, data.path());
    let body = json!({ "kind": "sft", "name": "Long", "recipe": recipe("model:nano-rl", &dataset, 500, 64) });
    let id = queue(client, &body);
    let behind = queue(client, &json!({ "kind": "sft", "name": "Behind", "recipe": body["recipe"] }));
    wait_for_step(client, &id, 1);
    let path = format!("/api/v1/jobs/{id}");
    let asked = Instant::now();
    assert_eq!(client.delete(&path).json()["is_cancelling"], true);
    wait_for_state(client, &id, "cancelled");
    assert!(asked.elapsed() < Duration::from_secs(15), "{:?}", asked.elapsed());
    let again = client.delete(&path);
    assert_eq!((again.status, problem(&again).as_str()), (409, "job-state"));
    // One that waits in the queue is cancelled at once.
    let cancelled = client.delete(&format!("/api/v1/jobs/{behind}"));
    assert!(["cancelled", "running"].contains(&cancelled.json()["state"].as_str().expect("a state")));
    wait_for_state(client, &behind, "cancelled");
    let step = job(client, &id)["step"].as_u64().expect("a step");
    assert!(step >= 1);
    assert_eq!(client.post(&format!("{path}/retry"), &json!({})).json()["state"], "queued");
    wait_for_step(client, &id, step + 1);
    let attempts = client.get(&format!("{path}/attempts")).json();
    assert!(attempts[1]["first_step"].as_u64() >= Some(step), "it goes on where it was: {attempts}");
    assert_eq!(client.post(&format!("{path}/retry"), &json!({})).status, 409);
}

#[test]
fn a_job_in_other_hands_is_left_alone() {
    let data = data_dir();
    let server = Server::start(data.path());
    let dataset = add_dataset(&server.client, data.path());
    let body =
        json!({ "kind": "sft", "name": "Taken", "recipe": recipe("model:nano-rl", &dataset, 500, 16) });
    let id = queue(&server.client, &body);
    wait_for_step(&server.client, &id, 2);
    // Another worker, of which this one does not know, claims it, as after a lease that ran out.
    let taken = format!(
        "with other as (insert into workers (id, name, device, version) values (gen_random_uuid(), 'other', 'cpu', '') \
         returning id), attempt as (update jobs set attempt = attempt + 1, worker_id = other.id, \
         lease_until = now() + interval '1 hour' from other where jobs.id = '{id}' returning jobs.id, attempt, other.id as who) \
         insert into job_attempts (job_id, attempt, worker_id, first_step, last_step) \
         select id, attempt, who, 0, 0 from attempt"
    );
    database::run(data.path(), &taken).expect("it is claimed");
    let stale = Instant::now();
    while training(&id).is_some() {
        assert!(stale.elapsed() < Duration::from_secs(10), "a stale worker trains on");
        std::thread::sleep(Duration::from_millis(20));
    }
    let written = format!("select count(*) from job_metrics where job_id = '{id}' and attempt = 2");
    assert_eq!(database::query(data.path(), &written), 0);
    let before = job(&server.client, &id);
    assert_eq!((before["state"].as_str(), before["attempt"].as_u64()), (Some("running"), Some(2)));
    // The other one is never heard of again.
    let expired = format!("update jobs set lease_until = now() where id = '{id}'");
    database::run(data.path(), &expired).expect("an update");
    eventually(|| (job(&server.client, &id)["attempt"] == 3).then_some(()));
}

#[test]
fn a_job_that_fails_at_the_same_step_is_given_up() {
    let data = data_dir();
    let server = Server::start(data.path());
    let client = &server.client;
    let dataset = add_dataset(client, data.path());
    // What cannot be mended is not tried again.
    let body = json!({ "kind": "sft", "name": "No model", "recipe": recipe("model:nope", &dataset, 4, 4) });
    let failed = wait_for_state(client, &queue(client, &body), "failed");
    assert!(
        text(&failed["error"]).contains("nope") && text(&failed["error"]).contains("nano-rl"),
        "{failed}"
    );
    assert_eq!(failed["attempt"], 1);

    let recipe = recipe("model:nano-rl", &dataset, 500, 256);
    let id = queue(client, &json!({ "kind": "sft", "name": "Killed", "recipe": recipe }));
    for attempt in 1..=3 {
        database::run(data.path(), &format!("update jobs set run_after = now() where id = '{id}'"))
            .expect("an update");
        eventually(|| (job(client, &id)["attempt"] == attempt).then_some(()));
        eventually(|| kill_training(&id).then_some(()));
        eventually(|| (job(client, &id)["state"] != "running").then_some(()));
    }
    let failed = job(client, &id);
    assert_eq!(
        (failed["state"].as_str(), failed["failures"].as_u64()),
        (Some("failed"), Some(3)),
        "{failed}"
    );
    assert_eq!(outcomes(client, &id), ["failed", "failed", "failed"]);
}

#[test]
fn what_was_given_up_keeps_its_files_for_a_while_and_can_be_begun_anew() {
    let data = data_dir();
    let server = Server::start(data.path());
    let dataset = add_dataset(&server.client, data.path());
    let body = |steps| json!({ "kind": "sft", "name": "Given up", "recipe": recipe("model:nano-rl", &dataset, steps, 8) });
    let done = queue(&server.client, &body(2));
    let _ = wait_for_state(&server.client, &done, "done");
    let id = queue(&server.client, &body(40));
    wait_for_step(&server.client, &id, 3);
    assert_eq!(server.client.delete(&format!("/api/v1/jobs/{id}")).status, 200);
    let _ = wait_for_state(&server.client, &id, "cancelled");
    let folder = |id: &str| data.path().join("jobs").join(id);
    assert!(server.stop().success());
    // Its time has not come.
    let server = Server::start(data.path());
    let _ = wait_for_state(&server.client, &id, "cancelled");
    assert!(folder(&id).join("out").is_dir() && server.stop().success());
    // It has, and nothing that is done goes with it.
    let server = Server::start_with(data.path(), &["--keep-given-up", "0", "--no-worker"]);
    eventually(|| (!folder(&id).exists()).then_some(()));
    assert!(folder(&done).join("out/model.safetensors").is_file());
    assert_eq!(server.client.post(&format!("/api/v1/jobs/{id}/retry"), &json!({})).status, 200);
    let _worker = Worker::start(data.path());
    // It begins anew, and says so once it has begun.
    let attempts = || server.client.get(&format!("/api/v1/jobs/{id}/attempts")).json();
    eventually(|| (attempts()[1]["first_step"] == 0).then_some(()));
    wait_for_step(&server.client, &id, 1);
}

#[test]
fn a_worker_that_stops_gives_its_job_back() {
    let data = data_dir();
    let server = Server::start_with(data.path(), &["--no-worker"]);
    let dataset = add_dataset(&server.client, data.path());
    let body =
        json!({ "kind": "sft", "name": "Passed on", "recipe": recipe("model:nano-rl", &dataset, 12, 16) });
    let id = queue(&server.client, &body);
    let worker = Worker::start(data.path());
    wait_for_step(&server.client, &id, 3);
    worker.stop();
    let back = job(&server.client, &id);
    assert_eq!((back["state"].as_str(), back["failures"].as_u64()), (Some("queued"), Some(0)), "{back}");
    let step = back["step"].as_u64().expect("a step");
    // Two workers, and one job: one of them has it.
    let _workers = [Worker::start(data.path()), Worker::start(data.path())];
    wait_for_state(&server.client, &id, "done");
    let attempts = server.client.get(&format!("/api/v1/jobs/{id}/attempts")).json();
    assert_eq!(outcomes(&server.client, &id), ["released", "done"]);
    assert_eq!(attempts[1]["first_step"].as_u64(), Some(step), "nothing is trained twice: {attempts}");
    assert!(
        trained(data.path(), &id) == uninterrupted(&server.client, data.path(), &id),
        "the weights differ"
    );
}

#[test]
fn a_worker_behind_a_cut_network_lets_go_before_another_takes_over() {
    let data = data_dir();
    let server = Server::start_with(data.path(), &["--no-worker"]);
    let dataset = add_dataset(&server.client, data.path());
    let cable = Cable::lay(data.path());
    let _far = Worker::start_with(data.path(), &["--database-url", &cable.database_url()]);
    let body =
        json!({ "kind": "sft", "name": "Cut off", "recipe": recipe("model:nano-rl", &dataset, 24, 64) });
    let id = queue(&server.client, &body);
    wait_for_step(&server.client, &id, 3);
    let child = training(&id).expect("it trains");
    cable.cut();
    let near = Worker::start(data.path());
    // The worker gets no error, only silence. It ends its training while the job is still its own.
    let cut = Instant::now();
    while training(&id) == Some(child) {
        assert!(cut.elapsed() < Duration::from_secs(20), "it trains on");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(job(&server.client, &id)["attempt"], 1, "two trained one job at a time");
    // The other worker begins where the last checkpoint is, and what the first one still had to say comes late.
    eventually(|| (job(&server.client, &id)["attempt"] == 2).then_some(()));
    wait_for_step(&server.client, &id, 6);
    cable.mend();
    wait_for_state(&server.client, &id, "done");
    assert_eq!(outcomes(&server.client, &id), ["lost", "done"]);
    assert_eq!(steps(&server.client, &id), (1..=24).collect::<Vec<_>>());
    let attempts = server.client.get(&format!("/api/v1/jobs/{id}/attempts")).json();
    let late = format!(
        "select count(*) from job_metrics where job_id = '{id}' and attempt = 1 and step > {}",
        attempts[1]["first_step"]
    );
    assert_eq!(database::query(data.path(), &late), 0, "{attempts}");
    assert!(
        trained(data.path(), &id) == uninterrupted(&server.client, data.path(), &id),
        "the weights differ"
    );
    // And the first worker works again.
    near.stop();
    let body =
        json!({ "kind": "sft", "name": "After it", "recipe": recipe("model:nano-rl", &dataset, 2, 4) });
    let next = queue(&server.client, &body);
    wait_for_state(&server.client, &next, "done");
}

#[test]
fn what_cannot_be_queued_is_refused_in_words() {
    let data = data_dir();
    let server = Server::start_with(data.path(), &["--no-worker"]);
    let client = &server.client;
    let nobody = "019c0000-0000-7000-8000-000000000000";
    let good = recipe("model:nano-rl", nobody, 4, 4);
    for (name, recipe, status, words) in [
        ("", good.clone(), 422, "the name"),
        ("a", good.clone(), 404, "dataset"),
        ("a", good.replace("model:nano-rl", "/etc"), 422, "`model:`"),
        (
            "a",
            good.replace("model:nano-rl", &format!("job:{nobody}")).replace("dataset:", "x"),
            422,
            "`dataset:`",
        ),
        ("a", format!("out = \"/etc\"\n{good}"), 422, "leave it out"),
        ("a", good.replace("steps = 4", "steps = -1"), 422, "steps"),
        ("a", "base = ".to_owned(), 422, "line 1"),
    ] {
        let answer = client.post("/api/v1/jobs", &json!({ "kind": "sft", "name": name, "recipe": recipe }));
        assert_eq!(answer.status, status, "{}", answer.json());
        assert!(text(&answer.json()["detail"]).contains(words), "{}", answer.json());
    }
    assert_eq!(client.get("/api/v1/jobs").json()["items"], json!([]));
    assert_eq!(client.get(&format!("/api/v1/jobs/{nobody}/events")).status, 404);
}
