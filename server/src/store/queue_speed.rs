//! How many jobs the queue hands out, by workers and by what was done before. `cargo xtask bench jobs` runs it.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use qponder_shared::WorkerId;
use qponder_shared::job::{MetricPart, Metrics};

use super::leases::{End, Happenings, Takes};
use super::{Store, create_database};
use crate::postgres::Cluster;

/// Jobs of one measurement.
const JOBS: i64 = 2000;
/// Jobs that were done before.
const PAST: [i64; 3] = [1000, 100_000, 1_000_000];
const WORKERS: [usize; 3] = [1, 4, 16];
/// Folder of the peer, with what it depends on (`tests/bench/graphile_worker`). Without it there is no comparison.
const PEER: &str = "QPONDER_BENCH_GRAPHILE_WORKER";

/// What the peer prints.
#[derive(serde::Deserialize)]
struct Peer {
    version: String,
    rates: Vec<f64>,
}

/// Lets graphile-worker do as many jobs on the same cluster, in a database of its own.
async fn measure_the_peer(folder: &Path, cluster: &Cluster) -> Peer {
    create_database(&cluster.options(), "peer").await.expect("a database");
    let url = format!("postgres://qponder@/peer?host={}", cluster.sockets().display());
    let workers = WORKERS.map(|workers| workers.to_string()).join(",");
    let mut node = std::process::Command::new("node");
    node.arg(folder.join("run.mjs")).args([&url, &JOBS.to_string(), &workers]).stderr(Stdio::inherit());
    let output = node.output().expect("node starts");
    serde_json::from_slice(&output.stdout).expect("what it measured")
}

fn row(name: &str, rates: &[f64]) -> String {
    let rates: Vec<String> = rates.iter().map(|rate| format!("{rate:.0}")).collect();
    format!("| {name} | {} |", rates.join(" | "))
}

async fn fill(store: &Store, state: &str, count: i64) {
    let statement = format!(
        "insert into jobs (id, kind, name, recipe, state, created_by, attempt, started_at, finished_at, steps, step) \
         select gen_random_uuid(), 'sft', 'measured', repeat('steps = 1', 60), '{state}', 'nobody', 1, now(), now(), 10, 10 \
         from generate_series(1, $1)"
    );
    sqlx::query(sqlx::AssertSqlSafe(statement)).bind(count).execute(&store.pool).await.expect("rows");
}

/// Claims and ends jobs until there is none; how many.
async fn work(store: Store) -> u64 {
    let (worker, takes) = (WorkerId::new(), Takes::default());
    store.add_worker(worker, "measured", "cpu", &takes).await.expect("a worker");
    let mut done = 0;
    while let Some(lease) = store.claim(worker, &takes, Duration::from_secs(60)).await.expect("a claim") {
        assert!(store.end_attempt(&lease, &End::Done(None)).await.expect("an end"));
        done += 1;
    }
    done
}

/// Writes the numbers of steps as a worker does, so many steps in a write; steps a second.
async fn ingest(store: &Store, batch: u64) -> f64 {
    fill(store, "queued", 1).await;
    let (worker, takes) = (WorkerId::new(), Takes::default());
    store.add_worker(worker, "measured", "cpu", &takes).await.expect("a worker");
    let lease = store.claim(worker, &takes, Duration::from_secs(600)).await.expect("a claim").expect("a job");
    let numbers: BTreeMap<String, f64> =
        (0..20).map(|n| (format!("number_{n}"), f64::from(n) * 0.1)).collect();
    let (writes, begun) = (300, Instant::now());
    for write in 0..writes {
        let step = |n: u64| Metrics {
            part: MetricPart::Train,
            step: write * batch + n + 1,
            numbers: numbers.clone(),
        };
        let what = Happenings {
            metrics: (0..batch).map(step).collect(),
            step: Some((write + 1) * batch),
            ..Happenings::default()
        };
        assert!(store.record(&lease, &what).await.expect("it is written"));
    }
    let steps = (writes * batch) as f64 / begun.elapsed().as_secs_f64();
    assert!(store.end_attempt(&lease, &End::Done(None)).await.expect("an end"));
    steps
}

#[test]
#[ignore = "it measures; cargo xtask bench jobs runs it"]
fn measure_the_queue() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("data");
    std::fs::create_dir(&data).expect("a folder");
    std::fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).expect("permissions");
    let cluster = Cluster::start(&data).expect("Postgres");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        create_database(&cluster.options(), "speed").await.expect("a database");
        let (store, _claim) = Store::open(cluster.options().database("speed")).await.expect("a store");
        println!("| queue | 1 worker | 4 workers | 16 workers |\n|---|---:|---:|---:|");
        let (mut past, mut ours) = (0, None);
        for before in PAST {
            fill(&store, "done", before - past).await;
            sqlx::query("vacuum analyze jobs").execute(&store.pool).await.expect("statistics");
            past = before;
            let mut rates = Vec::new();
            for workers in WORKERS {
                fill(&store, "queued", JOBS).await;
                sqlx::query("vacuum analyze jobs").execute(&store.pool).await.expect("statistics");
                let begun = Instant::now();
                let tasks = (0..workers).map(|_| tokio::spawn(work(store.clone())));
                let mut done = 0;
                for task in tasks.collect::<Vec<_>>() {
                    done += task.await.expect("it ends");
                }
                let seconds = begun.elapsed().as_secs_f64();
                assert_eq!(done, JOBS.unsigned_abs(), "each job is done once");
                past += JOBS;
                rates.push(done as f64 / seconds);
            }
            println!("{}", row(&format!("{before} done before"), &rates));
            ours.get_or_insert(rates);
        }
        if let (Some(folder), Some(ours)) = (std::env::var_os(PEER), ours) {
            let peer = measure_the_peer(Path::new(&folder), &cluster).await;
            println!("{}", row(&format!("graphile-worker {}", peer.version), &peer.rates));
            let ratios = ours.iter().zip(&peer.rates).map(|(ours, peer)| format!("{:.2}", ours / peer));
            println!("| ours / graphile-worker | {} |", ratios.collect::<Vec<_>>().join(" | "));
        }
        println!("| steps in a write | steps a second | numbers a second |\n|---:|---:|---:|");
        for batch in [1, 50] {
            let steps = ingest(&store, batch).await;
            println!("| {batch} | {steps:.0} | {:.0} |", 20.0 * steps);
        }
        store.close().await;
    });
}
