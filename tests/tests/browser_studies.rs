//! Studies as people meet them: made, rated from the keyboard, corrected, reviewed, and never lost.

use std::path::{Path, PathBuf};
use std::process::Command;

use qponder_tests::browser::Browser;
use qponder_tests::client::{Client, text};
use qponder_tests::people::{PASSWORD, new_user};
use qponder_tests::server::{Server, binary, data_dir, root};
use qponder_tests::site::{add_photographs, open_as, serve, serve_with, too_wide, votes};
use qponder_tests::trainings::degrade;
use serde_json::{Value, json};

#[test]
fn browser_from_a_new_study_to_an_accepted_correction() {
    let data_dir = data_dir();
    let (server, admin) = serve(data_dir.path());
    let url = server.client.url.clone();
    let photographs = add_photographs(&admin);
    for image in &photographs {
        assert_eq!(admin.assess(&json!({ "image_id": image }))["status"], "done");
    }
    let _ = new_user(&server.client, &admin, "annotator", "ada");
    let _ = new_user(&server.client, &admin, "reviewer", "rhea");

    // The reviewer makes a study of the images of the gallery, with guidelines that try to run something.
    let lead = open_as("studies_lead", &format!("{url}/studies"), "rhea");
    lead.shows("There is none yet.");
    lead.fill("study-name", "Brooks and mountains");
    lead.choose("study-task", "reasoning");
    lead.fill("study-overlap", "2");
    lead.fill(
        "study-guidelines",
        "# Look at 1:1\nRate *what you see*. <img src=x onerror=\"document.title=1\">",
    );
    lead.picture("new-study");
    lead.click("Make the study");
    lead.shows("Look at 1:1");
    assert_ne!(lead.script("return document.title", &[]), "1", "the guidelines were run");
    lead.click("Add images");
    lead.wait_until("there are images to pick", || lead.text().contains("mountains.jpg"));
    lead.click("Pick all shown");
    lead.click("Add 4 images to the study");
    lead.shows("4 items added.");
    lead.fill("member-email", "ada@example.org");
    lead.click("Add");
    lead.shows("ada@example.org · 0 votes");
    lead.picture("study");
    let study = text(&admin.get("/api/v1/studies").json()["items"][0]["id"]);

    // The annotator rates with one key, corrects what the model says, and goes on.
    let ada = open_as("studies_annotator", &format!("{url}/studies"), "ada");
    ada.click("Rate");
    ada.shows("The whole image");
    ada.wait_until("the pixels are there", || {
        ada.script("return !!document.querySelector('.pixels:not(.is-gone)')", &[]) == true
    });
    ada.picture("rate");
    ada.press("2");
    ada.shows("Draft saved");
    ada.press("\u{e007}");
    ada.shows("On the left the original, on the right yours");
    ada.picture("correct");
    ada.fill_labelled("Summary, corrected", "The blur is what one sees first.");
    ada.shows("Summary · changed");
    ada.shows("Draft saved");
    // A closed tab: the correction is there when she comes back.
    ada.goto(&format!("{url}/studies/{study}/annotate"));
    ada.shows("On the left the original, on the right yours");
    ada.wait_until("what was typed is there", || {
        ada.value("textarea[aria-label='Summary, corrected']") == "The blur is what one sees first."
    });
    ada.click("Send");
    ada.shows("1 of 4");
    ada.shows("The whole image");

    // The reviewer sends it back; the annotator meets it first.
    lead.goto(&format!("{url}/review"));
    lead.shows("Brooks and mountains");
    let name = lead.script("return document.querySelector('.rows a').textContent", &[]);
    lead.click(name.as_str().expect("a name").trim());
    lead.shows("wrote version 1");
    lead.picture("review");
    lead.fill("review-comment", "Say <b>where</b>.");
    lead.click("Return");
    lead.shows("Returned.");
    ada.goto(&format!("{url}/studies/{study}/annotate"));
    ada.shows("It came back.");
    ada.shows("Say <b>where</b>.");
    ada.picture("came-back");
    ada.fill_labelled("Summary, corrected", "The blur of the water is what one sees first.");
    ada.click("Send");
    ada.shows("The whole image");
    // Fixed and accepted; every version is in the history.
    lead.goto(&format!("{url}/review"));
    let name = {
        lead.shows("version 2");
        lead.script("return document.querySelector('.rows a').textContent", &[])
    };
    lead.click(name.as_str().expect("a name").trim());
    lead.shows("wrote version 2");
    lead.fill_labelled("Score, corrected", "1.90");
    lead.click("Fix and accept");
    lead.shows("Fixed.");
    let accepted = admin.get("/api/v1/annotations?state=accepted").json();
    assert_eq!(accepted["items"][0]["version"], 3);
    let thread = admin.get(&format!("/api/v1/annotations/{}", text(&accepted["items"][0]["id"]))).json();
    assert_eq!(thread["versions"].as_array().map(Vec::len), Some(3));
    assert_eq!(thread["versions"][2]["response"]["score"], 1.9);
    assert_eq!(votes(&admin, &study), 1);
}

