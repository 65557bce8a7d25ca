//! Comparing as a person does it: models on one image, models on all images, images side by side.

use std::path::Path;

use qponder_tests::browser::Browser;
use qponder_tests::client::{Client, text};
use qponder_tests::server::{Server, data_dir, root};
use serde_json::{Value, json};

fn serve(data_dir: &Path) -> Server {
    let page = root().join("target/web");
    assert!(page.join("index.html").is_file(), "the page is not built; run `cargo xtask web`");
    let (rl, ci) = (root().join("models/nano-rl"), root().join("models/nano-ci"));
    let arguments = [
        "--web-dir",
        &page.to_string_lossy(),
        "--model",
        &rl.to_string_lossy(),
        "--teacher",
        &ci.to_string_lossy(),
        "--teacher-prompt",
        "trained",
    ];
    Server::start_with(data_dir, &arguments)
}

fn add(client: &Client, name: &str) -> String {
    let bytes = std::fs::read(root().join("tests/fixtures/photographs").join(name)).expect("a photograph");
    client.add_image(name, &bytes)
}

fn ask(client: &Client, image: &str, model: &str) -> Value {
    client.assess(&json!({ "image_id": image, "model": model }))
}

fn score(assessment: &Value) -> String {
    format!("{:.2}", assessment["score"].as_f64().unwrap_or_else(|| panic!("no score: {assessment}")))
}

/// Pictures of the page in light, in dark, and as large as a phone.
fn pictures(browser: &Browser, name: &str) {
    let theme = |theme: &str| {
        let _ = browser.script("document.documentElement.dataset.theme = arguments[0]", &[json!(theme)]);
    };
    for (size, width, height) in [("wide", 1280, 900), ("phone", 390, 844)] {
        browser.resize(width, height);
        for one in ["light", "dark"] {
            theme(one);
            std::thread::sleep(std::time::Duration::from_millis(300));
            browser.picture(&format!("{name}-{size}-{one}"));
        }
    }
    theme("light");
    browser.resize(1280, 900);
}

/// Nothing on the page is wider than the window.
fn fits(browser: &Browser) -> bool {
    let fits = "return document.documentElement.scrollWidth <= document.documentElement.clientWidth";
    browser.script(fits, &[]) == true
}

#[test]
fn browser_models_are_compared_on_one_image_and_asked_from_there() {
    let data_dir = data_dir();
    let server = serve(data_dir.path());
    let client = &server.client;
    let image = add(client, "brook-blurred.jpg");
    let first = ask(client, &image, "nano-rl");
    let label = json!({ "kind": "proxy", "source": "ssimulacra2", "value": 2.5 });
    assert_eq!(client.send_json("PUT", &format!("/api/v1/images/{image}/labels"), &label).status, 200);

    let browser = Browser::open("models_are_compared_on_one_image");
    browser.goto(&format!("{}/images/{image}", client.url));
    browser.wait_for_texts(&[score(&first)]);
    browser.press("v");
    browser.wait_for_texts(&["nano-rl".into(), "nano-ci".into(), "teacher".into(), score(&first)]);
    assert!(browser.url().ends_with("/compare"), "{}", browser.url());
    browser.wait_for_texts(&["proxy 2.50 of ssimulacra2".into()]);

    // The teacher has no answer; asked from here, it is written here.
    browser.click("Ask");
    let comparison = || client.get(&format!("/api/v1/images/{image}/comparison")).json();
    browser.wait_until("the teacher has answered", || !comparison()["models"][1]["reason"].is_null());
    let models = comparison()["models"].clone();
    browser.wait_for_texts(&[score(&models[1]["reason"])]);
    // Each in its own column: two models may well have the same terms.
    let written = ["format", "score", "consistency"].map(|term| {
        let of = |model: &Value| format!("{:.2}", model["terms"][term].as_f64().expect("a term"));
        models.as_array().expect("models").iter().map(of).collect::<Vec<_>>()
    });
    let terms = "return [...document.querySelectorAll('.compare-table tbody tr')].slice(-3)\
                 .map((row) => [...row.querySelectorAll('td')].map((cell) => cell.innerText.trim()))";
    browser.wait_until("every answer has its terms", || browser.script(terms, &[]) == json!(written));
    // Rows are marked as far as the levels are apart.
    let level = |model: &Value, at: usize| text(&model["reason"]["response"]["attributes"][at]["level"]);
    let words = ["bad", "poor", "fair", "good", "excellent"];
    let place = |word: &str| words.iter().position(|other| *other == word).expect("a level");
    let marks = "return [...document.querySelectorAll('.compare-table tbody tr')].slice(0, 6)\
                 .map((row) => row.querySelector('.gap')?.firstChild.data ?? '')";
    let expected: Vec<&str> = (0..6)
        .map(|at| match place(&level(&models[0], at)).abs_diff(place(&level(&models[1], at))) {
            0 => "",
            1 => "≠",
            _ => "≠≠",
        })
        .collect();
    browser.wait_until("rows are marked", || browser.script(marks, &[]) == json!(expected));
    // Words that only one has stand out exactly where the words differ.
    let differ = (0..6).any(|at| {
        let words = |model: &Value| text(&model["reason"]["response"]["attributes"][at]["text"]);
        words(&models[0]) != words(&models[1])
    });
    let marked = browser.script("return document.querySelectorAll('.compare-table ins').length > 0", &[]);
    assert_eq!(marked, differ);
    pictures(&browser, "compare-image");
    browser.resize(390, 844);
    assert!(fits(&browser));
}

