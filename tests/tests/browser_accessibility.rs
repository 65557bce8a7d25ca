//! Every page, in light and dark, wide and on a phone, holds nothing that axe-core calls serious or critical.

use qponder_tests::axe::Findings;
use qponder_tests::browser::Browser;
use qponder_tests::client::{Client, text};
use qponder_tests::people::{first_admin, invite, new_user, token};
use qponder_tests::server::{Server, data_dir, root};
use qponder_tests::site::{add_photographs, make_study, open_as, serve_new, sign_in, votes};
use serde_json::{Value, json};

/// A place with something on every page: photographs with answers of two models, a study of each kind, votes
/// and an annotation.
struct Place {
    server: Server,
    admin: Client,
    images: Vec<String>,
    /// By task.
    studies: Vec<(&'static str, String)>,
    _data: tempfile::TempDir,
}

/// Goes through the pages of somebody who has no account yet, and creates the admin.
fn place(browser: &Browser, findings: &mut Findings) -> Place {
    let data = data_dir();
    let (rl, ci) = (root().join("models/nano-rl"), root().join("models/nano-ci"));
    let (rl, ci) = (rl.to_string_lossy(), ci.to_string_lossy());
    let arguments = ["--model", &*rl, "--teacher", &*ci, "--teacher-prompt", "trained"];
    let (server, link) = serve_new(data.path(), &arguments);
    let url = server.client.url.clone();
    browser.goto(&url);
    browser.shows("the link for the first one stands where the server was started");
    findings.look(browser, "sign-in");
    browser.goto(&link);
    browser.shows("Create the administrator");
    browser.fill("password", "short");
    browser.fill("name", "Ada");
    browser.fill("email", "ada@example.org");
    browser.click("Create");
    browser.shows("at least 12 characters.");
    findings.look(browser, "the first admin, with an error");
    browser.goto(&format!("{url}/account"));
    browser.goto(&format!("{url}/welcome#nothing"));
    browser.shows("This link does not work");
    findings.look(browser, "a link that does not work");

    let admin = first_admin(&server.client, &link);
    let _ = new_user(&server.client, &admin, "annotator", "grace");
    let _ = token(&server.client, &admin, &["read", "metrics"]);
    browser.goto(&format!("{url}/account"));
    browser.goto(&format!("{url}/welcome#{}", invite(&admin, "annotator")));
    browser.shows("You are invited as annotator");
    findings.look(browser, "an invite");
    let images = add_photographs(&admin);
    for image in &images {
        for model in ["nano-rl", "nano-ci"] {
            assert_eq!(admin.assess(&json!({ "image_id": image, "model": model }))["status"], "done");
        }
    }
    let studies = ["acr", "attributes", "pairs", "reasoning"].map(|task| {
        let guidelines = "# Look closely\n- at *edges*\n- at `noise`\n\n> as ITU-R BT.500 says";
        let study =
            json!({ "name": format!("Of {task}"), "task": task, "overlap": 1, "guidelines": guidelines });
        (task, make_study(&admin, &study, &images, &["admin"]))
    });
    Place { server, admin, images, studies: studies.to_vec(), _data: data }
}

/// Votes for the whole image, as a program would.
fn vote(client: &Client, study: &str) -> Value {
    let task = client.get(&format!("/api/v1/studies/{study}/tasks?limit=1")).json()["items"][0].clone();
    let vote = json!({
        "item": task["item"], "rating": { "kind": "score", "score": 3.0 }, "key": text(&task["item"]), "ms": 900,
        "conditions": { "zoom": 1.0, "device_pixel_ratio": 1.0, "viewport_width": 900, "viewport_height": 700 },
    });
    let cast = client.post(&format!("/api/v1/studies/{study}/votes"), &vote);
    assert_eq!(cast.status, 201, "{}", cast.json());
    task["item"].clone()
}

/// An annotation of the model's answer as it is; the path of its review.
fn annotate(client: &Client, study: &str) -> String {
    let item = text(&vote(client, study));
    let shown = client.post(&format!("/api/v1/items/{item}/reveal"), &json!({})).json();
    let first = &shown["assessments"][0];
    let body = json!({ "text": first["text"], "source": first["id"], "base": 0 });
    let thread = client.post(&format!("/api/v1/items/{item}/annotations"), &body);
    assert_eq!(thread.status, 201, "{}", thread.json());
    format!("review/{}", text(&thread.json()["id"]))
}

#[test]
fn browser_nothing_on_any_page_keeps_people_out() {
    let stranger = Browser::open("accessibility_stranger");
    let mut findings = Findings::default();
    let place = place(&stranger, &mut findings);
    drop(stranger);
    let (url, admin) = (&place.server.client.url, &place.admin);
    let study = |task: &str| {
        let found = place.studies.iter().find(|(name, _)| *name == task);
        &found.expect("a study of each task").1
    };
    let review = annotate(admin, study("reasoning"));
    let export = json!({ "source": { "votes": { "study": study("acr") } }, "format": "csv" });
    assert_eq!(admin.transferred(&admin.post("/api/v1/exports", &export))["state"], "done");
    let labels = json!({ "content": { "labels": { "name": "Mine", "layout": "csv" } } });
    let refused = admin.import(&labels, "labels.csv", b"image,mos\nnowhere.png,3\n");
    assert_eq!(admin.transferred(&refused)["state"], "failed");
    let _ = vote(admin, study("acr"));
    let (first, second) = (&place.images[0], &place.images[1]);

    let browser = open_as("accessibility", url, "admin");
    let pages = [
        (String::new(), "mountains-blurred.jpg"),
        (format!("images/{first}"), "Sharpness"),
        (format!("images/{first}/compare"), "nano-ci"),
        ("compare".to_owned(), "All 4 images with both answers"),
        (format!("side-by-side?images={first},{second}"), "100 %"),
        ("studies".to_owned(), "Of pairs"),
        (format!("studies/{}", study("reasoning")), "Make a dataset"),
        (format!("studies/{}/statistics", study("acr")), "Krippendorff"),
        (format!("studies/{}/annotate", study("acr")), "The whole image"),
        (format!("studies/{}/annotate", study("attributes")), "Attributes"),
        (format!("studies/{}/annotate", study("pairs")), "Which is better?"),
        (format!("studies/{}/annotate", study("reasoning")), "The whole image"),
        ("review".to_owned(), "Of reasoning"),
        (review, "wrote version 1"),
        ("transfers".to_owned(), "nowhere.png"),
        ("users".to_owned(), "grace@example.org"),
        ("account".to_owned(), "a test"),
        ("audit".to_owned(), "study.create"),
        ("storage".to_owned(), "Size with indexes"),
        ("health".to_owned(), "PostgreSQL"),
        ("nowhere".to_owned(), "There is no such page"),
    ];
    for (path, expected) in pages {
        browser.goto(&format!("{url}/{path}"));
        browser.shows(expected);
        findings.look(&browser, &format!("/{path}"));
    }
    browser.goto(&format!("{url}/quick-score"));
    browser.shows("This browser keeps the model");
    findings.look(&browser, "/quick-score");
    browser.pick_in("quick-files", &root().join("tests/fixtures/photographs/brook-blurred.jpg"));
    browser.click("Explain");
    browser.shows("tokens in");
    findings.look(&browser, "/quick-score with reasons");
    with_something_open(&browser, &mut findings, (url, study("attributes"), study("acr")), admin);
    corrections(&browser, &mut findings, url, study("reasoning"), admin);
    browser.goto(&format!("{url}/users"));
    browser.shows("Sign in");
    sign_in(&browser, "admin");
    browser.shows("grace@example.org");
    browser.fill("invite-note", "somebody");
    browser.click("Make a link");
    browser.shows("The link works once");
    findings.look(&browser, "a new link");
    findings.assert_none();
}

/// Dialogs, forms and messages that lie over a page or fold out of it.
fn with_something_open(
    browser: &Browser,
    findings: &mut Findings,
    (url, attributes, acr): (&str, &str, &str),
    admin: &Client,
) {
    browser.goto(url);
    browser.shows("mountains-blurred.jpg");
    browser.press("?");
    browser.shows("show these keys");
    findings.look(browser, "the keys");
    browser.press("\u{e00c}");
    browser.press("r");
    browser.shows("New photos are assessed with reasons.");
    findings.look(browser, "a message");
    browser.goto(&format!("{url}/studies/{attributes}"));
    browser.click("Add images");
    browser.wait_until("there are images to pick", || browser.text().contains("Pick all shown"));
    browser.click("Pick all shown");
    browser.click("Edit the guidelines");
    findings.look(browser, "a study with its forms");
    browser.goto(&format!("{url}/account"));
    browser.click("Make a token");
    browser.fill("token-name", "for a script");
    browser.click("Make the token");
    browser.shows("The new token.");
    findings.look(browser, "a new token");
    browser.goto(&format!("{url}/studies/{attributes}/annotate"));
    browser.shows("Attributes");
    for key in ["2", "n", "4", "s"] {
        browser.press(key);
    }
    browser.press("g");
    browser.shows("What is wrong with the image?");
    browser.fill("ask", "It is upside down\u{e007}");
    browser.shows("Flagged: It is upside down");
    browser.press("x");
    browser.shows("Why do you skip it?");
    findings.look(browser, "skipping");
    while votes(admin, acr) != 4 {
        let _ = vote(admin, acr);
    }
    browser.goto(&format!("{url}/studies/{acr}/annotate"));
    browser.shows("That was all.");
    findings.look(browser, "the end of a study");
}

/// The correction of what a model says, and the dialog over it once the session has ended.
fn corrections(browser: &Browser, findings: &mut Findings, url: &str, study: &str, admin: &Client) {
    browser.goto(&format!("{url}/studies/{study}/annotate"));
    browser.shows("The whole image");
    browser.press("2");
    browser.press("\u{e007}");
    browser.shows("On the left the original");
    browser.fill_labelled("Summary, corrected", "Seen with my own eyes.");
    browser.shows("Draft saved");
    findings.look(browser, "a correction");
    assert_eq!(admin.delete("/api/v1/sessions").status, 204);
    browser.fill_labelled("Summary, corrected", "Seen again.");
    browser.shows("Your session has ended.");
    findings.look(browser, "a session that has ended");
}
