//! Training as an engineer meets it: queued from a form, watched live, interrupted, and going on.

use qponder_tests::axe::Findings;
use qponder_tests::browser::Browser;
use qponder_tests::client::text;
use qponder_tests::server::data_dir;
use qponder_tests::site::{open_as, serve, too_wide};
use qponder_tests::trainings::{add_dataset, kill_training};
use serde_json::json;

/// What is entered into a field stands in the recipe, and what is typed there is in the fields.
fn fields_and_text_are_one_recipe(browser: &Browser, findings: &mut Findings) {
    let _ = browser.script(
        "document.querySelectorAll('.recipe-fields details').forEach((one) => { one.open = true })",
        &[],
    );
    let enter = |field: &str, value: &str| {
        let script = "const field = document.getElementById(arguments[0]); field.value = arguments[1]; \
                      field.dispatchEvent(new Event('change', { bubbles: true }))";
        let _ = browser.script(script, &[json!(field), json!(value)]);
    };
    let value = |field: &str| {
        let script = "return document.getElementById(arguments[0])?.value ?? null";
        browser.script(script, &[json!(field)]).as_str().map(str::to_owned)
    };
    let recipe = || browser.value("#job-recipe");
    // Two at once: neither is lost.
    enter("field-train.steps", "40");
    enter("field-train.clip", "2");
    browser.wait_until("the recipe has both", || {
        recipe().contains("steps = 40") && recipe().contains("clip = 2.0")
    });
    assert!(recipe().contains("micro_batch = 4"), "everything else stays: {}", recipe());
    browser.shows("Default 1.0");
    browser.shows("between 1 and 65536");
    browser.fill("job-recipe", &recipe().replace("batch = 16", "batch = 24"));
    browser.wait_until("the field follows", || value("field-train.batch").as_deref() == Some("24"));
    // A section that may be left out has fields once it is there.
    assert_eq!(value("field-lora.rank"), None);
    let _ = browser.script("document.getElementById('field-lora').click()", &[]);
    browser.wait_until("adapters can be set", || value("field-lora.rank").as_deref() == Some("16"));
    assert!(recipe().contains("[lora]"), "{}", recipe());
    browser.picture("fields");
    findings.look(browser, "the fields of a recipe");
    enter("field-train.steps", "0");
    browser.shows("train.steps is 0");
    browser.click("Begin again from the choices above");
    browser
        .wait_until("it is as it was", || recipe().contains("steps = 200") && !recipe().contains("[lora]"));
}

