//! From a teacher's answers to a model that answers: queued in the page, watched, killed in the middle, promoted.

use qponder_tests::axe::Findings;
use qponder_tests::browser::Browser;
use qponder_tests::client::text;
use qponder_tests::server::{Server, data_dir};
use qponder_tests::site::{open_as, serve_with, too_wide};
use qponder_tests::trainings::{add_dataset, kill_training, teacher};
use serde_json::json;

/// Chooses the theme of a page that is open.
fn set_theme(browser: &Browser, theme: &str) {
    let set = "localStorage.setItem('qponder.theme', arguments[0]); document.documentElement.dataset.theme = arguments[0]";
    let _ = browser.script(set, &[json!(theme)]);
}

#[test]
fn browser_a_pipeline_is_queued_watched_killed_and_its_model_promoted() {
    let (theirs, ours) = (data_dir(), data_dir());
    // The teacher is another server of ours, behind its chat endpoint.
    let other = Server::start(theirs.path());
    let file = teacher(ours.path(), &other.client.url);
    let (server, admin) =
        serve_with(ours.path(), &["--teacher-endpoint", &file, "--teacher-prompt", "trained"]);
    let dataset = add_dataset(&admin, ours.path());
    let url = &server.client.url;
    let browser = open_as("pipeline", &format!("{url}/training?dataset={dataset}"), "admin");
    let mut findings = Findings::default();
    browser.shows("From a dataset to a model");
    browser.wait_until("the dataset is chosen", || browser.value("#pipeline-dataset") == dataset);
    browser.fill("pipeline-name", "First light");
    browser.choose("pipeline-teacher", "nano");
    browser.choose("pipeline-size", "trial");
    browser.picture("form");
    findings.look(&browser, "the form of a pipeline");
    browser.click("Queue the pipeline");
    for name in [
        "First light, answers",
        "First light, cold start",
        "First light, GRPO",
        "First light, evaluation",
        "First light, answers to compare",
    ] {
        browser.shows(name);
    }
    let jobs = admin.get("/api/v1/jobs").json();
    let id = |kind: &str| {
        let all = jobs["items"].as_array().expect("jobs");
        text(&all.iter().find(|job| job["kind"] == kind).expect("a job")["id"])
    };
    let (distil, sft, grpo, evaluate, batch) =
        (id("distil"), id("sft"), id("grpo"), id("evaluate"), id("assess_batch"));

    // The teacher answers, and the numbers move without a reload.
    browser.goto(&format!("{url}/training/{distil}"));
    let _ = browser.script("window.isTheSame = true", &[]);
    browser.shows("done · Distillation");
    browser.shows("passed every filter");
    browser.shows("manifest.jsonl");
    browser.picture("answers");
    findings.look(&browser, "a distillation");
    assert_eq!(browser.script("return window.isTheSame", &[]), true);

    // The cold start: charts that move, a killed worker's child, and the same run going on.
    browser.goto(&format!("{url}/training/{sft}"));
    browser.shows("Learning rate");
    let points = || {
        let script =
            "return (document.querySelector('.chart-line')?.getAttribute('points') ?? '').split(' ').length";
        browser.script(script, &[]).as_u64().unwrap_or_default()
    };
    browser.wait_until("the line has some points", || points() >= 6);
    let before = points();
    browser.wait_until("the line grows", || points() > before);
    assert!(kill_training(&sft), "it trains");
    browser.shows("may have run out of memory");
    browser.shows("going on after step");
    browser.shows("done · Cold start");
    assert_eq!(points(), 20, "each step stands once");
    browser.shows("What came before");
    browser.picture("cold-start");
    findings.look(&browser, "a cold start");

    browser.goto(&format!("{url}/training/{grpo}"));
    browser.shows("done · GRPO");
    // What is remembered of a job.
    browser.click("Edit name, tags and notes");
    browser.fill("job-tags", "first, toy");
    browser.fill("job-notes", "The *first* one.");
    browser.click("Save");
    browser.shows("The first one.");
    browser.goto(&format!("{url}/training/{evaluate}"));
    browser.shows("done · Evaluation");
    browser.shows("Differences on the same images");
    browser.shows("First light, GRPO against First light, cold start");
    browser.picture("evaluation");
    findings.look(&browser, "an evaluation");

    // What it was trained from and what came of it have answered, and can be compared.
    browser.goto(&format!("{url}/training/{batch}"));
    browser.shows("done · Answers");
    browser.shows("32 answers on 16 images");
    browser.picture("batch");
    findings.look(&browser, "a batch");
    browser.click("Compare them");
    browser.wait_until("both are chosen", || {
        browser.value("#left").starts_with("nano")
            && browser.value("#right").starts_with("First light, GRPO #")
    });
    browser.wait_until("the images are listed", || {
        browser.script("return document.querySelectorAll('.compare-list tbody tr').length", &[]).as_u64()
            >= Some(10)
    });
    browser.picture("batch-compared");

    // Two trainings over each other.
    browser.goto(&format!("{url}/training/compare?jobs={sft},{grpo}"));
    browser.shows("train.loss");
    browser.shows("Measured");
    browser.wait_until("each has a line", || {
        browser.script("return document.querySelectorAll('.is-1 .chart-line').length", &[]).as_u64() > Some(0)
    });
    browser.picture("compare");
    findings.look(&browser, "two trainings over each other");

    // The model gets a name and is promoted; an assessment that names no model is answered by it.
    browser.goto(&format!("{url}/training/{grpo}"));
    browser.shows("Keep as a model");
    browser.fill("model-name", "first-light-rl");
    browser.click("Keep as a model");
    browser.shows("How it came about");
    browser.shows("Make it the default");
    browser.picture("model");
    findings.look(&browser, "a model");
    browser.click("Make it the default");
    browser.shows("first-light-rl is promoted to default.");
    browser.wait_until("the bar names it", || {
        browser.script("return document.querySelector('.bar .model')?.textContent", &[]) == "first-light-rl"
    });
    browser.goto(&format!("{url}/models"));
    browser.shows("Default: first-light-rl");
    browser.picture("models");
    findings.look(&browser, "the models");
    let image = admin.add_image("a.png", &qponder_tests::pictures::png(112, 84, 5));
    browser.goto(&format!("{url}/images/{image}"));
    browser.press("q");
    browser.shows("first-light-rl");
    let answers = admin.get(&format!("/api/v1/images/{image}/assessments")).json();
    browser.wait_until("it is answered", || {
        let answers = admin.get(&format!("/api/v1/images/{image}/assessments")).json();
        answers["items"].as_array().is_some_and(|all| all.iter().any(|one| one["status"] == "done"))
    });
    assert!(
        answers["items"].as_array().expect("answers").iter().all(|one| one["model"] == "first-light-rl"),
        "{answers}"
    );

    // And back.
    browser.goto(&format!("{url}/models"));
    browser.shows("Default: first-light-rl");
    browser.click("Roll back");
    browser.shows("Default: as the server was started");
    findings.assert_none();

    let pages = [
        "training".to_owned(),
        format!("training/{evaluate}"),
        format!("training/compare?jobs={sft},{grpo}"),
        "models".to_owned(),
    ];
    for (theme, width) in [("dark", 1280), ("light", 390)] {
        browser.resize(width, 900);
        for (place, page) in pages.iter().enumerate() {
            browser.goto(&format!("{url}/{page}"));
            set_theme(&browser, theme);
            browser.shows(["First light, GRPO", "Measured", "train.loss", "All models"][place]);
            assert_eq!(too_wide(&browser), "", "/{page} is wider than {width} pixels");
            browser.picture(&format!("{place}-{theme}-{width}"));
        }
    }
}
