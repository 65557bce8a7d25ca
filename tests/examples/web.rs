//! How long photos take in the browser and natively, and what a visit costs: the tables of `cargo xtask bench web`.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use qponder_tests::browser::Browser;
use qponder_tests::proxy::Proxy;
use qponder_tests::server::{Server, data_dir, root};
use serde_json::{Value, json};

/// How long a peer may take.
const LONGEST: Duration = Duration::from_secs(1800);

/// Times that a photo is scored; the median counts.
const TIMES: usize = 9;

/// Times where a card is imitated and a score takes half a minute.
const TIMES_IN_SOFTWARE: usize = 1;

/// Where the page *Quick score* computes, by the place in its list.
const ON_CARD: usize = 1;
const ON_PROCESSOR: usize = 2;

/// Photos that are scored while frames are counted.
const PHOTOS: usize = 60;

/// Milliseconds between two frames at 60 a second, and what a clock may be off.
const IN_TIME: f64 = 17.5;

/// Asks for the reasons of the photo of an index.
const EXPLAIN: &str = "const buttons = [...document.querySelectorAll('button')];\
                       buttons.filter((button) => button.textContent === 'Explain')[arguments[0]].click()";

/// What one way of computing costs.
#[derive(Clone, Copy, Default)]
struct Cost {
    score_ms: f64,
    /// An answer with reasons, from the photo to its end.
    answer_ms: f64,
    tokens: f64,
    /// Of pages and graphics together.
    peak_mib: f64,
}

fn main() {
    let photo = root().join("tests/fixtures/photographs/brook.jpg");
    let data = data_dir();
    let page = root().join("target/web");
    let (server, _) = Server::start_new_with_accounts(data.path(), &["--web-dir", &page.to_string_lossy()]);
    let url = format!("{}/quick-score", server.client.url);

    println!("A visit, until the first score.\n");
    println!("| visit | seconds | MB over the wire |\n|---|---:|---:|");
    let browser = Browser::open("bench-web");
    let wire = Proxy::start(&server.client.url);
    let through = format!("{}/quick-score", wire.url);
    for name in ["first, both backends measured", "second"] {
        let before = wire.carried();
        let seconds = visit(&browser, &through, &photo);
        // The service worker fetches what it keeps once the page is there.
        browser.shows("This page works without a network.");
        println!("| {name} | {seconds:.1} | {:.3} |", (wire.carried() - before) as f64 / 1e6);
    }
    drop(browser);
    println!("\n{}", frames(&url, &photo));
    if std::env::args().any(|argument| argument == "page") {
        return;
    }

    println!("\nA photo of 448 × 298 pixels, q8_0 but for candle.\n");
    println!(
        "| what computes | ms a score | ms an answer with reasons | candle is faster by |\n|---|---:|---:|---:|"
    );
    let candle = native(&["--backend", "candle", "--batch", "1"], &photo);
    native_row("candle, natively, f32, one thread", candle, candle);
    let engine = native(&["--backend", "cpu"], &photo);
    native_row("our engine, natively, one thread", engine, candle);
    let wasm = in_browser(&url, ON_PROCESSOR, &photo);
    native_row("our engine, in Chromium, one thread", [wasm.score_ms, wasm.answer_ms], candle);
    let card = native(&["--backend", "wgpu"], &photo);
    native_row("our engine, natively, wgpu on Mesa's lavapipe", card, candle);
    let webgpu = in_browser(&url, ON_CARD, &photo);
    native_row("our engine, in Chromium, WebGPU on SwiftShader", [webgpu.score_ms, webgpu.answer_ms], candle);

    let Some(folder) = std::env::var_os("QPONDER_BENCH_WEB_PEERS") else { return };
    let peers = Folder::serve(Path::new(&folder));
    for (backend, ours) in [("wasm", wasm), ("webgpu", webgpu)] {
        let (title, times) = match backend {
            "wasm" => ("WebAssembly, one thread", TIMES),
            _ => ("WebGPU on SwiftShader", TIMES_IN_SOFTWARE),
        };
        println!("\nThe same in Chromium against others, in {title}.\n");
        println!(
            "| what computes | ms a score | tokens a second | peak MiB | ours is faster by |\n|---|---:|---:|---:|---:|"
        );
        row("our engine, q8_0", ours, ours);
        for (name, query) in PEERS {
            if backend == "webgpu" && ON_PROCESSORS_ALONE.iter().any(|end| query.ends_with(end)) {
                continue;
            }
            match peers.ask(&format!("{query}&backend={backend}&times={times}")) {
                Ok(cost) => row(name, cost, ours),
                Err(reason) => println!("| {name} | – | – | – | it fails: {reason} |"),
            }
        }
    }
}

