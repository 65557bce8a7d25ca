//! `lists [IMAGES]`: how long pages of every list take in a database of a million images, as a Markdown table.
//!
//! The server is the real one with its own Postgres, asked over HTTP; the rows are generated. `cargo xtask bench
//! lists` runs it and keeps the table.

use std::path::Path;
use std::time::{Duration, Instant};

use qponder_tests::client::Client;
use qponder_tests::crowd::{self, LISTS};
use qponder_tests::database;
use qponder_tests::server::{Server, data_dir};
use serde_json::{Value, json};

/// Requests of which a column is the statistic.
const REQUESTS: usize = 300;
/// Votes of one person, one after the other.
const VOTES: usize = 300;

fn main() {
    let images = std::env::args().nth(1).map_or(1_000_000, |text| text.parse().expect("a number of images"));
    let data = data_dir();
    let server = Server::start(data.path());
    let begun = Instant::now();
    crowd::fill(data.path(), images);
    let size = database::query(data.path(), "select pg_database_size(current_database())");
    let gigabytes = size.as_f64().expect("a number") / 1e9;
    eprintln!(
        "lists: {images} images and what belongs to them, {gigabytes:.1} GB, in {:.0?}",
        begun.elapsed()
    );
    // Again, as after the rows came in over years: nothing of them is in the memory of this server's connections.
    assert!(server.stop().success(), "the server ends well");
    let server = Server::start(data.path());

    println!(
        "{images} images, {gigabytes:.1} GB of rows. Milliseconds, 50 rows a page, {REQUESTS} requests each.\n"
    );
    println!(
        "| list | first p50 | p99 | next p50 | p99 | anywhere p50 | p99 |\n|---|---:|---:|---:|---:|---:|---:|"
    );
    row("no list: `/healthz`", [times(|_| get(&server.client, "/healthz").0), Vec::new(), Vec::new()]);
    for list in LISTS {
        eprintln!("lists: {}", list.name);
        row(list.name, measure(&server.client, data.path(), list));
    }

    let study = format!("/api/v1/studies/{}", crowd::STUDY);
    println!("\n| request | p50 | p99 | most |\n|---|---:|---:|---:|");
    let page = |name: &str, path: &str| {
        let times = times(|_| get(&server.client, path).0);
        println!("| {name} | {} | {} |", shown(&times), milliseconds(times.iter().max()));
    };
    page("a study of as many items as images", &study);
    page("its members", &format!("{study}/members"));
    page("the next tasks, handed out before", &format!("{study}/tasks?limit=3"));
    let (tasks, votes) = rate(&server.client, &study);
    println!("| the next tasks after a vote | {} | {} |", shown(&tasks), milliseconds(tasks.iter().max()));
    println!("| a vote | {} | {} |", shown(&votes), milliseconds(votes.iter().max()));
}

/// Times of the first page, of pages one after the other, and of pages anywhere.
fn measure(client: &Client, data: &Path, list: &crowd::List) -> [Vec<Duration>; 3] {
    let separator = if list.path.contains('?') { '&' } else { '?' };
    let first = format!("/api/v1/{}{separator}limit=50", list.path);
    let of_first = times(|_| get(client, &first).0);
    let Some(cursors) = list.cursors else { return [of_first, Vec::new(), Vec::new()] };
    let mut path = first.clone();
    let next = times(|_| {
        let (time, page) = get(client, &path);
        path = page["next"].as_str().map_or_else(|| first.clone(), |next| format!("{first}&cursor={next}"));
        time
    });
    let chosen = format!(
        "select json_agg(c) from (select c from ({cursors}) whole order by hashtext(c) limit {REQUESTS}) chosen"
    );
    let cursors = database::query(data, &chosen);
    let cursors = cursors.as_array().expect("positions");
    let anywhere = times(|request| {
        let cursor = cursors[request % cursors.len()].as_str().expect("a position");
        get(client, &format!("{first}&cursor={cursor}")).0
    });
    [of_first, next, anywhere]
}

/// Rates one item after the other, as the page does; the times of asking for tasks, and of votes.
fn rate(client: &Client, study: &str) -> (Vec<Duration>, Vec<Duration>) {
    let (mut tasks, mut votes) = (Vec::new(), Vec::new());
    for vote in 0..VOTES {
        let (time, page) = get(client, &format!("{study}/tasks?limit=3"));
        tasks.push(time);
        let task = &page["items"][0];
        let body = json!({
            "item": task["item"], "repeat": task["repeat"], "key": format!("bench {vote}"),
            "rating": { "kind": "score", "score": 3 }, "ms": 4000,
            "conditions": { "zoom": 1, "device_pixel_ratio": 1, "viewport_width": 1920, "viewport_height": 1080 },
        });
        let begun = Instant::now();
        let answer = client.send_json("POST", &format!("{study}/votes"), &body);
        votes.push(begun.elapsed());
        assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(&answer.body));
    }
    (tasks, votes)
}

fn times(request: impl FnMut(usize) -> Duration) -> Vec<Duration> {
    (0..REQUESTS).map(request).collect()
}

fn get(client: &Client, path: &str) -> (Duration, Value) {
    let begun = Instant::now();
    let answer = client.get(path);
    let time = begun.elapsed();
    assert_eq!(answer.status, 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
    (time, serde_json::from_slice(&answer.body).unwrap_or(Value::Null))
}

fn row(name: &str, columns: [Vec<Duration>; 3]) {
    println!("| {name} | {} |", columns.map(|times| shown(&times)).join(" | "));
}

/// Median and 99th percentile.
fn shown(times: &[Duration]) -> String {
    let mut times = times.to_vec();
    times.sort_unstable();
    let at =
        |share: f64| times.get(((times.len() as f64 * share) as usize).min(times.len().saturating_sub(1)));
    format!("{} | {}", milliseconds(at(0.5)), milliseconds(at(0.99)))
}

fn milliseconds(time: Option<&Duration>) -> String {
    time.map_or_else(String::new, |time| format!("{:.1}", time.as_secs_f64() * 1e3))
}
