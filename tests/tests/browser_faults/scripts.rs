//! Scripts in every text that somebody or something can write: they are shown as they were written, and
//! never run, though the page's content security policy is out of the way.

use qponder_tests::browser::Browser;
use qponder_tests::client::{Client, text};
use qponder_tests::faults::{Act, Faults};
use qponder_tests::people::{PASSWORD, first_admin, invite, signed_in};
use qponder_tests::pictures::png;
use qponder_tests::server::data_dir;
use qponder_tests::site::{open_as, serve_new};
use serde_json::{Value, json};

const IMAGE: &str = "<img src=x onerror=ran=1>";
const SCRIPT: &str = "<script>ran=1;alert(1)</script>";
const SVG: &str = "'\"><svg onload=ran=1>";
const LINK: &str = "<a href=\"javascript:ran=1\">here</a>";
/// What Markdown makes of links, pictures and HTML.
const MARKDOWN: &str = "# <img src=x onerror=ran=1>\n[link](javascript:ran=1) ![picture](x\"onerror=ran=1) \
    <javascript:ran=1> <a href=\"javascript:ran=1\">here</a>\n\n<script>ran=1</script>\n\n[ref]\n\n\
    <iframe srcdoc=\"<script>parent.ran=1</script>\"></iframe>\n\n[ref]: javascript:ran=1\n\n```<svg onload=ran=1>\nx\n```\n";

/// What could run on the page; nothing where all is well.
const DANGERS: &str = "
    const runs = (at) => /^on/i.test(at.name)
        || /^(href|src|action|formaction|data|xlink:href)$/i.test(at.name) && /^\\s*(javascript|data|vbscript):/i.test(at.value);
    const all = [...document.querySelectorAll('*')];
    const found = all.filter((one) => [...one.attributes].some(runs) || one.matches(
        'script:not([src]), iframe, object, embed, base, img[src=x], meta[http-equiv], svg[onload]'));
    return found.map((one) => one.outerHTML.slice(0, 200)).concat(window.ran ? ['it ran'] : [])";

fn answer() -> String {
    format!(
        "<think>\nsharpness: {IMAGE} (poor)\nnoise: {SCRIPT} (good)\nexposure: {SVG} (fair)\ncontrast: {LINK} (good)\n\
         colour: fine (good)\ncompression: none (good)\nAll in all {IMAGE} {SVG}.\n</think>\n<answer>2.41</answer>"
    )
}

fn post(client: &Client, path: &str, body: &Value) -> Value {
    let answer = client.post(path, body);
    assert!(answer.status < 300, "{path}: {}", answer.json());
    answer.json()
}

fn shows_and_runs_nothing(browser: &Browser, page: &str, texts: &[&str]) {
    browser.goto(page);
    for text in texts {
        browser.shows(text);
    }
    // What would run by itself has had its time.
    let _ = browser.evaluate("new Promise((done) => setTimeout(done, 50))");
    assert_eq!(browser.script(DANGERS, &[]), json!([]), "{page}");
}

