//! Two tabs of one person on the same item.

use qponder_tests::site::{open_as, votes};
use serde_json::json;

use super::{Place, rate_and_correct, summary, write_summary};

#[test]
fn browser_two_tabs_on_one_correction_lose_nothing() {
    let place = Place::new();
    let study = place.study("reasoning");
    let work = place.annotate(&study);
    let browser = open_as("two_tabs_correction", &work, "ada");
    rate_and_correct(&browser);
    let first = browser.tab();
    let second = browser.new_tab();
    browser.goto(&work);
    browser.shows("On the left the original");

    browser.turn_to(&first);
    write_summary(&browser, "Written in the first tab.");
    browser.shows("Draft saved");
    browser.turn_to(&second);
    write_summary(&browser, "Written in the second tab.");
    browser.shows("Another tab or machine of yours saved this image too.");
    browser.picture("two-tabs");
    // The first goes on as if nothing had happened, and the second keeps what it has, though it is reloaded.
    browser.turn_to(&first);
    write_summary(&browser, "Written in the first tab, and more.");
    browser.shows("Draft saved");
    assert!(!browser.text().contains("Another tab"), "the first tab was first");
    browser.turn_to(&second);
    browser.goto(&work);
    browser.shows("Another tab or machine of yours saved this image too.");
    browser.wait_until("its words are there", || summary(&browser) == "Written in the second tab.");

    // It looks at the other's words, takes that back, and keeps its own.
    browser.click("Show the other");
    browser.wait_until("the other's words", || summary(&browser) == "Written in the first tab, and more.");
    browser.click("Mine again");
    browser.wait_until("its own words", || summary(&browser) == "Written in the second tab.");
    browser.shows("Draft saved");
    browser.turn_to(&first);
    write_summary(&browser, "The first tab does not give in.");
    browser.shows("Another tab or machine of yours saved this image too.");
    browser.click("Keep this one");
    browser.shows("Draft saved");

    // Both send: the second hears of the first one's version, keeps its words, and adds to it.
    browser.click("Send");
    browser.shows("The whole image");
    browser.turn_to(&second);
    browser.click("Send");
    browser.shows("Somebody wrote version 1 meanwhile");
    assert_eq!(summary(&browser), "Written in the second tab.");
    browser.wait_until("it can be sent after all", || {
        browser.click("Send");
        place.versions().as_array().is_some_and(|all| all.len() == 2)
    });
    let versions = place.versions().to_string();
    for words in ["The first tab does not give in.", "Written in the second tab."] {
        assert!(versions.contains(words), "{words} is not in {versions}");
    }
}

#[test]
fn browser_two_tabs_do_not_rate_twice_unawares() {
    let place = Place::new();
    let study = place.study("acr");
    let work = place.annotate(&study);
    let browser = open_as("two_tabs_votes", &work, "ada");
    browser.shows("The whole image");
    let first = browser.tab();
    let second = browser.new_tab();
    browser.goto(&work);
    browser.shows("The whole image");

    browser.turn_to(&first);
    browser.press("4");
    browser.press("\u{e007}");
    browser.shows("1 of 4");
    browser.wait_until("the vote has arrived", || votes(&place.admin, &study) == 1);
    browser.turn_to(&second);
    browser.shows("You rated this image in another tab.");
    browser.click("Go on without");
    browser.wait_until("the next one is in view", || !browser.text().contains("in another tab"));
    browser.press("2");
    browser.press("\u{e007}");
    browser.wait_until("the second vote has arrived", || votes(&place.admin, &study) == 2);
    // What the second tab rated is in view in the first, which may think better of it.
    browser.turn_to(&first);
    browser.shows("You rated this image in another tab.");
    browser.press("1");
    browser.press("\u{e007}");
    browser.wait_until("it took the place of the other", || place.all_votes() == 3);
    assert_eq!(votes(&place.admin, &study), 2);
    for done in [3, 4] {
        browser.shows("The whole image");
        browser.press("5");
        browser.press("\u{e007}");
        browser.wait_until("it has arrived", || votes(&place.admin, &study) == done);
    }
    browser.shows("That was all.");
    assert_eq!(place.all_votes(), 5);
    let newest = place.query(
        "select json_agg(score order by at) from (select distinct on (item_id) score, \
         min(created_at) over (partition by item_id) as at from votes order by item_id, id desc) as newest",
    );
    assert_eq!(newest, json!([4, 1, 5, 5]));
}