#[test]
fn browser_a_training_is_queued_watched_killed_and_ends() {
    let data_dir = data_dir();
    let (server, admin) = serve(data_dir.path());
    let _ = add_dataset(&admin, data_dir.path());
    let browser = open_as("training", &format!("{}/training", server.client.url), "admin");
    let mut findings = Findings::default();
    browser.shows("There is nothing here yet.");
    browser.shows("1 worker: ");
    browser.shows("It can be used.");
    browser.fill("job-name", "Cold start");
    // What is wrong with a recipe is said while it is typed, in the words of the command line.
    let recipe = browser.value("#job-recipe");
    browser.fill("job-recipe", &recipe.replace("steps = 200", "steps = 0"));
    browser.shows("train.steps is 0");
    browser.fill("job-recipe", &recipe);
    browser.shows("It can be used.");
    fields_and_text_are_one_recipe(&browser, &mut findings);
    let recipe = recipe
        .replace("steps = 200", "steps = 30")
        .replace("warmup = 10", "warmup = 2")
        .replace("checkpoint_every = 25", "checkpoint_every = 3")
        .replace(
            "every = 50\nimages = 100\nreasoning_images = 50",
            "every = 10\nimages = 0\nreasoning_images = 0",
        );
    browser.fill("job-recipe", &recipe);
    browser.shows("It can be used.");
    browser.picture("new");
    findings.look(&browser, "a new training");
    browser.click("Queue it");
    // The charts move without a reload.
    browser.shows("Learning rate");
    let points = || {
        let script =
            "return (document.querySelector('.chart-line')?.getAttribute('points') ?? '').split(' ').length";
        browser.script(script, &[]).as_u64().unwrap_or_default()
    };
    browser.wait_until("the line has some points", || points() >= 4);
    let before = points();
    browser.wait_until("the line grows", || points() > before);
    let _ = browser.script("window.isTheSame = true", &[]);
    browser.picture("running");
    // Whatever ends the training, it goes on from its checkpoint, and the page says so.
    let id = browser.url().rsplit('/').next().expect("an id").to_owned();
    assert!(kill_training(&id), "it trains");
    browser.shows("may have run out of memory");
    browser.shows("going on after step");
    browser.shows("done · Cold start");
    assert_eq!(browser.script("return window.isTheSame", &[]), true, "the page was loaded anew");
    assert_eq!(points(), 30, "each step stands once");
    browser.shows("1: ");
    browser.picture("done");
    findings.look(&browser, "a training that is done");
    // The numbers can be taken along.
    let saved = browser.script("return document.querySelector('.chart-tools a[download]').href", &[]);
    let path = text(&saved).replace(&server.client.url, "");
    let numbers = admin.get(&path).json();
    let rows = numbers["metrics"].as_array().expect("numbers");
    assert_eq!(rows.iter().filter(|row| row["part"] == "train").count(), 30);
    // The log is searched, and the charts can be looked at in other ways.
    browser.fill("log-words", "checkpoint");
    browser.wait_until("only those lines are shown", || {
        let lines = browser.script(
            "return [...document.querySelectorAll('.job-log li')].map((one) => one.textContent)",
            &[],
        );
        let lines = lines.as_array().cloned().unwrap_or_default();
        !lines.is_empty() && lines.iter().all(|line| text(line).contains("checkpoint"))
    });
    let _ = browser.script("document.querySelector('.chart-tools input[type=checkbox]').click()", &[]);
    browser.wait_until("the line is still there", || points() == 30);

    // The next one starts from what this one trained.
    browser.click("All jobs");
    browser.shows("done · Cold start");
    // Its recipe can be taken up again.
    browser.choose("job-earlier", &id);
    assert_eq!(browser.value("#job-recipe"), recipe);
    assert_eq!(browser.value("#job-name"), "Cold start");
    browser.click("Begin again from the choices above");
    assert_ne!(browser.value("#job-recipe"), recipe);
    browser.fill("job-name", "Reinforced");
    browser.choose("job-kind", "grpo");
    browser.choose("job-base", &format!("job:{id}"));
    let recipe = browser
        .value("#job-recipe")
        .replace("steps = 50", "steps = 2")
        .replace("warmup = 3", "warmup = 1")
        .replace("images = 8", "images = 2")
        .replace("group = 8", "group = 2")
        .replace("max_new_tokens = 192", "max_new_tokens = 48")
        .replace("images = 100\nreasoning_images = 100", "images = 0\nreasoning_images = 0");
    assert!(recipe.contains(&format!("job:{id}")), "{recipe}");
    browser.fill("job-recipe", &recipe);
    browser.click("Queue it");
    browser.shows("Reward");
    browser.shows("done · GRPO");
    browser.shows("Sampled answers");
    browser.wait_until("there are answers with their rewards", || {
        let rows = browser.script("return document.querySelectorAll('.table-frame tbody tr').length", &[]);
        rows.as_u64() >= Some(2)
    });
    browser.picture("answers");
    findings.look(&browser, "a training with answers");
    let jobs = admin.get("/api/v1/jobs").json();
    assert_eq!(jobs["items"][0]["needs"], json!([id]));

    findings.assert_none();

    for (theme, width) in [("dark", 1280), ("light", 390)] {
        browser.resize(width, 900);
        for (page, expected) in
            [("training".to_owned(), "Cold start"), (format!("training/{id}"), "Learning rate")]
        {
            browser.goto(&format!("{}/{page}", server.client.url));
            let set = "localStorage.setItem('qponder.theme', arguments[0]);\
                       document.documentElement.dataset.theme = arguments[0]";
            let _ = browser.script(set, &[json!(theme)]);
            browser.shows(expected);
            assert_eq!(too_wide(&browser), "", "/{page} is wider than {width} pixels");
            browser.picture(&format!("{}-{theme}-{width}", page.replace('/', "-").replace(&id, "one")));
        }
    }
}