#[test]
fn browser_scripts_are_text_wherever_they_are_shown() {
    let endpoint = Faults::start(|_, _| Act::Answer(answer()));
    let data = data_dir();
    let file = data.path().join("teacher.toml");
    let teacher =
        format!("[endpoint]\nbase_url = {:?}\nmodel = {IMAGE:?}\nfirst_wait = 0.01\n", endpoint.url);
    std::fs::write(&file, teacher).expect("it can be written");
    let (server, link) = serve_new(data.path(), &["--teacher-endpoint", &file.to_string_lossy()]);
    let (url, client) = (&server.client.url, &server.client);
    let admin = first_admin(client, &link);

    // A person, a photograph, a token, an invite, a study, what a model says of it, a vote, a correction, words
    // of a review, a dataset: all of them scripts.
    let join = json!({ "token": invite(&admin, "reviewer"), "email": "<img/src=x/onerror=ran=1>@example.org",
        "name": IMAGE, "password": PASSWORD });
    let person = signed_in(client, &client.post("/api/v1/invites/accept", &join));
    let image = person.add_image(&format!("{IMAGE}.png"), &png(112, 84, 3));
    // As browsers write a quote.
    let other = person.add_image(&format!("{}.png", SVG.replace('"', "%22")), &png(112, 84, 4));
    for model in [None, Some(IMAGE)] {
        for image in [&image, &other] {
            assert_eq!(person.assess(&json!({ "image_id": image, "model": model }))["status"], "done");
        }
    }
    let _ = post(&admin, "/api/v1/tokens", &json!({ "name": SCRIPT, "scopes": ["read"] }));
    let _ = post(&admin, "/api/v1/invites", &json!({ "role": "annotator", "note": SVG }));
    let study = json!({ "name": LINK, "task": "reasoning", "overlap": 2, "guidelines": MARKDOWN });
    let study = text(&post(&person, "/api/v1/studies", &study)["id"]);
    let path = format!("/api/v1/studies/{study}");
    let _ = post(&admin, &format!("{path}/items"), &json!({ "images": [image, other] }));
    for email in ["<img/src=x/onerror=ran=1>@example.org", "admin@example.org"] {
        let _ = post(&admin, &format!("{path}/members"), &json!({ "email": email }));
    }
    let task = person.get(&format!("{path}/tasks?limit=1")).json()["items"][0].clone();
    let conditions =
        json!({ "zoom": 1.0, "device_pixel_ratio": 1.0, "viewport_width": 9, "viewport_height": 9 });
    let vote = json!({ "item": task["item"], "rating": { "kind": "score", "score": 2.0 }, "key": "k", "ms": 9,
        "flag": IMAGE, "conditions": conditions });
    let _ = post(&person, &format!("{path}/votes"), &vote);
    let item = format!("/api/v1/items/{}", text(&task["item"]));
    let shown = post(&person, &format!("{item}/reveal"), &json!({}));
    let answers = shown["assessments"].as_array().expect("answers");
    let theirs = answers.iter().find(|one| one["model"] == IMAGE).expect("the teacher's");
    let words = answer().replace("colour: fine", "colour: <b onclick=ran=1>mine</b>");
    let words = json!({ "text": words, "source": theirs["id"], "base": 0 });
    let thread = text(&post(&person, &format!("{item}/annotations"), &words)["id"]);
    let _ = post(&admin, &format!("/api/v1/annotations/{thread}/comments"), &json!({ "comment": SVG }));
    let returned = json!({ "version": 1, "verdict": "returned", "comment": LINK });
    let _ = post(&admin, &format!("/api/v1/annotations/{thread}/reviews"), &returned);
    let fixed = json!({ "version": 1, "verdict": "accepted", "comment": SCRIPT });
    let _ = post(&admin, &format!("/api/v1/annotations/{thread}/reviews"), &fixed);
    let _ = post(&admin, &format!("{path}/datasets"), &json!({ "name": SVG }));

    let browser = open_as("scripts", url, "admin");
    browser.shows(&format!("{SVG}.png"));
    browser.bypass_policy();
    for (page, texts) in [
        (String::new(), vec![SVG]),
        (format!("images/{image}"), vec![IMAGE]),
        (format!("images/{image}/compare"), vec![IMAGE, SCRIPT, SVG, LINK]),
        ("compare".to_owned(), vec![IMAGE]),
        (format!("side-by-side?images={image},{other}"), vec![IMAGE, SVG]),
        ("studies".to_owned(), vec![LINK]),
        (format!("studies/{study}"), vec![LINK, IMAGE, "javascript:ran=1", SVG]),
        (format!("studies/{study}/statistics"), vec![IMAGE]),
        (format!("studies/{study}/annotate"), vec![LINK]),
        ("review".to_owned(), vec!["Nothing here."]),
        (format!("review/{thread}"), vec![IMAGE, SCRIPT, SVG, LINK]),
        ("users".to_owned(), vec![IMAGE, SVG, "<img/src=x/onerror=ran=1>@example.org"]),
        ("account".to_owned(), vec![SCRIPT]),
        ("audit".to_owned(), vec![IMAGE, SCRIPT, SVG]),
        ("%3Cimg%20src=x%20onerror=ran=1%3E".to_owned(), vec!["There is no such page"]),
        (
            "images/<script>ran=1</script>?cursor=<svg onload=ran=1>#<img src=x onerror=ran=1>".to_owned(),
            vec!["no such"],
        ),
    ] {
        shows_and_runs_nothing(&browser, &format!("{url}/{page}"), &texts);
    }
    // The queue, and the correction of what the teacher says, with the guidelines beside it.
    browser.goto(&format!("{url}/review"));
    browser.choose("queue-state", "accepted");
    browser.shows(&format!("{LINK} · {IMAGE} · version 1"));
    assert_eq!(browser.script(DANGERS, &[]), json!([]));
    browser.goto(&format!("{url}/studies/{study}/annotate"));
    browser.shows("The whole image");
    browser.click("Guidelines");
    browser.press("3");
    browser.press("\u{e007}");
    browser.shows(&format!("What {IMAGE} says"));
    browser.shows(SCRIPT);
    assert_eq!(browser.script(DANGERS, &[]), json!([]));
    // The same text as HTML would run: the test sees what it is made to see.
    let _ = browser.script("document.body.insertAdjacentHTML('beforeend', arguments[0])", &[json!(IMAGE)]);
    browser.wait_until("it runs", || browser.script("return window.ran ?? 0", &[]) == 1);
    assert_ne!(browser.script(DANGERS, &[]), json!([]));
}