#[test]
fn browser_votes_survive_a_dead_server_and_can_be_undone() {
    let data_dir = data_dir();
    let (server, admin) = serve(data_dir.path());
    let photographs = add_photographs(&admin);
    let ada = new_user(&server.client, &admin, "annotator", "ada");
    let made = admin.post("/api/v1/studies", &json!({ "name": "Four", "task": "attributes", "overlap": 1 }));
    let study = text(&made.json()["id"]);
    let items = format!("/api/v1/studies/{study}/items");
    assert_eq!(admin.post(&items, &json!({ "images": photographs })).status, 200);
    let members = format!("/api/v1/studies/{study}/members");
    assert_eq!(admin.post(&members, &json!({ "email": "ada@example.org" })).status, 201);
    drop(ada);

    let url = server.client.url.clone();
    let browser = open_as("votes_survive", &format!("{url}/studies/{study}/annotate"), "ada");
    browser.shows("The whole image");
    for key in ["n", "2", "4"] {
        browser.press(key);
    }
    browser.shows("poor");
    browser.picture("attributes");
    browser.press("\u{e007}");
    browser.shows("1 of 4");
    browser.wait_until("it has arrived", || votes(&admin, &study) == 1);
    // The next image is rated while the server is dead; nobody waits.
    let port = url.rsplit_once(':').expect("a port").1.to_owned();
    server.kill();
    browser.press("5");
    browser.press("5");
    browser.shows("2 of 4");
    browser.shows("Sending 1 vote");
    browser.press("3");
    browser.shows("Kept on this machine");
    browser.picture("server-away");
    let page = root().join("target/web");
    let listen = format!("127.0.0.1:{port}");
    let server = Server::start_with_accounts(
        data_dir.path(),
        &["--web-dir", &page.to_string_lossy(), "--listen", &listen],
    );
    browser.wait_until("the vote has arrived", || votes(&admin, &study) == 2);
    browser.shows("Draft saved");
    // Back to the vote that was sent, and another one in its place.
    browser.press("z");
    browser.shows("The whole image");
    browser.press("1");
    browser.press("\u{e007}");
    browser.wait_until("it was sent anew", || {
        let sql = format!("select count(*) from votes where study_id = '{study}'");
        qponder_tests::database::query(data_dir.path(), &sql) == 3
    });
    assert_eq!(votes(&admin, &study), 2, "it is still one item");
    // What was begun before is in view again; the rest is skipped with a reason.
    browser.press("\u{e007}");
    browser.shows("3 of 4");
    browser.press("x");
    browser.fill("ask", "It does not load\u{e007}");
    browser.shows("That was all.");
    browser.wait_until("all have arrived", || votes(&admin, &study) == 4);
    browser.picture("done");
    for (theme, width) in [("dark", 1280), ("light", 390)] {
        browser.resize(width, 860);
        for (page, expected) in [
            (format!("studies/{study}/annotate"), "That was all."),
            (format!("studies/{study}"), "4 of 4 votes"),
            ("studies".to_owned(), "Four"),
        ] {
            browser.goto(&format!("{}/{page}", server.client.url));
            let set = "localStorage.setItem('qponder.theme', arguments[0]);\
                       document.documentElement.dataset.theme = arguments[0]";
            let _ = browser.script(set, &[json!(theme)]);
            browser.shows(expected);
            assert_eq!(too_wide(&browser), "", "/{page} is wider than {width} pixels");
            browser.picture(&format!("{}-{theme}-{width}", page.replace('/', "-").replace(&study, "one")));
        }
    }
}

