//! Looks into the embedded database from outside, through Postgres' own client.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Runs a query for one JSON value in the database of a running server.
#[must_use]
pub fn query(data_dir: &Path, sql: &str) -> Value {
    let output = Command::new("psql")
        .arg("--host")
        .arg(data_dir.join("postgres/socket"))
        .args(["--username=qponder", "--dbname=qponder", "--no-psqlrc", "--tuples-only", "--no-align"])
        .args(["--command", sql])
        .output()
        .expect("psql starts");
    assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(text.trim()).unwrap_or_else(|error| panic!("{sql} gave {text}: {error}"))
}
