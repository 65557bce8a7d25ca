//! Many trainings while everything around them is killed: workers, their children, the server with its Postgres, a
//! backend of Postgres, and the network. Nothing is lost, nothing is trained twice at once, and every model is the one
//! that a training gives that nobody disturbs.
//!
//! `cargo xtask soak --minutes 60` runs it for an hour.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use qponder_tests::cable::Cable;
use qponder_tests::client::{Client, text};
use qponder_tests::database;
use qponder_tests::server::{Server, data_dir};
use qponder_tests::trainings::{Worker, add_dataset, trainings, uninterrupted};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// How long things are killed, where nobody says otherwise.
const SECONDS: u64 = 75;
/// Jobs that are unfinished at a time.
const UNFINISHED: usize = 4;
/// Recipes that take turns; every job of one ends in the same weights.
const RECIPES: u64 = 2;
/// What is broken, each as often as it stands here; the first five are each kind once.
const KINDS: [u64; 10] = [0, 1, 2, 3, 4, 0, 1, 1, 3, 4];
/// How long the last jobs may take once nothing is killed any more.
const PATIENCE: Duration = Duration::from_secs(300);

/// Numbers that look random and are the same in each run of a seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        // xorshift64* (Vigna, 2016).
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % sides
    }
}

fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(otherwise)
}

fn recipe(dataset: &str, seed: u64) -> String {
    format!(
        "base = \"model:nano-rl\"\n[data]\nmanifests = [\"dataset:{dataset}\"]\n[train]\nsteps = {}\nbatch = 8\n\
         micro_batch = 4\nlearning_rate = 1e-4\nwarmup = 1\nseed = {seed}\ncheckpoint_every = 2\nthreads = 1\n\
         [validation]\nimages = 0\n",
        8 + 2 * seed
    )
}

/// Looks, again and again, whether two processes train one job.
struct Watch {
    stop: Arc<AtomicBool>,
    twice: Arc<Mutex<BTreeSet<String>>>,
    thread: JoinHandle<()>,
}

impl Watch {
    fn start(data: &Path) -> Self {
        let (stop, twice) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(BTreeSet::new())));
        let (stopping, found) = (Arc::clone(&stop), Arc::clone(&twice));
        let jobs = data.join("jobs").display().to_string();
        let thread = std::thread::spawn(move || {
            while !stopping.load(Ordering::Relaxed) {
                let mut seen = BTreeSet::new();
                for (_, line) in trainings() {
                    let Some(job) = line.split(&jobs).nth(1).and_then(|rest| rest.get(1..37)) else {
                        continue;
                    };
                    if !seen.insert(job.to_owned()) {
                        found.lock().expect("nobody panicked").insert(job.to_owned());
                    }
                }
                sleep(Duration::from_millis(25));
            }
        });
        Self { stop, twice, thread }
    }

    fn stop(self) -> BTreeSet<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("it ends");
        self.twice.lock().expect("nobody panicked").clone()
    }
}

/// Everything that is killed, and started again.
struct Stage {
    data: tempfile::TempDir,
    server: Option<Server>,
    workers: Vec<Option<Worker>>,
    cable: Option<Cable>,
}

impl Stage {
    fn client(&self) -> &Client {
        &self.server.as_ref().expect("it runs").client
    }

    fn start_server(&mut self) {
        self.server = Some(Server::start_with(self.data.path(), &["--no-worker"]));
    }

    /// The last worker is at the far end of the cable.
    fn start_worker(&mut self, place: usize) {
        let url = self.cable.as_ref().filter(|_| place + 1 == self.workers.len()).map(Cable::database_url);
        let arguments: Vec<&str> = url.iter().flat_map(|url| ["--database-url", url]).collect();
        self.workers[place] = Some(Worker::start_with(self.data.path(), &arguments));
    }

    /// Starts the workers that ended because they could not reach a database.
    fn tend(&mut self) {
        for place in 0..self.workers.len() {
            if self.workers[place].as_mut().is_none_or(Worker::has_ended) {
                self.start_worker(place);
            }
        }
    }

    /// Breaks one thing; what it was. Each kind has its turn before chance decides.
    fn break_something(&mut self, turn: u64, dice: &mut Dice) -> &'static str {
        let kind =
            if turn < KINDS.len() as u64 { turn } else { KINDS[dice.roll(KINDS.len() as u64) as usize] };
        match kind {
            0 => {
                let place = dice.roll(self.workers.len() as u64) as usize;
                // Dropped, it is killed with SIGKILL, and its child with it.
                self.workers[place] = None;
                "a worker"
            }
            1 => {
                let all = trainings();
                let ours = self.data.path().display().to_string();
                let all: Vec<_> = all.into_iter().filter(|(_, line)| line.contains(&ours)).collect();
                if !all.is_empty() {
                    let (pid, _) = all[dice.roll(all.len() as u64) as usize];
                    let _ = kill_process(pid, Signal::KILL);
                }
                "a training"
            }
            2 => {
                // The embedded Postgres dies with its server.
                self.server.take().expect("it runs").kill();
                sleep(Duration::from_millis(500 * dice.roll(8)));
                self.start_server();
                "the server and Postgres"
            }
            3 => {
                let victim = "select pid from pg_stat_activity where application_name = 'qponder' \
                              and query not ilike '%advisory%' order by random() limit 1";
                let pid = database::run(self.data.path(), victim).ok();
                if let Some(pid) = pid.and_then(|pid| Pid::from_raw(pid.trim().parse().ok()?)) {
                    // Postgres ends all connections then and recovers from its log.
                    let _ = kill_process(pid, Signal::KILL);
                }
                "a backend of Postgres"
            }
            _ => {
                if let Some(cable) = &self.cable {
                    cable.cut();
                    sleep(Duration::from_secs(1 + dice.roll(18)));
                    cable.mend();
                }
                "the network"
            }
        }
    }
}

