//! The API against the real server and a real Postgres, through its public interface only.

mod access;
mod accounts;
mod annotations;
mod assessments;
mod audit;
mod backup;
mod batches;
mod buckets;
mod chat;
mod command_line;
mod compare;
mod contract;
mod counts;
mod exporting;
mod hostile_accounts;
mod images;
mod jobs;
mod lifecycle;
mod models;
mod operation;
mod plans;
mod registry;
mod studies;
mod tokens;
mod transfers;
mod uploads;

use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use qponder_tests::server::root;
use serde_json::Value;

/// A tiny random model: it writes nonsense until it is stopped, which is what tests of stopping need.
fn rambling_model() -> String {
    let model: PathBuf = root().join("tests/fixtures/transformers/flat-f32-untied-sharded");
    model.to_str().expect("an ordinary path").to_owned()
}

/// Waits until `look` finds something. The limit only ends a test that would never end.
#[track_caller]
fn eventually<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < Duration::from_secs(300), "it never happened");
        sleep(Duration::from_millis(20));
    }
}

/// Checks that an answer is a problem as RFC 9457 has it, and returns the last part of its type.
#[track_caller]
fn problem(answer: &qponder_tests::client::Answer) -> String {
    assert_eq!(answer.header("content-type"), "application/problem+json", "status {}", answer.status);
    let body = answer.json();
    assert_eq!(body["status"], answer.status);
    for member in ["title", "detail"] {
        assert!(body[member].as_str().is_some_and(|text| !text.is_empty()), "{body}");
    }
    let kind = body["type"].as_str().expect("a type");
    kind.strip_prefix("/problems/").unwrap_or_else(|| panic!("{kind}")).to_owned()
}

/// The strings under `key` of a list of objects.
fn column(list: &Value, key: &str) -> Vec<String> {
    let list = list.as_array().expect("a list");
    list.iter().map(|item| item[key].as_str().expect("a string").to_owned()).collect()
}
