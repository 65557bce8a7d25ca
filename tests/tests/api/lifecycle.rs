//! Starting, stopping, and being killed.

use std::fs;
use std::net::TcpListener;

use qponder_tests::client::text;
use qponder_tests::database::{self, query};
use qponder_tests::pictures::png;
use qponder_tests::server::{Server, data_dir, run_to_end};
use serde_json::json;

use crate::{eventually, problem, rambling_model};

#[test]
fn nothing_is_lost_when_the_server_is_killed() {
    let data = data_dir();
    let rambling = ["--model", &rambling_model()];
    let server = Server::start_with(data.path(), &rambling);
    let bytes = include_bytes!("../../fixtures/photographs/brook.jpg");
    let image = server.client.add_image("brook.jpg", bytes);
    let done = server.client.assess(&json!({ "image_id": image, "mode": "quick" }));
    let long = json!({ "image_id": image, "sampling": { "max_new_tokens": 4096 } });
    let running = text(&server.client.post("/api/v1/assessments", &long).json()["id"]);
    let path = format!("/api/v1/assessments/{running}");
    let mut events = server.client.events(&format!("{path}/events"), &[]);
    assert!(events.any(|event| event.name == "token"));
    server.kill();

    let server = Server::start_with(data.path(), &rambling);
    assert_eq!(server.client.get(&format!("/api/v1/images/{image}/original")).body, bytes);
    assert_eq!(server.client.get(&format!("/api/v1/assessments/{}", text(&done["id"]))).json(), done);
    // It is taken up again without being asked.
    eventually(|| {
        let now = server.client.get(&path).json();
        (now["status"] == "done" || text(&now["text"]).len() > 20).then_some(())
    });
    assert!(server.stop().success());

    // A stop in good order leaves no database running, and gives unfinished work back.
    assert!(!data.path().join("postgres/cluster/postmaster.pid").exists());
    let server = Server::start_with(data.path(), &rambling);
    let status = text(&server.client.get(&path).json()["status"]);
    assert!(["queued", "running", "done"].contains(&status.as_str()), "{status}");
}

#[test]
fn a_full_queue_refuses_and_recovers() {
    let data = data_dir();
    let server = Server::start_with(data.path(), &["--model", &rambling_model()]);
    let image = server.client.add_image("brook.jpg", include_bytes!("../../fixtures/photographs/brook.jpg"));
    let long = json!({ "image_id": image, "sampling": { "max_new_tokens": 4096 } });
    let mut taken = Vec::new();
    let refused = loop {
        let answer = server.client.post("/api/v1/assessments", &long);
        if answer.status != 201 {
            break answer;
        }
        taken.push(text(&answer.json()["id"]));
        assert!(taken.len() < 1000, "the queue has no end");
    };
    assert_eq!((refused.status, problem(&refused).as_str()), (503, "busy"));
    assert!(refused.header("retry-after").parse::<u32>().is_ok_and(|seconds| seconds > 0));

    // Those that were taken are waiting, and a place becomes free as soon as one is removed.
    let kept = query(data.path(), "select count(*) from assessments");
    assert_eq!(kept, taken.len(), "nothing of the refused one is left");
    assert!(taken.len() >= 256, "{}", taken.len());
    for id in &taken {
        assert!(server.client.delete(&format!("/api/v1/assessments/{id}")).status < 300);
    }
    eventually(|| (server.client.post("/api/v1/assessments", &long).status == 201).then_some(()));
}

#[test]
fn connections_that_the_database_cuts_are_made_anew() {
    let data = data_dir();
    let server = Server::start(data.path());
    let bytes = include_bytes!("../../fixtures/photographs/brook.jpg");
    let image = server.client.add_image("brook.jpg", bytes);
    let cut = "select count(pg_terminate_backend(pid)) from pg_stat_activity \
               where pid <> pg_backend_pid() and backend_type = 'client backend'";
    assert!(query(data.path(), cut).as_i64().is_some_and(|count| count > 0));
    let done = server.client.assess(&json!({ "image_id": image, "mode": "quick" }));
    assert_eq!(done["status"], "done");
    assert!(query(data.path(), cut).as_i64().is_some_and(|count| count > 0));
    assert_eq!(server.client.get(&format!("/api/v1/images/{image}")).status, 200);
    assert!(server.stop().success());
}

#[test]
fn a_start_that_fails_says_why_in_one_line() {
    let data = data_dir();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = taken.local_addr().expect("its address").to_string();
    let nowhere = "postgres://nobody@127.0.0.1:1/none";
    for (arguments, words) in [
        (&["--model", "/no/such/model"][..], "/no/such/model"),
        (&["--listen", &taken], taken.as_str()),
        (&["--listen", "0.0.0.0:0"], "--allow-remote"),
        (&["--database-url", nowhere], "refused"),
        (&["--database-url", "mysql://x"], "--database-url"),
        (&["--data-dir", "/dev/null/data"], "/dev/null/data"),
    ] {
        fails(data.path(), arguments, words);
    }

    let server = Server::start(data.path());
    fails(data.path(), &[], "in use");
    assert!(server.stop().success());

    fs::write(data.path().join("postgres/cluster/PG_VERSION"), "7\n").expect("it can be written");
    fails(data.path(), &[], "Postgres 7");
}

#[track_caller]
fn fails(data_dir: &std::path::Path, arguments: &[&str], words: &str) {
    let output = run_to_end(data_dir, arguments);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{arguments:?}");
    assert!(output.stdout.is_empty(), "{arguments:?}");
    let lines: Vec<_> = stderr.lines().collect();
    assert!(lines.len() == 1 && lines[0].starts_with("qponder: "), "{arguments:?}: {stderr}");
    assert!(lines[0].contains(words), "{arguments:?}: {stderr}");
}

#[test]
fn a_schema_that_a_newer_version_added_to_is_taken() {
    let data = data_dir();
    let server = Server::start(data.path());
    let image = server.client.add_image("a.png", &png(64, 48, 3));
    let newer = "insert into _sqlx_migrations (version, description, success, checksum, execution_time) \
                 values (9999, 'of the next version', true, '\\x00', 1); \
                 alter table images add column added_later text; alter table jobs add column added_later text";
    database::run(data.path(), newer).expect("a newer schema");
    let _ = server.stop();
    let server = Server::start(data.path());
    assert_eq!(server.client.get(&format!("/api/v1/images/{image}")).status, 200);
    let _ = server.client.add_image("b.png", &png(64, 48, 4));
    assert_eq!(server.client.get("/api/v1/jobs").status, 200);
}