#[test]
fn browser_a_set_is_compared_and_a_point_opens_its_image() {
    let data_dir = data_dir();
    let server = serve(data_dir.path());
    let client = &server.client;
    let names = ["brook.jpg", "brook-blurred.jpg", "mountains.jpg", "mountains-blurred.jpg"];
    let images: Vec<String> = names.iter().map(|name| add(client, name)).collect();
    for image in &images[1..] {
        let _ = (ask(client, image, "nano-rl"), ask(client, image, "nano-ci"));
    }
    let browser = Browser::open("a_set_is_compared");
    browser.goto(&format!("{}/compare", client.url));
    browser.wait_for_texts(&["All 3 images with both answers".into(), "SRCC".into(), "mountains.jpg".into()]);
    let points = || browser.script("return document.querySelectorAll('.scatter [data-point]').length", &[]);
    assert_eq!(points(), 3);
    let listed = client.get("/api/v1/comparison?left=nano-rl&right=nano-ci").json();
    let order: Vec<String> =
        listed["items"].as_array().expect("items").iter().map(|item| text(&item["image"]["name"])).collect();
    let shown = "return [...document.querySelectorAll('.compare-list tbody th')].map((cell) => cell.innerText.trim())";
    browser.wait_until("the largest difference stands first", || browser.script(shown, &[]) == json!(order));
    pictures(&browser, "compare-set");
    browser.resize(390, 844);
    assert!(fits(&browser));
    browser.resize(1280, 900);

    // One image lacks both answers: asked from here, it gets them.
    browser.choose("order", "newest");
    browser.wait_for_texts(&["no answer".into(), "Ask missing (2)".into()]);
    browser.click("Ask missing (2)");
    let both = || {
        let models = client.get(&format!("/api/v1/images/{}/comparison", images[0])).json()["models"].clone();
        models.as_array().is_some_and(|models| models.iter().all(|model| !model["reason"].is_null()))
    };
    browser.wait_until("both models have answered", both);
    browser.click("Refresh");
    browser.wait_for_texts(&["All 4 images with both answers".into()]);

    // From the keyboard: the first point is the largest difference; Enter opens it.
    let focus = "const point = document.querySelector(\".scatter [data-point='0']\"); point?.focus(); return Boolean(point)";
    browser.wait_until("a point has the focus", || browser.script(focus, &[]) == true);
    let to = text(&browser.script("return document.activeElement.getAttribute('href')", &[]));
    // Several images may differ equally much.
    let listed = client.get("/api/v1/comparison?left=nano-rl&right=nano-ci").json();
    let items = listed["items"].as_array().expect("items");
    let opened = items.iter().find(|item| to.ends_with(&format!("/{}/compare", text(&item["image"]["id"]))));
    let apart = |item: &Value| item["difference"].as_f64().map(f64::abs);
    assert_eq!(opened.and_then(apart), items.first().and_then(apart), "{to}");
    let click =
        "document.activeElement.dispatchEvent(new MouseEvent('click', { bubbles: true, cancelable: true }))";
    let _ = browser.script(click, &[]);
    browser.wait_until("the image's comparison is open", || browser.url().ends_with(&to));
}

