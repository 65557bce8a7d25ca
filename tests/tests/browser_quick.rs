//! Quick score: the model runs in the browser, and goes on doing so when the server is gone.

use std::fs;
use std::path::{Path, PathBuf};

use qponder_kernels::pixels::{Limits, RgbImage, decode, encode_png};
use qponder_pipeline::assess::{Assessor, Event, Flow, Request};
use qponder_pipeline::degrade::degrade;
use qponder_pipeline::device::Place;
use qponder_shared::api::{Mode, Sampling};
use qponder_shared::distortion::{Distortion, DistortionKind, Severity};
use qponder_shared::stats;
use qponder_tests::browser::Browser;
use qponder_tests::figures;
use qponder_tests::people::{first_admin, new_user};
use qponder_tests::pictures::{enormous_png, png};
use qponder_tests::server::{Server, data_dir, root};
use qponder_tests::site::{open_as, serve};
use serde_json::json;

/// A photograph and copies of it with every third kind of damage, as files.
fn photographs(place: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for name in ["brook", "mountains"] {
        let bytes =
            fs::read(root().join(format!("tests/fixtures/photographs/{name}.jpg"))).expect("a fixture");
        let image = decode(&bytes, &Limits::default()).expect("an image").image;
        files.push(root().join(format!("tests/fixtures/photographs/{name}.jpg")));
        for (number, kind) in DistortionKind::ALL.into_iter().enumerate().step_by(3) {
            let level = Severity::ALL[number % Severity::ALL.len()];
            let degraded = degrade(&image, Distortion { kind, level }, 1);
            let path = place.join(format!("{name}-{}.png", kind.name()));
            fs::write(&path, encode_png(&degraded).expect("a picture")).expect("written");
            files.push(path);
        }
    }
    files
}

/// What the server's model gives the files, in f32.
fn expected(files: &[PathBuf]) -> Vec<f64> {
    let assessor = Assessor::load(&root().join("models/nano"), Place::Cpu).expect("the model");
    let image = |file: &PathBuf| -> RgbImage {
        decode(&fs::read(file).expect("a file"), &Limits::default()).expect("an image").image
    };
    let requests: Vec<Request> = files
        .iter()
        .map(|file| Request {
            image: image(file),
            mode: Mode::Quick,
            sampling: Sampling::default(),
            wording: None,
        })
        .collect();
    let mut scores = vec![f64::NAN; files.len()];
    assessor.answer(&requests, &mut |index, event| {
        if let Event::Done(answer) = event {
            scores[index] = answer.score.expect("a score").get();
        }
        Flow::Continue
    });
    scores
}

fn pick(browser: &Browser, files: &[PathBuf]) {
    let names: Vec<_> = files.iter().map(|file| file.to_string_lossy()).collect();
    browser.pick_in("quick-files", Path::new(&names.join("\n")));
}

/// The table as the page saves it: file, score.
fn table(browser: &Browser) -> Vec<(String, Option<f64>)> {
    let read = "const link = document.querySelector('a[download=\"scores.csv\"]');\
                link.addEventListener('click', (event) => event.preventDefault(), { once: true });\
                link.click(); return decodeURIComponent(link.href.split(',').slice(1).join(','))";
    let csv = browser.script(read, &[]).as_str().unwrap_or_default().to_owned();
    csv.lines()
        .skip(1)
        .map(|line| {
            let mut fields = line.split(',');
            let name = fields.next().unwrap_or_default().trim_matches('"').to_owned();
            (name, fields.next().and_then(|score| score.parse().ok()))
        })
        .collect()
}

/// Waits until nothing is left to be scored.
fn waits_for(browser: &Browser, photos: usize) {
    let heading = "return document.getElementById('quick-photos')?.textContent ?? ''";
    browser.wait_until("all is scored", || browser.script(heading, &[]) == json!(format!("{photos} photos")));
}