/// Asks until the server answers: it may be recovering.
fn ask(client: &Client, path: &str) -> Value {
    let begun = Instant::now();
    loop {
        let answer = client.get(path);
        if answer.status == 200 {
            return answer.json();
        }
        assert!(begun.elapsed() < PATIENCE, "{path} is never answered: {}", answer.json());
        sleep(Duration::from_millis(200));
    }
}

#[test]
fn nothing_is_lost_whatever_is_killed() {
    let seconds = setting("QPONDER_SOAK_SECONDS", SECONDS);
    let seed = setting("QPONDER_SOAK_SEED", 1);
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut stage = Stage { data: data_dir(), server: None, workers: vec![None, None, None], cable: None };
    stage.start_server();
    let dataset = add_dataset(stage.client(), stage.data.path());
    stage.cable = Some(Cable::lay(stage.data.path()));
    stage.tend();
    let watch = Watch::start(stage.data.path());
    let mut jobs: Vec<(String, u64)> = Vec::new();
    let mut broken = BTreeMap::<&str, u32>::new();
    let (mut retried, mut turn) = (0, 0);
    let begun = Instant::now();
    loop {
        let is_over = begun.elapsed() > Duration::from_secs(seconds);
        // A job that was killed again and again at one step is given up, and tried again by hand.
        let states: Vec<Value> =
            jobs.iter().map(|(id, _)| ask(stage.client(), &format!("/api/v1/jobs/{id}"))).collect();
        for job in states.iter().filter(|job| job["state"] == "failed") {
            let again = stage.client().post(&format!("/api/v1/jobs/{}/retry", text(&job["id"])), &json!({}));
            retried += u32::from(again.status == 200);
        }
        let open = states.iter().filter(|job| job["state"] != "done").count();
        if is_over && open == 0 {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(seconds) + PATIENCE, "jobs never end: {states:?}");
        if !is_over && open < UNFINISHED {
            let kind = dice.roll(RECIPES);
            let body = json!({ "kind": "sft", "name": "Soaked", "recipe": recipe(&dataset, kind) });
            // A call whose answer is lost is made again with its key, and makes one job.
            let key = format!("job {}", jobs.len());
            let client = stage.client().with_header("idempotency-key", &key);
            let made = client.post("/api/v1/jobs", &body);
            if [200, 201].contains(&made.status) {
                jobs.push((text(&made.json()["id"]), kind));
            }
        }
        if is_over {
            sleep(Duration::from_millis(300));
        } else {
            sleep(Duration::from_millis(1000 + 100 * dice.roll(20)));
            *broken.entry(stage.break_something(turn, &mut dice)).or_default() += 1;
            turn += 1;
        }
        stage.tend();
    }
    let twice = watch.stop();
    println!(
        "seed {seed}, {seconds} s: {} jobs, {retried} tried again by hand, broken: {broken:?}",
        jobs.len()
    );
    assert!(twice.is_empty(), "these were trained by two at once: {twice:?}");

    // Everything that was promised is there, once and in order.
    let client = stage.client();
    let known = database::query(stage.data.path(), "select count(*) from jobs");
    assert_eq!(known, jobs.len(), "jobs were lost or doubled");
    let mut expected = BTreeMap::<u64, Vec<u8>>::new();
    let mut attempts = 0;
    for (id, kind) in &jobs {
        let job = ask(client, &format!("/api/v1/jobs/{id}"));
        let metrics = ask(client, &format!("/api/v1/jobs/{id}/metrics"));
        let rows = metrics["metrics"].as_array().expect("numbers");
        let steps: Vec<u64> = rows.iter().filter_map(|row| row["step"].as_u64()).collect();
        assert_eq!(steps, (1..=8 + 2 * kind).collect::<Vec<_>>(), "{job}");
        let sql = format!(
            "select count(*) from (select attempt < lag(attempt) over (order by step) as is_back from job_metrics \
             where job_id = '{id}') rows where is_back"
        );
        assert_eq!(
            database::query(stage.data.path(), &sql),
            0,
            "an earlier attempt wrote after a later one: {job}"
        );
        attempts += job["attempt"].as_u64().expect("a number");
        let weights = expected.entry(*kind).or_insert_with(|| uninterrupted(client, stage.data.path(), id));
        let trained = std::fs::read(stage.data.path().join("jobs").join(id).join("out/model.safetensors"));
        assert!(trained.expect("a model") == *weights, "the weights differ: {job}");
        // And what is kept of it is what was trained.
        let files = ask(client, &format!("/api/v1/jobs/{id}/artifacts"));
        let model = files.as_array().expect("files").iter().find(|file| file["name"] == "model.safetensors");
        let model = client.get(&format!("/api/v1/artifacts/{}", text(&model.expect("a model")["id"])));
        assert!(model.body == *weights, "what is kept differs: {job}");
    }
    println!(
        "{} jobs in {attempts} attempts, and every model is the one of an undisturbed training",
        jobs.len()
    );
}
