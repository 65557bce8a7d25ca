//! The whole stack, as a person meets it: photographs go in through the page, and what the page shows,
//! what the API says and what the database holds are the same.

use std::path::{Path, PathBuf};

use qponder_tests::browser::Browser;
use qponder_tests::client::text;
use qponder_tests::database;
use qponder_tests::server::{Server, data_dir, root};
use serde_json::{Value, json};

/// A server with the built page.
fn serve(data_dir: &Path) -> Server {
    let page = root().join("target/web");
    assert!(page.join("index.html").is_file(), "the page is not built; run `cargo xtask web`");
    Server::start_with(data_dir, &["--web-dir", &page.to_string_lossy()])
}

fn photograph(name: &str) -> PathBuf {
    root().join("tests/fixtures/photographs").join(name)
}

/// Uploads photographs through the page and waits until each has an assessment; returns the images as
/// the API lists them, in the order given.
fn upload(browser: &Browser, server: &Server, names: &[&str]) -> Vec<Value> {
    let files: Vec<PathBuf> = names.iter().map(|name| photograph(name)).collect();
    browser.pick(&files);
    let mut images = Vec::new();
    browser.wait_until("every photograph is assessed", || {
        let listed = server.client.get("/api/v1/images?limit=50").json();
        let find = |name: &&str| {
            let all = listed["items"].as_array()?;
            all.iter().find(|image| image["name"] == **name && !image["latest"].is_null()).cloned()
        };
        images = names.iter().filter_map(find).collect();
        images.len() == names.len()
    });
    images
}

/// A score as the page and the response grammar write it.
fn written(score: &Value) -> String {
    format!("{:.2}", score.as_f64().unwrap_or_else(|| panic!("{score} is no score")))
}

/// What the model observed, attribute by attribute.
fn observations(assessment: &Value) -> Vec<String> {
    let attributes = assessment["response"]["attributes"].as_array();
    let texts: Vec<String> =
        attributes.into_iter().flatten().map(|attribute| text(&attribute["text"])).collect();
    assert!(!texts.is_empty(), "nothing was observed: {}", assessment["text"]);
    texts
}

#[test]
fn browser_page_api_and_database_agree() {
    let data_dir = data_dir();
    let server = serve(data_dir.path());
    let browser = Browser::open("page_api_and_database_agree");
    browser.goto(&server.client.url);
    // Nobody signs in, and the page says so.
    browser.wait_for_texts(&["Local mode".to_owned()]);

    for image in upload(&browser, &server, &["brook.jpg", "mountains.jpg", "moose.png"]) {
        browser.goto(&format!("{}/images/{}", server.client.url, text(&image["id"])));
        let path = format!("/api/v1/assessments/{}", text(&image["latest"]["id"]));
        let assessment = server.client.get(&path).json();
        assert_eq!(assessment["status"], "done");
        assert_eq!(assessment["parse_ok"], true, "{}", assessment["text"]);
        assert_eq!(assessment["score"], image["latest"]["score"]);

        let mut expected = observations(&assessment);
        expected.push(written(&assessment["score"]));
        browser.wait_for_texts(&expected);

        // Behind the server's back. Numbers as numbers: Postgres writes 5 where we write 5.0.
        let sql = format!(
            "select json_build_object('text', a.text, 'score', a.score, 'status', a.status, 'sha256', i.sha256, \
             'latest', i.latest, 'latest_score', i.latest_score) from assessments a join images i \
             on i.id = a.image_id where a.id = '{}'",
            text(&assessment["id"])
        );
        let row = database::query(data_dir.path(), &sql);
        assert_eq!(row["text"], assessment["text"]);
        assert_eq!(row["status"], assessment["status"]);
        assert_eq!(row["sha256"], image["sha256"]);
        assert_eq!(row["latest"], assessment["id"]);
        assert_eq!(row["score"].as_f64(), assessment["score"].as_f64());
        assert_eq!(row["latest_score"].as_f64(), assessment["score"].as_f64());
    }
    drop(browser);
    assert!(server.stop().success());
}

#[test]
fn browser_streams_reasoning_as_it_is_written() {
    let data_dir = data_dir();
    let server = serve(data_dir.path());
    let browser = Browser::open("streams_reasoning_as_it_is_written");
    browser.goto(&server.client.url);
    let images = upload(&browser, &server, &["mountains.jpg"]);
    let image = text(&images[0]["id"]);
    browser.goto(&format!("{}/images/{image}", server.client.url));
    browser.wait_for_texts(&[written(&images[0]["latest"]["score"])]);

    // Every state that the page goes through while another answer is written. Nano writes one in less time
    // than a busy browser may take to open the stream, which then has the whole answer at once; so it may
    // take several answers until one is seen half written.
    let watch = "window.seen = []; window.watcher?.disconnect();\
                 window.watcher = new MutationObserver(() => window.seen.push(document.body.innerText));\
                 window.watcher.observe(document.body, { subtree: true, childList: true, characterData: true })";
    let partial = "const [first, last] = [...arguments].map((text) => text.toLowerCase());\
                   const seen = window.seen.map((text) => text.toLowerCase());\
                   return seen.some((text) => text.includes(first) && !text.includes(last))";
    let listing = format!("/api/v1/images/{image}/assessments");
    let was_partial = (2..12).any(|count| {
        let _ = browser.script(watch, &[]);
        browser.press("r");
        let mut newest = Value::Null;
        browser.wait_until("another assessment is done", || {
            let assessments = server.client.get(&listing).json();
            newest = assessments["items"][0].clone();
            assessments["items"].as_array().is_some_and(|all| all.len() == count)
                && newest["status"] == "done"
        });
        assert_eq!(newest["mode"], "reason");
        let observed = observations(&newest);
        browser.wait_for_texts(&observed);
        let (first, last) = (json!(observed[0]), json!(observed[observed.len() - 1]));
        browser.script(partial, &[first, last]) == true
    });
    assert!(was_partial, "the first observation never stood there without the last");
}

#[test]
fn browser_scores_a_blurred_copy_lower() {
    let data_dir = data_dir();
    let server = serve(data_dir.path());
    let browser = Browser::open("scores_a_blurred_copy_lower");
    for (sharp, blurred) in [("brook.jpg", "brook-blurred.jpg"), ("mountains.jpg", "mountains-blurred.jpg")] {
        browser.goto(&server.client.url);
        let images = upload(&browser, &server, &[sharp, blurred]);
        browser.goto(&server.client.url);
        let shown: Vec<String> = images.iter().map(|image| written(&image["latest"]["score"])).collect();
        browser.wait_for_texts(&shown);
        for mode in ["reason", "quick"] {
            let scores: Vec<f64> = images
                .iter()
                .map(|image| server.client.assess(&json!({ "image_id": image["id"], "mode": mode })))
                .map(|assessment| {
                    assessment["score"].as_f64().unwrap_or_else(|| panic!("no score: {assessment}"))
                })
                .collect();
            assert!(scores[0] > scores[1], "{mode}: {sharp} has {}, {blurred} has {}", scores[0], scores[1]);
        }
    }
}