#[test]
fn browser_images_side_by_side_move_together() {
    let data_dir = data_dir();
    let server = serve(data_dir.path());
    let client = &server.client;
    for name in ["mountains.jpg", "moose.png"] {
        let image = add(client, name);
        let _ = ask(client, &image, "nano-rl");
    }
    let browser = Browser::open("images_side_by_side_move_together");
    browser.goto(&client.url);
    browser.wait_for_texts(&["mountains.jpg".into(), "moose.png".into()]);
    for key in ["j", "s", "j", "s"] {
        // To where the focus is: the driver would take it away.
        let press = "document.activeElement.dispatchEvent(new KeyboardEvent('keydown', { key: arguments[0], bubbles: true }))";
        let _ = browser.script(press, &[json!(key)]);
    }
    browser.wait_for_texts(&["2 picked".into()]);
    browser.picture("picked");
    browser.click("Side by side");
    browser.wait_until("both images are there", || {
        browser.script("return document.querySelectorAll('.pane .pixels:not(.is-gone)').length", &[]) == 2
    });
    let zooms = || {
        browser.script(
            "return [...document.querySelectorAll('.zoom-bar output')].map((zoom) => zoom.innerText)",
            &[],
        )
    };
    assert_eq!(zooms(), json!(["100 %", "100 %"]));
    browser.press("+");
    browser.wait_until("both are enlarged", || zooms() == json!(["200 %", "200 %"]));
    let rendering = "return getComputedStyle(document.querySelector('.pane .pixels')).imageRendering";
    assert_eq!(browser.script(rendering, &[]), "pixelated");
    // What is in the middle of each, as fractions of its image.
    let middles = "return [...document.querySelectorAll('.pane')].map((pane) => {\
        const stage = pane.querySelector('.stage').getBoundingClientRect();\
        const image = pane.querySelector('.pixels').getBoundingClientRect();\
        return [(stage.left + stage.width / 2 - image.left) / image.width,\
            (stage.top + stage.height / 2 - image.top) / image.height] })";
    let places =
        || -> Vec<Vec<f64>> { serde_json::from_value(browser.script(middles, &[])).expect("places") };
    pictures(&browser, "side-by-side");
    // So large that neither fits.
    browser.press("+");
    browser.press("+");
    browser.wait_until("both are larger still", || zooms() == json!(["400 %", "400 %"]));
    let before = places();
    // Dragging the first one takes the other along, as far as it reaches.
    let drag = "const stage = document.querySelector('.pane .stage'); const at = stage.getBoundingClientRect();\
        const event = (name, x) => stage.dispatchEvent(new PointerEvent(name, { bubbles: true, pointerId: 7, button: 0,\
            clientX: at.left + x, clientY: at.top + 50 }));\
        event('pointerdown', 200); event('pointermove', 120); event('pointerup', 120)";
    let _ = browser.script(drag, &[]);
    browser.wait_until("both have moved", || {
        let now = places();
        let same = (now[0][0] - now[1][0]).abs() < 0.01 && (now[0][1] - now[1][1]).abs() < 0.01;
        now[0][0] > before[0][0] + 0.01 && same
    });
    browser.press("l");
    browser.press("+");
    browser.wait_until("only the first follows", || {
        let zooms = zooms();
        zooms[0] == "600 %" && zooms[1] == "400 %"
    });
}