/// Names and queries of `tests/bench/web_peers/peers.js`.
const PEERS: [(&str, &str); 6] = [
    ("ONNX Runtime Web, f32", "peer=ort&weights=f32"),
    ("ONNX Runtime Web, q8 with a scale for each 32", "peer=ort&weights=q8b32"),
    ("ONNX Runtime Web, q8 with activations quantised too", "peer=ort&weights=quantized"),
    ("transformers.js, f32", "peer=transformers&weights=f32"),
    ("transformers.js, q8", "peer=transformers&weights=q8"),
    ("candle, f32", "peer=candle"),
];

/// Quantised activations are for processors, and so is candle in a browser.
const ON_PROCESSORS_ALONE: [&str; 3] = ["=quantized", "=q8", "=candle"];

/// A folder at an address of its own.
struct Folder {
    server: Child,
    url: String,
}

impl Folder {
    fn serve(folder: &Path) -> Self {
        let mut python = Command::new("python3");
        python.args(["-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory"]).arg(folder);
        let mut server = python.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("python3 runs");
        let mut line = String::new();
        let out = server.stdout.take().expect("its output");
        BufReader::new(out).read_line(&mut line).expect("its first line");
        let port = line.split_whitespace().skip_while(|word| *word != "port").nth(1).expect("its port");
        Self { url: format!("http://127.0.0.1:{port}"), server }
    }

