//! Whatever is pressed, clicked or sent twice is there once.

use qponder_tests::browser::Browser;
use qponder_tests::proxy::Proxy;
use qponder_tests::site::{open_as, votes};
use serde_json::json;

use super::{Place, click_twice, press_at_once, rate_and_correct, summary, write_summary};

/// Sends the form of a field twice before the page can do anything about the first.
fn submit_twice(browser: &Browser, field: &str) {
    let submit =
        "const form = document.getElementById(arguments[0]).form; form.requestSubmit(); form.requestSubmit()";
    let _ = browser.script(submit, &[json!(field)]);
}

fn count(place: &Place, table: &str) -> serde_json::Value {
    place.query(&format!("select count(*) from {table}"))
}

#[test]
fn browser_pressing_twice_is_pressing_once() {
    let place = Place::new();
    let study = place.study("reasoning");
    let ada = open_as("pressing_twice_ada", &place.annotate(&study), "ada");
    ada.shows("The whole image");
    press_at_once(&ada, &["2", "Enter", "Enter"]);
    ada.shows("On the left the original");
    assert_eq!((votes(&place.admin, &study), place.all_votes()), (json!(1), json!(1)));
    write_summary(&ada, "Sent once.");
    click_twice(&ada, "Send");
    ada.shows("The whole image");
    ada.shows("1 of 4");
    assert_eq!(place.versions().as_array().map(Vec::len), Some(1));
    // Nothing was passed over.
    for _ in 0..3 {
        rate_and_correct(&ada);
        click_twice(&ada, "Send");
    }
    ada.shows("That was all.");
    assert_eq!((place.all_votes(), count(&place, "annotations")), (json!(4), json!(4)));

    let url = &place.server.client.url;
    let lead = open_as("pressing_twice_lead", &format!("{url}/review"), "rhea");
    lead.shows("Of reasoning");
    let name = lead.script("return document.querySelector('.rows a').textContent", &[]);
    lead.click(name.as_str().expect("a name").trim());
    lead.fill("review-comment", "Hm.");
    click_twice(&lead, "Only comment");
    lead.shows("commented on version 1");
    lead.fill("review-comment", "Say where.");
    click_twice(&lead, "Return");
    lead.shows("Returned.");
    assert_eq!(count(&place, "reviews"), 2);
    lead.goto(&format!("{url}/studies"));
    lead.fill("study-name", "Once");
    submit_twice(&lead, "study-name");
    lead.shows("There are none yet. Add some below.");
    assert_eq!(place.query("select count(*) from studies where name = 'Once'"), 1);
    lead.goto(&format!("{url}/account"));
    lead.click("Make a token");
    lead.fill("token-name", "Once");
    submit_twice(&lead, "token-name");
    lead.shows("The new token.");
    assert_eq!(count(&place, "api_tokens"), 1);
}

#[test]
fn browser_two_keys_while_the_next_task_is_fetched_are_one_vote() {
    let place = Place::new();
    let study = place.study("acr");
    let browser = open_as("two_keys", &place.annotate(&study), "ada");
    for done in 1..=4 {
        browser.shows("The whole image");
        press_at_once(&browser, &["3", "Enter", "Enter", "Enter"]);
        browser.wait_until("it has arrived", || votes(&place.admin, &study) == done);
        assert_eq!(place.all_votes(), done);
    }
    browser.shows("That was all.");
    assert_eq!(place.all_votes(), 4);
}

#[test]
fn browser_what_is_sent_again_because_its_answer_got_lost_is_there_once() {
    let place = Place::new();
    let study = place.study("reasoning");
    let proxy = Proxy::start(&place.server.client.url);
    let ada = open_as("lost_answers_ada", &format!("{}/studies/{study}/annotate", proxy.url), "ada");
    ada.shows("The whole image");
    proxy.lose(&format!("POST /api/v1/studies/{study}/votes"));
    rate_and_correct(&ada);
    assert!(proxy.has_lost_all());
    assert_eq!(place.all_votes(), 1);

    // A draft whose answer got lost is no other tab's.
    proxy.lose("PUT /api/v1/items/*/draft");
    write_summary(&ada, "Sent once.");
    ada.wait_until("an answer is lost", || proxy.has_lost_all());
    ada.shows("Draft saved");
    write_summary(&ada, "Sent once, and no more.");
    ada.shows("Draft saved");
    assert!(!ada.text().contains("Another tab"), "{}", ada.text());

    proxy.lose("POST /api/v1/items/*/annotations");
    ada.click("Send");
    ada.wait_until("an answer is lost", || proxy.has_lost_all());
    assert_eq!(summary(&ada), "Sent once, and no more.");
    ada.wait_until("the server is there again", || !ada.text().contains("can’t be reached"));
    ada.click("Send");
    ada.shows("The whole image");
    assert_eq!(place.versions().as_array().map(Vec::len), Some(1));
    ada.shows("1 of 4");

    let lead = open_as("lost_answers_lead", &format!("{}/studies", proxy.url), "rhea");
    lead.fill("study-name", "Once");
    proxy.lose("POST /api/v1/studies");
    lead.click("Make the study");
    lead.shows("The server can’t be reached.");
    assert_eq!(lead.value("#study-name"), "Once");
    lead.click("Make the study");
    lead.shows("There are none yet. Add some below.");
    assert_eq!(place.query("select count(*) from studies where name = 'Once'"), 1);
    // The same again on purpose is another one.
    lead.goto(&format!("{}/studies", proxy.url));
    lead.fill("study-name", "Once");
    lead.click("Make the study");
    lead.shows("There are none yet. Add some below.");
    assert_eq!(place.query("select count(*) from studies where name = 'Once'"), 2);

    lead.goto(&format!("{}/review", proxy.url));
    lead.shows("Of reasoning");
    let name = lead.script("return document.querySelector('.rows a').textContent", &[]);
    lead.click(name.as_str().expect("a name").trim());
    lead.fill("review-comment", "Say where.");
    proxy.lose("POST /api/v1/annotations/*/reviews");
    lead.click("Return");
    lead.wait_until("an answer is lost", || proxy.has_lost_all());
    lead.wait_until("it is sent after all", || {
        let click =
            "[...document.querySelectorAll('button')].find((one) => one.innerText === 'Return')?.click()";
        let _ = lead.script(click, &[]);
        lead.text().contains("Returned.")
    });
    assert_eq!(count(&place, "reviews"), 1);
}