#[test]
fn browser_scores_agree_with_the_server_and_need_none() {
    let (data, place) = (data_dir(), tempfile::tempdir().expect("a folder"));
    let (server, _) = serve(data.path());
    let files = photographs(place.path());
    // Nobody has to be signed in.
    let browser = Browser::open("quick");
    browser.goto(&server.client.url);
    browser.click("Quick score");
    browser.shows("This page works without a network.");
    let loaded = "return performance.getEntriesByType('resource').map((one) => one.name).join(' ')";
    browser.goto(&server.client.url);
    browser.shows("Password");
    let names = browser.script(loaded, &[]).to_string();
    assert!(!names.contains("engine-") && !names.contains("weights-"), "the gallery loads {names}");
    browser.goto(&format!("{}/quick-score", server.client.url));
    browser.shows("This browser keeps the model");
    let url = server.client.url.clone();
    let _ = server.stop();

    // What is no photo is said so, and the others are scored.
    let [text, huge, narrow, panorama] =
        ["text.jpg", "huge.png", "narrow.png", "panorama.png"].map(|name| place.path().join(name));
    fs::write(&text, "no picture").expect("written");
    fs::write(&huge, enormous_png()).expect("written");
    fs::write(&narrow, png(9000, 3, 1)).expect("written");
    fs::write(&panorama, png(30_000, 300, 2)).expect("written");
    pick(&browser, &[&files[..], &[text, huge, narrow, panorama]].concat());
    waits_for(&browser, files.len() + 4);
    let rows = table(&browser);
    let ours: Vec<f64> = rows[..files.len()].iter().map(|(_, score)| score.expect("a score")).collect();
    let others: Vec<bool> = rows[files.len()..].iter().map(|(_, score)| score.is_some()).collect();
    assert_eq!(others, [false, false, false, true], "{rows:?}");
    let reasons =
        "return [...document.querySelectorAll('.quick-error')].map((one) => one.textContent).join('\\n')";
    let reasons = browser.script(reasons, &[]).as_str().unwrap_or_default().to_owned();
    for words in ["is a text file", "30000 allowed", "less extreme shape"] {
        assert!(reasons.contains(words), "{words}: {reasons}");
    }
    let theirs = expected(&files);
    let differences: Vec<f64> = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs()).collect();
    let mean = differences.iter().sum::<f64>() / differences.len() as f64;
    let most = differences.iter().fold(0.0_f64, |a, &b| a.max(b));
    let srcc = stats::srcc(&ours, &theirs).expect("a correlation");
    figures::print(&format!("{} photographs: mean {mean:.4}, most {most:.4}, SRCC {srcc:.4}", ours.len()));
    assert!(mean <= 0.02 && most <= 0.05 && srcc >= 0.99, "{mean} {most} {srcc}: {ours:?} {theirs:?}");

    // The reasons, as they are written.
    let first = "[...document.querySelectorAll('.quick-row button')].find((one) => one.innerText === 'Explain').click()";
    let _ = browser.script(first, &[]);
    browser.shows("tokens in");
    browser.shows("with reasons");
    browser.picture("quick");
    browser.press("t");
    browser.resize(390, 800);
    browser.picture("quick-phone");
    browser.resize(1280, 900);

    // Worst first, best first, as they came; photos without a score are always last.
    let scores = || -> Vec<f64> { table(&browser).iter().filter_map(|(_, score)| *score).collect() };
    let sorted = "return document.querySelectorAll('.quick-columns [role=columnheader]')[1].ariaSort";
    let as_they_came = table(&browser);
    browser.click("Score");
    assert_eq!(browser.script(sorted, &[]), "ascending");
    assert!(scores().is_sorted() && scores().len() == files.len() + 1, "{:?}", scores());
    browser.click("Score");
    assert_eq!(browser.script(sorted, &[]), "descending");
    assert!(scores().is_sorted_by(|a, b| a >= b), "{:?}", scores());
    assert!(table(&browser)[scores().len()..].iter().all(|(_, score)| score.is_none()));
    browser.click("Score");
    assert_eq!((browser.script(sorted, &[]), table(&browser)), (json!("none"), as_they_came));
    browser.click("Clear");

    // Opened anew without a server, the page does the same.
    browser.goto(&format!("{url}/quick-score"));
    browser.shows("This browser keeps the model");
    pick(&browser, &files[..1]);
    browser.shows("1 photo");
    browser.wait_until("it is scored", || table(&browser).first().is_some_and(|(_, score)| score.is_some()));
    let again = table(&browser)[0].1.expect("a score");
    assert!((again - ours[0]).abs() < 1e-6, "{again} {}", ours[0]);

    // A kept piece that was damaged is not used; without a server it can't be had again.
    let damage = "(async () => { const cache = await caches.open('qponder-weights');\
                  const [piece] = await cache.keys(); await cache.put(piece, new Response('damaged')); return 1 })()";
    assert_eq!(browser.evaluate(damage), 1);
    let _ = browser.devtools("Network.clearBrowserCache", &json!({}));
    browser.goto(&format!("{url}/quick-score"));
    browser.shows("Nothing can be scored here.");
    browser.shows("The server cannot be reached for /assets/weights-");
}

