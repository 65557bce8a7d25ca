//! How long photos take in the browser and natively, and what a visit costs: the tables of `cargo xtask bench web`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use qponder_tests::browser::Browser;
use qponder_tests::server::{Server, data_dir, root};
use serde_json::{Value, json};

/// Times that a photo is scored; the median counts.
const TIMES: usize = 9;

fn main() {
    let photo = root().join("tests/fixtures/photographs/brook.jpg");
    let data = data_dir();
    let page = root().join("target/web");
    let (server, _) = Server::start_new_with_accounts(data.path(), &["--web-dir", &page.to_string_lossy()]);
    let url = format!("{}/quick-score", server.client.url);
    let browser = Browser::open("bench-web");

    println!("A visit, until the first score.\n");
    println!("| visit | seconds | MB over the wire |\n|---|---:|---:|");
    let bytes = sizes(&page.join("assets"));
    println!("| first, both backends measured | {:.1} | {bytes:.2} |", visit(&browser, &url, &photo));
    println!("| second | {:.1} | 0 |", visit(&browser, &url, &photo));

    println!("\nA photo of 448 × 298 pixels, q8_0 but for candle.\n");
    println!(
        "| what computes | ms a score | ms an answer with reasons | candle is faster by |\n|---|---:|---:|---:|"
    );
    let candle = native(&["--backend", "candle", "--batch", "1"], &photo);
    row("candle, natively, f32, one thread", candle, candle);
    row("our engine, natively, one thread", native(&["--backend", "cpu"], &photo), candle);
    row("our engine, in Chromium, one thread", in_browser(&browser, 2, &photo), candle);
    row("our engine, natively, wgpu on Mesa's lavapipe", native(&["--backend", "wgpu"], &photo), candle);
    row("our engine, in Chromium, WebGPU on SwiftShader", in_browser(&browser, 1, &photo), candle);
}

fn row(name: &str, [score, answer]: [f64; 2], [candle_score, candle_answer]: [f64; 2]) {
    let (score_ratio, answer_ratio) = (score / candle_score, answer / candle_answer);
    println!("| {name} | {score:.0} | {answer:.0} | {score_ratio:.2}, {answer_ratio:.2} |");
}

/// Megabytes of what the page loads, compressed as it travels.
fn sizes(assets: &Path) -> f64 {
    let files = std::fs::read_dir(assets).expect("the page").flatten();
    let travels = |path: &PathBuf| path.extension().is_some_and(|e| e == "br" || e == "bin");
    let bytes = |path: PathBuf| std::fs::metadata(path).map_or(0, |file| file.len());
    files.map(|file| file.path()).filter(travels).map(bytes).sum::<u64>() as f64 / 1e6
}

/// Seconds from the address to the first score.
fn visit(browser: &Browser, url: &str, photo: &Path) -> f64 {
    let begun = Instant::now();
    browser.goto(url);
    browser.pick_in("quick-files", photo);
    browser.wait_until("a score", || !milliseconds(browser).is_empty());
    begun.elapsed().as_secs_f64()
}

/// How long each photo took, as the page's table says.
fn milliseconds(browser: &Browser) -> Vec<f64> {
    let read = "const link = document.querySelector('a[download=\"scores.csv\"]'); if (!link) return '';\
                link.addEventListener('click', (event) => event.preventDefault(), { once: true });\
                link.click(); return decodeURIComponent(link.href.split(',').slice(1).join(','))";
    let csv = browser.script(read, &[]);
    let lines = csv.as_str().unwrap_or_default().lines().skip(1);
    lines.filter_map(|line| line.split(',').rev().nth(1)?.parse().ok()).collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Milliseconds of a score and of an answer with reasons in the browser.
fn in_browser(browser: &Browser, place: usize, photo: &Path) -> [f64; 2] {
    let choose = "const list = document.getElementById('quick-place'); list.selectedIndex = arguments[0];\
                  list.dispatchEvent(new Event('change'))";
    let _ = browser.script(choose, &[json!(place)]);
    browser.shows("as you chose");
    browser.click("Clear");
    let again = vec![photo.to_string_lossy().into_owned(); TIMES].join("\n");
    browser.pick_in("quick-files", Path::new(&again));
    browser.wait_until("all scores", || milliseconds(browser).len() == TIMES);
    let score = median(milliseconds(browser));
    let begun = Instant::now();
    browser.click("Explain");
    browser.shows("tokens in");
    [score, begun.elapsed().as_secs_f64() * 1e3]
}

/// The same on the command line.
fn native(arguments: &[&str], photo: &Path) -> [f64; 2] {
    ["quick", "reason"].map(|mode| {
        let mut command = Command::new(qponder_tests::server::binary());
        command.args(["assess", "--json", "--mode", mode]).args(arguments).current_dir(root());
        command.args(vec![photo; TIMES]).env("RAYON_NUM_THREADS", "1");
        let output = command.output().expect("it runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        median(lines.filter_map(|line| line["ms"].as_f64()).collect())
    })
}
