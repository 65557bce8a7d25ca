//! A training that dies goes on, and its logs tell every step once.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use qponder_tests::labelled::dataset;
use qponder_tests::server::{binary, data_dir, root};
use serde_json::Value;

const STEPS: u64 = 7;

fn start(dir: &Path, out: &str) -> Child {
    let recipe = format!(
        "base = '{}'\nout = '{}'\n[data]\nmanifests = ['{}']\n[rollout]\ngroup = 2\nmax_new_tokens = 12\n\
         temperature = 1.3\n[reward]\nrepetition = 1.0\n[train]\nsteps = {STEPS}\nimages = 2\nwarmup = 0\n\
         learning_rate = 1e-3\nmask_truncated = false\ncheckpoint_every = 3\nthreads = 1\n\
         [validation]\nevery = 2\nimages = 1\nreasoning_images = 0\n",
        root().join("models/nano-ci").display(),
        dir.join(out).display(),
        dir.join("set/manifest.jsonl").display()
    );
    let path = dir.join(format!("{out}.toml"));
    fs::write(&path, recipe).expect("writes");
    let mut command = Command::new(binary());
    command.args(["grpo", "--recipe"]).arg(&path).stdout(Stdio::null()).spawn().expect("it runs")
}

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"))).collect()
}

/// How often each kind of event tells of each step, but for how often it was started.
fn told(dir: &Path, out: &str) -> BTreeMap<(String, u64), usize> {
    let mut told = BTreeMap::new();
    for line in lines(&dir.join(out).join("metrics.jsonl")) {
        let event = line["event"].as_str().unwrap_or_default().to_owned();
        let step = line["step"].as_u64().expect("a step");
        if event != "started" {
            *told.entry((event, step)).or_default() += 1;
        }
    }
    told
}

#[test]
fn a_killed_run_repeats_no_line_of_its_logs() {
    let dir = data_dir();
    let set = dir.path().join("set");
    let (train, val) = (dataset(&set, 4, "train"), fs::read_to_string(set.join("manifest.jsonl")));
    let val = val.expect("rows").replace("train", "val").replace("\"id\":\"p", "\"id\":\"v");
    let val = val.replace("\"reference\":\"", "\"reference\":\"held out ");
    fs::write(&train, fs::read_to_string(&train).expect("rows") + &val).expect("writes");
    assert!(start(dir.path(), "whole").wait().expect("it ends").success());

    let out = dir.path().join("parts");
    let has_made = |step: u64| {
        let log = fs::read_to_string(out.join("metrics.jsonl")).unwrap_or_default();
        log.contains(&format!("\"event\":\"policy\",\"step\":{step},"))
    };
    // Before the first checkpoint, after it, and as the second one is about to be written.
    for step in [2, 5, 6] {
        let mut run = start(dir.path(), "parts");
        while !has_made(step) {
            assert!(run.try_wait().expect("a process").is_none(), "it ended before step {step}");
            std::thread::sleep(Duration::from_millis(2));
        }
        run.kill().and_then(|()| run.wait()).expect("it runs");
        // As a power cut within a write would leave them.
        for log in ["metrics.jsonl", "completions.jsonl"] {
            let mut log = OpenOptions::new().append(true).open(out.join(log)).expect("a log");
            log.write_all(b"{\"event\":\"policy\",\"st").expect("writes");
        }
    }
    assert!(start(dir.path(), "parts").wait().expect("it ends").success());
    assert_eq!(told(dir.path(), "parts"), told(dir.path(), "whole"));
    assert!(told(dir.path(), "whole").values().all(|&times| times == 1));
    let completions = |out: &str| lines(&dir.path().join(out).join("completions.jsonl"));
    assert!(
        completions("parts") == completions("whole"),
        "the answers of a resumed run are those of a whole one"
    );
    assert_eq!(completions("whole").len() as u64, STEPS * 2 * 2, "every answer of every group is kept");
    let tokens = |out: &str| -> Vec<f64> {
        let lines = lines(&dir.path().join(out).join("metrics.jsonl"));
        lines.iter().filter_map(|line| line["num_tokens"].as_f64()).collect()
    };
    assert_eq!(tokens("parts"), tokens("whole"));
    assert!(tokens("whole").is_sorted() && tokens("whole").len() as u64 == STEPS, "{:?}", tokens("whole"));
    let weights = |out: &str| fs::read(dir.path().join(out).join("model.safetensors")).expect("a model");
    assert!(weights("parts") == weights("whole"), "resumed weights differ");
}

/// A cold start of a few steps with a checkpoint after every second one; the path of its recipe.
fn cold_start(dir: &Path, out: &Path) -> std::path::PathBuf {
    let recipe = format!(
        "base = '{}'\nout = '{}'\n[data]\nmanifests = ['{}']\n[train]\nsteps = 6\nbatch = 4\nmicro_batch = 2\n\
         learning_rate = 1e-4\nwarmup = 0\ncheckpoint_every = 2\nthreads = 1\n[validation]\nimages = 0\n",
        root().join("models/nano-ci").display(),
        out.display(),
        dir.join("set/manifest.jsonl").display()
    );
    let path = dir.join(format!("{}.toml", out.file_name().expect("a name").to_string_lossy()));
    fs::write(&path, recipe).expect("writes");
    path
}

#[test]
fn a_full_disk_leaves_the_checkpoint_before_it() {
    let dir = data_dir();
    let _ = dataset(&dir.path().join("set"), 4, "train");
    let (whole, small) = (dir.path().join("whole"), dir.path().join("small"));
    let done = Command::new(binary()).arg("sft").arg("--recipe").arg(cold_start(dir.path(), &whole)).output();
    assert!(done.expect("it starts").status.success());
    let size = fs::metadata(whole.join("checkpoint-00000006.safetensors")).expect("a checkpoint").len();

    // On a disk that has room for one checkpoint and no second one, until somebody makes room.
    fs::create_dir(&small).expect("a folder");
    let recipe = cold_start(dir.path(), &small);
    let script = "mount -t tmpfs -o size=\"$1\" none \"$2\" || exit 9
        \"$3\" sft --recipe \"$4\"; echo \"ended with $?\"; ls \"$2\"
        mount -o remount,size=1g \"$2\"
        \"$3\" sft --recipe \"$4\"; echo \"ended with $?\"
        cp \"$2/model.safetensors\" \"$2/metrics.jsonl\" \"$5\"";
    let mut shell = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        shell.args(["--user", "--map-root-user"]);
    }
    shell.args(["--mount", "sh", "-c", script, "sh", &(size * 8 / 5).to_string()]);
    let done = shell.arg(&small).arg(binary()).arg(&recipe).arg(dir.path()).output().expect("it starts");
    let (said, errors) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert_ne!(done.status.code(), Some(9), "this system lets nobody mount a small disk: {errors}");
    assert!(errors.contains("No space left"), "{errors}");
    assert!(said.contains("ended with 1\n"), "{said}");
    assert!(said.contains("checkpoint-00000002.safetensors\n"), "{said}");
    assert!(said.contains("going on after step 2") && said.contains("ended with 0\n"), "{said}");
    let weights = |path: &Path| fs::read(path.join("model.safetensors")).expect("a model");
    assert!(weights(dir.path()) == weights(&whole), "the weights differ");
}