#[test]
fn browser_refuses_damaged_weights_and_sends_only_when_asked() {
    let (data, page) = (data_dir(), tempfile::tempdir().expect("a folder"));
    let copy = std::process::Command::new("cp")
        .args(["-r"])
        .arg(root().join("target/web/."))
        .arg(page.path())
        .status();
    assert!(copy.expect("cp runs").success());
    let assets = fs::read_dir(page.path().join("assets")).expect("the page's files");
    let piece = assets
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "bin"))
        .expect("a piece of the weights");
    let whole = fs::read(&piece).expect("a file");
    fs::write(&piece, &whole[..whole.len() / 2]).expect("written");
    let folder = page.path().to_string_lossy().into_owned();
    let (server, link) = Server::start_new_with_accounts(data.path(), &["--web-dir", &folder]);
    let admin = first_admin(&server.client, &link);
    let _ = new_user(&server.client, &admin, "reviewer", "rhea");

    let browser = open_as("quick-damaged", &server.client.url, "rhea");
    browser.click("Quick score");
    browser.shows("A piece of the model arrived damaged");
    fs::write(&piece, whole).expect("written");
    let _ = browser.devtools("Network.clearBrowserCache", &json!({}));
    browser.click("Try again");
    browser.shows("This browser keeps the model");

    pick(&browser, &[root().join("tests/fixtures/photographs/brook.jpg")]);
    browser.wait_until("it is scored", || table(&browser).first().is_some_and(|(_, score)| score.is_some()));
    assert_eq!(admin.get("/api/v1/images").json()["items"], json!([]), "nothing was sent yet");
    browser.click("Send to the team");
    browser.wait_until("the photo is there", || {
        admin.get("/api/v1/images").json()["items"].as_array().is_some_and(|items| items.len() == 1)
    });
    browser.shows("Sent");
    browser.click("Remove");
    browser.shows("The model is not kept for next time: you removed it.");
    let kept = "(async () => (await caches.keys()).length\
                + (await navigator.serviceWorker.getRegistrations()).length)()";
    browser.wait_until("nothing is kept", || browser.evaluate(kept) == 0);
}

#[test]
fn browser_reads_folders_that_are_dropped() {
    let (data, place) = (data_dir(), tempfile::tempdir().expect("a folder"));
    let (server, _) = serve(data.path());
    let (walk, coast) = (place.path().join("walk"), place.path().join("walk/coast"));
    fs::create_dir_all(&coast).expect("a folder");
    let photographs = root().join("tests/fixtures/photographs");
    fs::copy(photographs.join("brook.jpg"), walk.join("brook.jpg")).expect("copied");
    fs::copy(photographs.join("mountains.jpg"), coast.join("mountains.jpg")).expect("copied");
    fs::write(walk.join("notes.txt"), "a fine day").expect("written");
    let browser = Browser::open("quick-folder");
    browser.goto(&format!("{}/quick-score", server.client.url));
    browser.shows("This browser keeps the model");
    browser.drop_paths(std::slice::from_ref(&walk));
    browser.shows("1 file left out: no photo.");
    waits_for(&browser, 2);
    let scored: Vec<(String, bool)> =
        table(&browser).into_iter().map(|(name, score)| (name, score.is_some())).collect();
    let expected = ["walk/brook.jpg", "walk/coast/mountains.jpg"].map(|name| (name.to_owned(), true));
    assert_eq!(scored, expected);

    browser.click("Clear");
    fs::remove_file(walk.join("brook.jpg")).expect("removed");
    fs::remove_dir_all(coast).expect("removed");
    browser.drop_paths(&[walk]);
    browser.shows("There is no photo among these files.");
}

/// What the page says of what computes.
fn runs_on(browser: &Browser) -> String {
    let read = "return document.querySelector('.engine-line')?.innerText ?? ''";
    browser.script(read, &[]).as_str().unwrap_or_default().to_owned()
}

fn choose_place(browser: &Browser, at: usize) {
    let choose = "const list = document.getElementById('quick-place'); list.selectedIndex = arguments[0];\
                  list.dispatchEvent(new Event('change'))";
    let _ = browser.script(choose, &[json!(at)]);
}