/// Six photographs of the fixtures, degraded by our own command.
fn degraded_photographs(data_dir: &Path) -> Vec<PathBuf> {
    let degraded = degrade(data_dir, 3, 96);
    let manifest = std::fs::read_to_string(degraded.join("manifest.jsonl")).expect("a manifest");
    let path = |line: &str| {
        let row: Value = serde_json::from_str(line).expect("a row");
        degraded.join(text(&row["image"]))
    };
    manifest.lines().take(6).map(path).collect()
}

/// Votes of somebody on everything that they are given.
#[test]
fn browser_progress_counts_a_vote_that_crosses_the_next_tasks() {
    let data_dir = data_dir();
    let (server, admin) = serve(data_dir.path());
    let photographs = add_photographs(&admin);
    let made = admin.post("/api/v1/studies", &json!({ "name": "Four", "task": "acr", "overlap": 1 }));
    let study = text(&made.json()["id"]);
    let items = format!("/api/v1/studies/{study}/items");
    assert_eq!(admin.post(&items, &json!({ "images": photographs })).status, 200);
    let page = format!("{}/studies/{study}/annotate", server.client.url);
    let browser = open_as("progress", &page, "admin");
    browser.shows("0 of 4");
    // The server answers about tasks before it hears of the vote, and that answer comes after the vote's.
    let slow = "const direct = window.fetch; window.answered = 0; \
                const pause = (ms) => new Promise((done) => setTimeout(done, ms)); \
                window.fetch = async (request, ...rest) => { const url = request.url ?? String(request); \
                if (url.endsWith('/votes')) await pause(400); \
                const answer = await direct(request, ...rest); \
                if (url.includes('/tasks')) { await pause(1500); setTimeout(() => window.answered += 1, 200); } \
                return answer; }";
    let _ = browser.script(slow, &[]);
    for (key, shown) in [("3", "1 of 4"), ("4", "2 of 4")] {
        browser.press(key);
        browser.press("\u{e007}");
        browser.shows(shown);
    }
    browser.wait_until("the votes have arrived", || votes(&admin, &study) == 2);
    let answered = || browser.script("return window.answered", &[]).as_u64() >= Some(1);
    browser.wait_until("the tasks have come", answered);
    browser.shows("All votes are saved");
    assert!(browser.text().contains("2 of 4"), "{}", browser.text());
}

fn rate_all(client: &Client, study: &str, mut rate: impl FnMut(&str) -> f64) {
    loop {
        let given = client.get(&format!("/api/v1/studies/{study}/tasks?limit=1")).json();
        let Some(task) = given["items"].get(0) else { return };
        let vote = json!({
            "item": task["item"], "repeat": task["repeat"], "ms": 900,
            "key": format!("{}-{}", text(&task["item"]), task["repeat"]),
            "rating": { "kind": "score", "score": rate(&text(&task["images"][0]["id"])) },
            "conditions": {
                "zoom": 1.0, "device_pixel_ratio": 1.0, "viewport_width": 900, "viewport_height": 700,
            },
        });
        let cast = client.post(&format!("/api/v1/studies/{study}/votes"), &vote);
        assert_eq!(cast.status, 201, "{}", cast.json());
    }
}

