//! Looks into the embedded database from outside, through Postgres' own client.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Runs a query for one JSON value in the database of a running server.
#[must_use]
pub fn query(data_dir: &Path, sql: &str) -> Value {
    let text = run(data_dir, sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    serde_json::from_str(text.trim()).unwrap_or_else(|error| panic!("{sql} gave {text}: {error}"))
}

/// Runs a statement there; what it prints.
///
/// # Errors
/// Why the database refuses it.
pub fn run(data_dir: &Path, sql: &str) -> Result<String, String> {
    let output = Command::new("psql")
        .arg("--host")
        .arg(data_dir.join("postgres/socket"))
        .args(["--username=qponder", "--dbname=qponder", "--no-psqlrc", "--tuples-only", "--no-align"])
        .args(["--command", sql])
        .output()
        .expect("psql starts");
    let words = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(words(&output.stdout)) } else { Err(words(&output.stderr)) }
}
