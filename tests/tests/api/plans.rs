//! How Postgres finds the rows of each list: by an index, reading no more of a table than a page needs.
//!
//! The server is the real one; Postgres writes the plan of every statement into its log (`auto_explain`).

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use qponder_tests::crowd::{self, LISTS};
use qponder_tests::database;
use qponder_tests::server::{Server, data_dir};
use serde_json::Value;

use crate::eventually;

/// Postgres looks at all rows of tables of this size when it makes its statistics, so that plans are the same
/// each time.
const IMAGES: u64 = 20_000;
/// Rows that a page may read of a table: its own and what a filter drops. A table read whole has more.
const MOST_ROWS: f64 = 2000.0;
/// Tables that grow with the work done.
const LARGE: [&str; 16] = [
    "images",
    "assessments",
    "readings",
    "pairs",
    "labels",
    "study_items",
    "assignments",
    "votes",
    "annotation_threads",
    "audit_log",
    "transfers",
    "jobs",
    "job_needs",
    "job_tags",
    "models",
    "promotions",
];

#[test]
fn every_list_comes_from_an_index() {
    let data = data_dir();
    let server = Server::start(data.path());
    crowd::fill(data.path(), IMAGES);
    database::run(
        data.path(),
        "alter database qponder set session_preload_libraries = 'auto_explain'; \
         alter database qponder set auto_explain.log_min_duration = 0; \
         alter database qponder set auto_explain.log_format = 'json'; \
         alter database qponder set auto_explain.log_analyze = on",
    )
    .expect("the settings");
    assert!(server.stop().success());
    // A worker would look for jobs in the middle of a list.
    let server = Server::start_with(data.path(), &["--no-worker"]);
    // What the server does by itself at its start is none of this.
    let mut before = log(data.path()).len();
    eventually(|| {
        std::thread::sleep(Duration::from_millis(500));
        let now = log(data.path()).len();
        Some(()).filter(|()| std::mem::replace(&mut before, now) == now)
    });
    let ask = |path: &str| {
        let before = log(data.path()).len();
        let answer = server.client.get(path);
        assert_eq!(answer.status, 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
        plans(&log(data.path())[before..])
    };
    let mut text = String::new();
    let mut show = |name: &str, plans: &[Value]| {
        let mut reads = BTreeSet::new();
        for plan in plans {
            find_reads(plan, &mut |read| {
                assert!(read.rows <= MOST_ROWS, "{name} reads {} rows ({}): {plan:#}", read.rows, read.how);
                reads.insert(read.how);
            });
        }
        let lines: String = reads.iter().map(|how| format!("    {how}\n")).collect();
        text += &format!("{name}\n{lines}");
    };
    for list in LISTS {
        let separator = if list.path.contains('?') { '&' } else { '?' };
        let first = format!("/api/v1/{}{separator}limit=50", list.path);
        show(list.name, &ask(&first));
        if let Some(cursors) = list.cursors {
            let middle = format!("select to_json(c) from ({cursors}) whole order by hashtext(c) limit 1");
            let cursor = database::query(data.path(), &middle);
            let cursor = cursor.as_str().expect("a position");
            show(&format!("{}, from the middle", list.name), &ask(&format!("{first}&cursor={cursor}")));
        }
    }
    let study = format!("/api/v1/studies/{}", crowd::STUDY);
    show("a study", &ask(&study));
    show("its members", &ask(&format!("{study}/members")));
    show("the next tasks, handed out", &ask(&format!("{study}/tasks?limit=3")));
    show("the next tasks, handed out before", &ask(&format!("{study}/tasks?limit=3")));
    // Other versions of Postgres may choose among indexes differently; that they read little is checked above.
    let version = database::query(data.path(), "select current_setting('server_version_num')::int / 10000");
    if version == 15 {
        insta::assert_snapshot!("plans", text);
    }
}

fn log(data: &Path) -> String {
    std::fs::read_to_string(data.join("postgres/postgres.log")).expect("the log of Postgres")
}

/// The plans in a part of the log.
fn plans(log: &str) -> Vec<Value> {
    let mut plans = Vec::new();
    for entry in log.split("  plan:\n").skip(1) {
        let json: String = entry.lines().take_while(|line| line.starts_with('\t')).collect();
        plans.push(serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {json}")));
    }
    plans
}

/// One way in which a plan reads a large table.
struct Read {
    how: String,
    /// Rows that were looked at, those that a filter dropped too.
    rows: f64,
}

/// Calls `found` for each node of a plan that reads a large table.
fn find_reads(plan: &Value, found: &mut impl FnMut(Read)) {
    match plan {
        Value::Array(parts) => parts.iter().for_each(|part| find_reads(part, found)),
        Value::Object(parts) => {
            let text = |key: &str| parts.get(key).and_then(Value::as_str);
            let number = |key: &str| parts.get(key).and_then(Value::as_f64).unwrap_or(0.0);
            let table = text("Relation Name").filter(|table| LARGE.contains(table));
            if let (Some(node), Some(table)) = (text("Node Type"), table) {
                let index = text("Index Name").map_or_else(String::new, |index| format!(" by {index}"));
                let dropped = number("Rows Removed by Filter") + number("Rows Removed by Index Recheck");
                let rows = (number("Actual Rows") + dropped) * number("Actual Loops");
                found(Read { how: format!("{node} of {table}{index}"), rows });
            }
            parts.values().for_each(|part| find_reads(part, found));
        }
        _ => {}
    }
}