/// What somebody who does not look says of ten images, asked twice.
const AT_RANDOM: [[u8; 2]; 10] =
    [[2, 4], [4, 2], [5, 1], [3, 2], [2, 2], [2, 2], [3, 4], [1, 4], [5, 2], [1, 5]];

#[test]
fn browser_statistics_name_who_rates_at_random() {
    let data_dir = data_dir();
    let (server, admin) = serve(data_dir.path());
    let mut images = add_photographs(&admin);
    for path in degraded_photographs(data_dir.path()) {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        images.push(admin.add_image(&name, &std::fs::read(&path).expect("an image")));
    }
    assert_eq!(images.len(), 10);
    for image in &images {
        assert_eq!(admin.assess(&json!({ "image_id": image, "mode": "quick" }))["status"], "done");
    }
    let made =
        admin.post("/api/v1/studies", &json!({ "name": "Ten", "task": "acr", "overlap": 9, "seed": 3 }));
    let study = text(&made.json()["id"]);
    let items = format!("/api/v1/studies/{study}/items");
    assert_eq!(admin.post(&items, &json!({ "images": images, "repeated": true })).status, 200);
    for (at, name) in ["ada", "grace", "mary", "sofia", "eve"].into_iter().enumerate() {
        let person = new_user(&server.client, &admin, "annotator", name);
        let members = format!("/api/v1/studies/{study}/members");
        assert_eq!(admin.post(&members, &json!({ "email": format!("{name}@example.org") })).status, 201);
        let mut seen = [0; 10];
        rate_all(&person, &study, |image| {
            let place = images.iter().position(|one| one == image).expect("one of them");
            seen[place] += 1;
            match name {
                // In whatever order she is asked, these correlate with nobody's.
                "eve" => f64::from(AT_RANDOM[place][seen[place] - 1]),
                _ => (1 + place % 5 + usize::from(place % 4 == at)).min(5) as f64,
            }
        });
    }
    let lead =
        open_as("studies_statistics", &format!("{}/studies/{study}/statistics", server.client.url), "admin");
    lead.shows("would leave out");
    lead.choose("screening", "pearson");
    lead.shows("1 person left out");
    lead.shows("Krippendorff");
    lead.shows("quick");
    lead.picture("statistics");
    lead.resize(1280, 1900);
    lead.picture("statistics-long");
    // A point of the plot opens its image.
    let point = "const point = document.querySelector('.scatter a'); point.dispatchEvent(new MouseEvent('click', \
                 { bubbles: true, cancelable: true })); return Boolean(point)";
    assert_eq!(lead.script(point, &[]), true);
    lead.wait_until("the image is open", || lead.url().contains("/images/"));
    lead.resize(390, 860);
    lead.goto(&format!("{}/studies/{study}/statistics", server.client.url));
    lead.shows("Krippendorff");
    lead.picture("statistics-phone");
}

/// Opens a link for a new user and joins.
fn join(name: &'static str, link: &str, who: &str) -> Browser {
    let browser = Browser::open(name);
    browser.goto(link);
    browser.fill("name", who);
    browser.fill("email", &format!("{}@example.org", who.to_lowercase()));
    browser.fill("password", PASSWORD);
    browser.click("Join");
    // A name alone may be part of a word of the form, as Eve is of `whoever`.
    let is_asked = "return !!document.querySelector('input[type=password]')";
    browser.wait_until("they have joined", || browser.script(is_asked, &[]) == false);
    browser.wait_for_texts(&[who.to_owned()]);
    browser
}

/// Makes a link with the button of that text, and reads it.
fn new_link(browser: &Browser, button: &str) -> String {
    let link = || browser.script("return document.querySelector('.secret input')?.value ?? ''", &[]);
    let before = link();
    browser.click(button);
    browser.wait_until("there is a new link", || link() != before);
    text(&link())
}

