//! What tests of training need: labelled images to learn from, and the process that learns.

use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::client::{Client, text};
use crate::server::{binary, root};

/// The photographs of the fixtures, degraded by our own command: a folder with a manifest.
///
/// # Panics
/// When the command fails.
#[must_use]
pub fn degrade(data_dir: &Path, per_image: u32, size: u32) -> PathBuf {
    let folder = data_dir.join("degraded");
    let made = Command::new(binary())
        .args(["degrade", "--per-image", &per_image.to_string(), "--size", &size.to_string()])
        .args(["--seed", "4", "--input"])
        .arg(root().join("tests/fixtures/photographs"))
        .arg("--out")
        .arg(&folder)
        .output()
        .expect("it starts");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    folder
}

/// Degraded photographs, imported as a dataset; its id.
///
/// # Panics
/// When they cannot be imported.
#[must_use]
pub fn add_dataset(client: &Client, data_dir: &Path) -> String {
    let mut tar = tar::Builder::new(Vec::new());
    tar.append_dir_all(".", degrade(data_dir, 6, 112)).expect("an archive");
    let query = json!({ "content": { "manifest": { "name": "Degraded" } } });
    let done = client.transferred(&client.import(&query, "set.tar", &tar.into_inner().expect("an archive")));
    assert_eq!(done["state"], "done", "{done}");
    text(&done["report"]["dataset"])
}

/// The process that trains a job, by the recipe on its command line.
///
/// # Panics
/// Without `/proc`.
#[must_use]
pub fn training(job: &str) -> Option<Pid> {
    let is_its = |pid: &i32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line);
        line.contains("--recipe") && line.contains(job)
    };
    let entries = std::fs::read_dir("/proc").expect("processes");
    let mut pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.find(is_its).and_then(Pid::from_raw)
}

/// Kills the process that trains a job; whether there was one.
#[must_use]
pub fn kill_training(job: &str) -> bool {
    training(job).is_some_and(|pid| kill_process(pid, Signal::KILL).is_ok())
}