    /// What a peer costs, in a browser of its own.
    fn ask(&self, query: &str) -> Result<Cost, String> {
        let browser = Browser::open("bench-web-peer");
        browser.goto(&format!("{}/?{query}", self.url));
        let begun = Instant::now();
        let result = loop {
            let result = browser.script("return window.result ?? null", &[]);
            if !result.is_null() {
                break result;
            }
            if begun.elapsed() > LONGEST {
                return Err("no result in half an hour".into());
            }
            std::thread::sleep(Duration::from_millis(100));
        };
        if let Some(error) = result["error"].as_str() {
            return Err(error.lines().next().unwrap_or_default().to_owned());
        }
        let [score, expected] = ["score", "expected"].map(|key| result[key].as_f64());
        // transformers.js gives none.
        if let (Some(score), Some(expected)) = (score, expected)
            && (score - expected).abs() > 0.05
        {
            return Err(format!("it gives {score:.3} where PyTorch gives {expected:.3}"));
        }
        let number = |key: &str| result[key].as_f64().unwrap_or(f64::NAN);
        let tokens = result["tokens"].as_array().map_or(f64::NAN, |tokens| tokens.len() as f64);
        let peak_mib = browser.peak_memory();
        Ok(Cost { score_ms: number("score_ms"), answer_ms: number("answer_ms"), tokens, peak_mib })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn native_row(name: &str, [score, answer]: [f64; 2], [candle_score, candle_answer]: [f64; 2]) {
    let (score_ratio, answer_ratio) = (score / candle_score, answer / candle_answer);
    println!("| {name} | {score:.0} | {answer:.0} | {score_ratio:.2}, {answer_ratio:.2} |");
}

fn row(name: &str, cost: Cost, ours: Cost) {
    let pace = |cost: Cost| cost.tokens / cost.answer_ms * 1e3;
    let (score_ratio, pace_ratio) = (cost.score_ms / ours.score_ms, pace(ours) / pace(cost));
    let Cost { score_ms, peak_mib, .. } = cost;
    println!(
        "| {name} | {score_ms:.0} | {:.1} | {peak_mib:.0} | {score_ratio:.2}, {pace_ratio:.2} |",
        pace(cost)
    );
}

/// How smoothly the page draws while photos are scored and reasons are written, as a sentence.
fn frames(url: &str, photo: &Path) -> String {
    let browser = Browser::open("bench-web");
    visit(&browser, url, photo);
    choose(&browser, ON_PROCESSOR);
    browser.click("Clear");
    let record = "window.frames = []; let last; const draw = (now) => { if (last) window.frames.push(now - last);\
                  last = now; requestAnimationFrame(draw) }; requestAnimationFrame(draw)";
    let _ = browser.script(record, &[]);
    let photos = vec![photo.to_string_lossy().into_owned(); PHOTOS].join("\n");
    browser.pick_in("quick-files", Path::new(&photos));
    let heading = "return document.getElementById('quick-photos')?.textContent ?? ''";
    browser.wait_until("all scores", || browser.script(heading, &[]) == format!("{PHOTOS} photos"));
    let _ = browser.script(EXPLAIN, &[json!(0)]);
    browser.shows("tokens in");
    let times = browser.script("return window.frames", &[]);
    let mut times: Vec<f64> = times.as_array().into_iter().flatten().filter_map(Value::as_f64).collect();
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times.get((share * (times.len() - 1) as f64) as usize).copied().unwrap_or(f64::NAN);
    let (in_time, longest) = (times.partition_point(|&ms| ms < IN_TIME), at(1.0));
    format!(
        "While {PHOTOS} photos are scored on the processor and one answer is written the page draws {} frames, {:.1} % \
         of them within {IN_TIME} ms of the one before, 99 % within {:.1} ms, all within {longest:.1} ms.",
        times.len(),
        100.0 * in_time as f64 / times.len() as f64,
        at(0.99)
    )
}

/// Chooses where the page computes.
fn choose(browser: &Browser, place: usize) {
    let choose = "const list = document.getElementById('quick-place'); list.selectedIndex = arguments[0];\
                  list.dispatchEvent(new Event('change'))";
    let _ = browser.script(choose, &[json!(place)]);
    browser.shows("as you chose");
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

/// What a score and an answer with reasons cost in the browser, one of its own.
fn in_browser(url: &str, place: usize, photo: &Path) -> Cost {
    let browser = Browser::open("bench-web");
    visit(&browser, url, photo);
    choose(&browser, place);
    browser.click("Clear");
    let times = if place == ON_CARD { TIMES_IN_SOFTWARE } else { TIMES };
    let again = vec![photo.to_string_lossy().into_owned(); times].join("\n");
    browser.pick_in("quick-files", Path::new(&again));
    browser.wait_until("all scores", || milliseconds(&browser).len() == times);
    let score_ms = median(milliseconds(&browser));
    // "85 tokens in 0.25 s, 340 a second" under each photo that is explained.
    let explained = |browser: &Browser| -> Vec<[f64; 2]> {
        let text = browser.text();
        let numbers = text.lines().filter(|line| line.contains("tokens in")).filter_map(|line| {
            let mut numbers = line.split_whitespace().filter_map(|word| word.parse::<f64>().ok());
            Some([numbers.next()?, numbers.next_back()?])
        });
        numbers.collect()
    };
    for index in 0..times.div_ceil(3) {
        let _ = browser.script(EXPLAIN, &[json!(index)]);
        browser.wait_until("an answer", || explained(&browser).len() == index + 1);
    }
    let answers = explained(&browser);
    let tokens = answers.first().map_or(f64::NAN, |[tokens, _]| *tokens);
    let answers = answers.into_iter().map(|[tokens, pace]| tokens / pace * 1e3).collect();
    Cost { score_ms, answer_ms: median(answers), tokens, peak_mib: browser.peak_memory() }
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
