//! `jobs [STEPS]`: how long the numbers of a very long training take to read, and what live readers of one training
//! cost, as Markdown. `cargo xtask bench jobs` runs it and keeps the tables.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::mpsc;
use std::thread::{Builder, sleep};
use std::time::{Duration, Instant};

use qponder_tests::database;
use qponder_tests::server::{Server, data_dir};

const LONG: &str = "019c0000-0000-7000-8000-000000000001";
const LIVE: &str = "019c0000-0000-7000-8000-000000000002";
/// Requests of which a row is the statistic.
const REQUESTS: usize = 100;
/// People who watch one training.
const READERS: usize = 500;
/// Writes that they hear of, and the time between two.
const WRITES: u64 = 40;
const BETWEEN: Duration = Duration::from_millis(500);

fn main() {
    let steps: u64 =
        std::env::args().nth(1).map_or(1_000_000, |text| text.parse().expect("a number of steps"));
    let data = data_dir();
    let server = Server::start_with(data.path(), &["--no-worker"]);
    fill(data.path(), steps);
    println!("A training of {steps} steps with 20 numbers each. Milliseconds, {REQUESTS} requests each.\n");
    println!("| request | p50 | p99 | kB |\n|---|---:|---:|---:|");
    for (name, path) in [
        ("the job", format!("/api/v1/jobs/{LONG}")),
        (
            "its numbers, 1,000 points, as the page reads them",
            format!("/api/v1/jobs/{LONG}/metrics?points=1000"),
        ),
        ("its numbers, 5,000 points, as they are saved", format!("/api/v1/jobs/{LONG}/metrics?points=5000")),
        ("the list of jobs", "/api/v1/jobs?limit=25".to_owned()),
    ] {
        let (mut times, mut bytes) = (Vec::new(), 0);
        for _ in 0..REQUESTS {
            let begun = Instant::now();
            let answer = server.client.get(&path);
            times.push(begun.elapsed());
            assert_eq!(answer.status, 200, "{}", answer.json());
            bytes = answer.body.len();
        }
        println!("| {name} | {} | {:.0} |", shown(&mut times), bytes as f64 / 1e3);
    }
    readers(&server, data.path());
}

fn shown(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    format!("{:.1} | {:.1}", at(0.5), at(0.99))
}

fn fill(data: &Path, steps: u64) {
    let numbers = (0..20).map(|n| format!("'number_{n}', step * 0.001 + {n}")).collect::<Vec<_>>().join(", ");
    let sql = format!(
        "insert into jobs (id, kind, name, recipe, state, created_by, attempt, steps, step, finished_at) values \
         ('{LONG}', 'sft', 'long', '', 'done', 'nobody', 1, {steps}, {steps}, now()); \
         insert into workers (id, name, device, version) values ('{LONG}', 'nobody', 'cpu', ''); \
         insert into jobs (id, kind, name, recipe, state, created_by, attempt, worker_id, lease_until) values \
         ('{LIVE}', 'sft', 'live', '', 'running', 'nobody', 1, '{LONG}', now() + interval '1 day'); \
         insert into job_metrics (job_id, part, step, attempt, numbers) \
         select '{LONG}', 'train', step, 1, jsonb_build_object({numbers}) from generate_series(1, {steps}) as step; \
         analyze job_metrics"
    );
    database::run(data, &sql).expect("rows");
}

/// Many people watch one training; what each write costs, and when they hear of it.
fn readers(server: &Server, data: &Path) {
    let address = server.client.url.strip_prefix("http://").expect("an address").to_owned();
    let (heard, told) = mpsc::channel::<(u64, Instant)>();
    for _ in 0..READERS {
        let (address, heard) = (address.clone(), heard.clone());
        let reader = move || {
            let Ok(mut stream) = TcpStream::connect(&address) else { return };
            let request = format!("GET /api/v1/jobs/{LIVE}/events HTTP/1.1\r\nHost: {address}\r\n\r\n");
            if stream.write_all(request.as_bytes()).is_err() {
                return;
            }
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                let step = line.split("\"step\":").nth(1).filter(|_| line.contains("\"numbers\""));
                let step =
                    step.and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok());
                if step.is_some_and(|step| heard.send((step, Instant::now())).is_err()) {
                    return;
                }
            }
        };
        Builder::new().stack_size(128 << 10).spawn(reader).expect("a thread");
    }
    sleep(Duration::from_secs(3));
    let (before, begun) = (cpu(server.pid()), Instant::now());
    let mut written = Vec::new();
    for step in 1..=WRITES {
        let sql = format!(
            "insert into job_metrics (job_id, part, step, attempt, numbers) values \
             ('{LIVE}', 'train', {step}, 1, '{{\"loss\": 0.5, \"learning_rate\": 0.001}}'); select pg_notify('jobs', '{LIVE}')"
        );
        database::run(data, &sql).expect("it is written");
        written.push(Instant::now());
        sleep(BETWEEN);
    }
    sleep(Duration::from_secs(1));
    let (used, passed) = (cpu(server.pid()) - before, begun.elapsed());
    let mut delays: Vec<Duration> = told
        .try_iter()
        .map(|(step, at)| at.saturating_duration_since(written[usize::try_from(step - 1).expect("a step")]))
        .collect();
    assert_eq!(delays.len(), READERS * WRITES as usize, "everybody hears of everything");
    println!("\n{READERS} readers of one training, a write every {} ms.\n", BETWEEN.as_millis());
    println!(
        "| from the write to the reader, p50 | p99 | processor time of the server, of one thread |\n|---:|---:|---:|"
    );
    println!("| {} | {:.1} % |", shown(&mut delays), 100.0 * used / passed.as_secs_f64());
}

/// Seconds of processor time that a process has used.
fn cpu(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let fields: Vec<&str> = stat.rsplit(") ").next().expect("fields").split(' ').collect();
    let ticks: f64 = [11, 12].iter().map(|&field| fields[field].parse::<f64>().expect("ticks")).sum();
    ticks / 100.0
}
