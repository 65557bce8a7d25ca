//! What tests of training need: labelled images to learn from, and the process that learns.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

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
    trainings().into_iter().find(|(_, line)| line.contains(job)).map(|(pid, _)| pid)
}

/// Every process that trains, with its command line. One that was killed and not yet waited for has none.
///
/// # Panics
/// Without `/proc`.
#[must_use]
pub fn trainings() -> Vec<(Pid, String)> {
    let entries = std::fs::read_dir("/proc").expect("processes");
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let lines = pids.map(|pid| (pid, std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default()));
    let lines = lines.map(|(pid, line)| (pid, String::from_utf8_lossy(&line).into_owned()));
    let trainings = lines.filter(|(_, line)| line.contains("--recipe") && line.contains("--events"));
    trainings.filter_map(|(pid, line)| Some((Pid::from_raw(pid)?, line))).collect()
}

/// Kills the process that trains a job; whether there was one.
#[must_use]
pub fn kill_training(job: &str) -> bool {
    training(job).is_some_and(|pid| kill_process(pid, Signal::KILL).is_ok())
}

/// Writes the file of a teacher, nano behind another server's endpoint; its path.
///
/// # Panics
/// When it cannot be written.
#[must_use]
pub fn teacher(folder: &Path, url: &str) -> String {
    let path = folder.join("teacher.toml");
    let text = format!("[endpoint]\nbase_url = \"{url}/v1\"\nmodel = \"nano\"\nconcurrency = 8\n");
    std::fs::write(&path, text).expect("written");
    path.to_string_lossy().into_owned()
}

/// A toy distillation.
#[must_use]
pub fn distil_recipe(teacher: &str, dataset: &str) -> String {
    format!(
        "teacher = \"{teacher}\"\n[data]\nmanifests = [\"dataset:{dataset}\"]\n[ask]\nprompt = \"reason\"\n\
         temperature = 0.0\nmax_tokens = 256\n[filters]\non = [\"attributes\", \"wording\", \"length\"]\n\
         min_characters = 40\n"
    )
}

/// A toy cold start of so many steps.
#[must_use]
pub fn sft_recipe(base: &str, manifest: &str, steps: usize) -> String {
    format!(
        "base = \"{base}\"\n[data]\nmanifests = [\"{manifest}\"]\n[train]\nsteps = {steps}\nbatch = 8\nmicro_batch = 4\n\
         learning_rate = 1e-4\nwarmup = 1\ncheckpoint_every = 2\n[validation]\nimages = 0\n"
    )
}

/// Toy reinforcement learning of so many steps.
#[must_use]
pub fn grpo_recipe(base: &str, dataset: &str, steps: usize) -> String {
    format!(
        "base = \"{base}\"\n[data]\nmanifests = [\"dataset:{dataset}\"]\n[rollout]\ngroup = 2\nmax_new_tokens = 128\n\
         [train]\nsteps = {steps}\nimages = 2\nwarmup = 1\ncheckpoint_every = 1\n\
         [validation]\nimages = 0\nreasoning_images = 0\n"
    )
}

/// A toy evaluation of so many images.
#[must_use]
pub fn evaluate_recipe(models: &[String], dataset: &str, images: usize) -> String {
    format!(
        "models = {models:?}\n[data]\nmanifests = [\"dataset:{dataset}\"]\nsplit = \"train\"\nlimit = {images}\n\
         [measure]\ndeterminism = 0\n"
    )
}

/// What a training gives that nobody interrupts, of the recipe that a worker wrote into its data directory. What it
/// learns from comes from the server: a worker keeps none of it.
///
/// # Panics
/// When the job has no recipe yet, or the command fails.
#[must_use]
pub fn uninterrupted(client: &Client, data: &Path, id: &str) -> Vec<u8> {
    let folder = data.join("jobs").join(id);
    let text = std::fs::read_to_string(folder.join("recipe.toml")).expect("the recipe");
    let own = data.join("uninterrupted").join(id);
    std::fs::create_dir_all(own.join("data")).expect("a folder");
    let dataset = text.split("\"data/").nth(1).and_then(|rest| rest.split('/').next()).expect("a dataset");
    let archive = client.get(&format!("/api/v1/datasets/{dataset}/archive"));
    tar::Archive::new(archive.body.as_slice()).unpack(own.join("data").join(dataset)).expect("an archive");
    std::fs::write(own.join("recipe.toml"), &text).expect("written");
    std::os::unix::fs::symlink(folder.join("base"), own.join("base")).expect("a link");
    let mut command = Command::new(binary());
    let done =
        command.args(["sft", "--recipe", "recipe.toml"]).current_dir(&own).output().expect("it starts");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    std::fs::read(own.join("out/model.safetensors")).expect("a model")
}

/// A worker beside a server, killed with the test.
pub struct Worker(Child);

impl Worker {
    /// Starts one.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(data: &Path) -> Self {
        Self::start_with(data, &[])
    }

    /// The same with more arguments.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start_with(data: &Path, arguments: &[&str]) -> Self {
        Self::start_in(data, arguments, &[])
    }

    /// The same with more variables in its environment.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start_in(data: &Path, arguments: &[&str], environment: &[(&str, String)]) -> Self {
        let mut command = Command::new(binary());
        command.args(["worker", "--name", "beside", "--data-dir"]).arg(data).env("RUST_LOG", "warn");
        command.env("QPONDER_MODEL", root().join("models/nano")).stdin(Stdio::null()).args(arguments);
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        Self(command.spawn().expect("it starts"))
    }

    /// Stops it as an operator would.
    ///
    /// # Panics
    /// When it does not end well.
    pub fn stop(mut self) {
        kill_process(Pid::from_child(&self.0), Signal::TERM).expect("it runs");
        assert!(self.0.wait().expect("it ends").success());
    }

    /// Whether it has ended by itself, as one that cannot reach the database at its start does.
    pub fn has_ended(&mut self) -> bool {
        self.0.try_wait().is_ok_and(|ended| ended.is_some())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