#[test]
fn browser_uses_the_graphics_card_and_survives_its_loss() {
    let data = data_dir();
    let (server, _) = serve(data.path());
    let browser = Browser::open("quick-card");
    browser.goto(&format!("{}/quick-score", server.client.url));
    browser.shows("This browser keeps the model");
    figures::print(&runs_on(&browser).replace('\n', " "));
    // Measured once: the second visit knows.
    assert!(runs_on(&browser).contains("a photo takes"), "{}", runs_on(&browser));
    browser.goto(&format!("{}/quick-score", server.client.url));
    browser.shows("when both were measured");

    choose_place(&browser, 1);
    browser.wait_until("the card computes", || runs_on(&browser).contains("WebGPU; as you chose"));
    figures::print(&runs_on(&browser).replace('\n', " "));
    let _ = server.stop();
    let photographs = root().join("tests/fixtures/photographs");
    let files =
        ["mountains.jpg", "mountains-blurred.jpg", "brook-blurred.jpg"].map(|name| photographs.join(name));
    pick(&browser, &files);
    waits_for(&browser, files.len());
    for ((name, ours), theirs) in table(&browser).iter().zip(expected(&files)) {
        let ours = ours.expect("a score");
        figures::print(&format!("{name}: {ours} on the card, {theirs:.4} in f32"));
        assert!((ours - theirs).abs() <= 0.05, "{name}: {ours} {theirs}");
    }

    let writes = "return document.querySelectorAll('.quick-explanation li').length";
    browser.click("Explain");
    browser.wait_until("it writes", || browser.script(writes, &[]) != 0);
    browser.kill_graphics();
    browser.shows("The graphics card failed; the processor goes on.");
    browser.shows("tokens in");
    browser.shows("with reasons");
    figures::print(&runs_on(&browser).replace('\n', " "));
    assert!(runs_on(&browser).contains("Processor"), "{}", runs_on(&browser));
    browser.picture("quick-lost");
    choose_place(&browser, 2);
    browser.wait_until("as chosen", || runs_on(&browser).contains("SIMD; as you chose"));
}

#[test]
fn browser_leaves_the_card_alone_after_a_crash() {
    let data = data_dir();
    let (server, _) = serve(data.path());
    let (home, page) = (server.client.url.clone(), format!("{}/quick-score", server.client.url));
    let browser = Browser::open("quick-crash");
    // Somebody who leaves while the card is measured has had no crash.
    browser.goto(&page);
    let mark = "return sessionStorage.getItem('qponder.quick-trial')";
    browser.wait_until("the card is tried", || browser.script(mark, &[]) == json!("1"));
    browser.goto(&home);
    browser.shows("Password");
    assert_eq!(browser.script(mark, &[]), json!(null));

    // A tab that died leaves its mark.
    let _ = browser.script("sessionStorage.setItem('qponder.quick-trial', '1')", &[]);
    browser.goto(&page);
    browser.shows("ended while the graphics card was tried");
    pick(&browser, &[root().join("tests/fixtures/photographs/brook.jpg")]);
    browser.wait_until("it is scored", || table(&browser).first().is_some_and(|(_, score)| score.is_some()));
    assert_eq!(browser.script(mark, &[]), json!(null));
    // It stays so until somebody chooses the card; then both are measured anew.
    browser.goto(&page);
    browser.shows("ended while the graphics card was tried");
    choose_place(&browser, 1);
    browser.wait_until("the card computes", || runs_on(&browser).contains("WebGPU; as you chose"));
    browser.goto(&page);
    browser.wait_until("it is measured", || runs_on(&browser).contains("a photo takes"));
}

#[test]
fn browser_every_kernel_computes_what_the_processor_does() {
    let data = data_dir();
    let (server, _) = serve(data.path());
    let assets = fs::read_dir(root().join("target/web/assets")).expect("the page").flatten();
    let names: Vec<String> = assets.filter_map(|file| file.file_name().into_string().ok()).collect();
    let engine = ["js", "wasm"].map(|ending| {
        let is_it = |name: &&String| name.starts_with("engine-") && name.ends_with(&format!(".{ending}"));
        format!("/assets/{}", names.iter().find(is_it).expect("the engine"))
    });
    let browser = Browser::open("quick-kernels");
    browser.goto(&server.client.url);
    let check = "const [script, module] = arguments;\
                 import(script).then((engine) =>\
                     engine.default({ module_or_path: module }).then(() => engine.check_kernels()))\
                     .then(() => { window.checked = 'all are equal' }, (error) => { window.checked = String(error) })";
    let _ = browser.script(check, &engine.map(|path| json!(path)));
    let checked = || browser.script("return window.checked ?? null", &[]);
    browser.wait_until("the comparisons", || !checked().is_null());
    assert_eq!(checked(), json!("all are equal"));
}