/// Rates everything from the keyboard, and sends what the model says on as it is, but for the first.
fn rate_in_browser(browser: &Browser, mut rate: impl FnMut(&str) -> u8, first: &str) {
    let image = "return document.querySelector('.pixels:not(.is-gone)')?.src ?? ''";
    let mut seen: Vec<String> = Vec::new();
    loop {
        let mut url = String::new();
        browser.wait_until("there is another image, or no more", || {
            url = text(&browser.script(image, &[]));
            let words = browser.text();
            words.contains("That was all.")
                || (words.contains("excellent") && words.contains("Next") && !seen.contains(&url))
        });
        if browser.text().contains("That was all.") {
            assert_eq!(seen.len(), 10);
            return;
        }
        browser.wait_until("its pixels are there", || {
            url = text(&browser.script(image, &[]));
            !url.is_empty() && !seen.contains(&url)
        });
        let id = url.split('/').rev().nth(1).expect("the image's id").to_owned();
        browser.press(&rate(&id).to_string());
        browser.press("\u{e007}");
        browser.shows("On the left the original");
        if seen.is_empty() && !first.is_empty() {
            browser.fill_labelled("Summary, corrected", first);
        }
        browser.click("Send");
        seen.push(url);
    }
}

#[test]
fn browser_the_whole_story_from_invites_to_a_trained_model() {
    let data_dir = data_dir();
    let (rl, ci) = (root().join("models/nano-rl"), root().join("models/nano-ci"));
    let (rl, ci) = (rl.to_string_lossy(), ci.to_string_lossy());
    let arguments = ["--model", &*rl, "--teacher", &*ci, "--teacher-prompt", "trained"];
    let (server, admin) = serve_with(data_dir.path(), &arguments);
    let url = server.client.url.clone();

    // The admin invites a reviewer, who adds ten photographs; the model assesses them.
    let chief = open_as("story_admin", &format!("{url}/users"), "admin");
    chief.choose("invite-role", "reviewer");
    let rhea = join("story_reviewer", &new_link(&chief, "Make a link"), "Rhea");
    let fixtures = ["brook.jpg", "brook-blurred.jpg", "mountains.jpg", "mountains-blurred.jpg"];
    let mut files: Vec<PathBuf> =
        fixtures.iter().map(|name| root().join("tests/fixtures/photographs").join(name)).collect();
    files.extend(degraded_photographs(data_dir.path()));
    rhea.goto(&url);
    rhea.shows("Drop a photograph");
    rhea.pick(&files);
    let assessed = || {
        let images = admin.get("/api/v1/images").json()["items"].clone();
        let images = images.as_array().expect("images").iter().filter(|image| !image["latest"].is_null());
        images.map(|image| text(&image["id"])).collect::<Vec<_>>()
    };
    rhea.wait_until("ten are assessed", || assessed().len() == 10);
    let images = assessed();

    // Model and teacher side by side; the teacher's answers are asked for from the page.
    rhea.goto(&format!("{url}/compare"));
    rhea.choose("order", "newest");
    rhea.click("Ask missing (10)");
    let agreement = || admin.get("/api/v1/comparison/statistics?left=nano-rl&right=nano-ci").json();
    rhea.wait_until("the teacher has answered all", || agreement()["n"] == 10);
    rhea.goto(&format!("{url}/compare"));
    rhea.shows("All 10 images with both answers");
    rhea.picture("story-compare");

    // A study of them; the admin invites two annotators into it, and the reviewer takes part.
    rhea.goto(&format!("{url}/studies"));
    rhea.fill("study-name", "The story");
    rhea.choose("study-task", "reasoning");
    rhea.fill("study-overlap", "3");
    rhea.click("Make the study");
    rhea.click("Add images");
    rhea.wait_until("there are images to pick", || rhea.text().contains("mountains.jpg"));
    rhea.click("Pick all shown");
    rhea.click("Add 10 images to the study");
    rhea.shows("10 items added.");
    rhea.fill("member-email", "rhea@example.org");
    rhea.click("Add");
    rhea.shows("rhea@example.org");
    let study = text(&admin.get("/api/v1/studies").json()["items"][0]["id"]);
    chief.goto(&format!("{url}/studies/{study}"));
    let ada = join("story_ada", &new_link(&chief, "Invite an annotator"), "Ada");
    let eve = join("story_eve", &new_link(&chief, "Invite an annotator"), "Eve");

    // All three rate all ten; Eve does not look.
    let place = |id: &str| images.iter().position(|image| image == id).expect("one of the ten");
    let honest = |id: &str| (1 + place(id) % 5) as u8;
    let work = format!("{url}/studies/{study}/annotate");
    for browser in [&ada, &eve, &rhea] {
        browser.goto(&work);
    }
    rate_in_browser(&ada, honest, "Seen with my own eyes.");
    let careless = |id: &str| [3, 5, 1, 1, 3, 5, 4, 2, 1, 4][place(id)];
    rate_in_browser(&eve, careless, "");
    rate_in_browser(&rhea, |id| (honest(id) + u8::from(place(id) % 4 == 0)).min(5), "");
    assert_eq!(votes(&admin, &study), 30);

    // Ada's correction is returned, fixed and accepted.
    let oldest = admin.get("/api/v1/annotations?sort=age").json()["items"][0].clone();
    assert_eq!(oldest["author"], "Ada");
    let thread = format!("{url}/review/{}", text(&oldest["id"]));
    rhea.goto(&thread);
    rhea.wait_until("it is Ada's", || {
        rhea.value("textarea[aria-label='Summary, corrected']") == "Seen with my own eyes."
    });
    rhea.fill("review-comment", "Say what you saw.");
    rhea.click("Return");
    rhea.shows("Returned.");
    ada.goto(&work);
    ada.shows("Say what you saw.");
    ada.fill_labelled("Summary, corrected", "The blur is what one sees first.");
    ada.click("Send");
    ada.shows("That was all.");
    rhea.goto(&thread);
    rhea.shows("wrote version 2");
    rhea.click("Accept");
    rhea.shows("Accepted.");
    assert_eq!(admin.get("/api/v1/annotations?state=accepted").json()["items"][0]["version"], 2);

    // The statistics name Eve.
    rhea.goto(&format!("{url}/studies/{study}/statistics"));
    rhea.choose("screening", "pearson");
    rhea.shows("1 person left out");
    let left_out = "return document.querySelector('tr.is-doubtful th')?.textContent ?? ''";
    rhea.wait_until("it is Eve", || rhea.script(left_out, &[]) == "Eve");
    rhea.picture("story-statistics");

    // One click makes the dataset, and a model learns from it.
    rhea.goto(&format!("{url}/studies/{study}"));
    rhea.choose("dataset-screening", "pearson");
    rhea.click("Make a dataset");
    rhea.shows("The story, version 1");
    let href = "return document.querySelector(\"a[href$='/archive']\").getAttribute('href')";
    let archive = admin.get(&text(&rhea.script(href, &[])));
    let folder = data_dir.path().join("dataset");
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::write(folder.join("dataset.tar"), &archive.body).expect("it is written");
    let unpacked = Command::new("tar").args(["-xf", "dataset.tar"]).current_dir(&folder).status();
    assert!(unpacked.expect("tar starts").success());
    let recipe = format!(
        "base = \"{ci}\"\nout = \"out\"\n[data]\nmanifests = [\"manifest.jsonl\"]\n[train]\nsteps = 3\nbatch = 1\n\
         micro_batch = 1\nlearning_rate = 1e-4\nwarmup = 1\n[validation]\nimages = 0\n"
    );
    std::fs::write(folder.join("recipe.toml"), recipe).expect("it is written");
    let trained = Command::new(binary())
        .args(["sft", "--recipe", "recipe.toml"])
        .current_dir(&folder)
        .output()
        .expect("it starts");
    assert!(trained.status.success(), "{}", String::from_utf8_lossy(&trained.stderr));
    assert!(folder.join("out/model.safetensors").is_file());
}
