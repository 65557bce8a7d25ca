//! A network that goes and comes back, and a session that ends, in the middle of somebody's work.

use qponder_tests::people::{PASSWORD, sign_in, signed_in};
use qponder_tests::site::{open_as, votes};

use super::{Place, rate_and_correct, summary, write_summary};

#[test]
fn browser_work_survives_a_network_that_is_gone() {
    let place = Place::new();
    let study = place.study("reasoning");
    let browser = open_as("network_gone", &place.annotate(&study), "ada");
    rate_and_correct(&browser);
    write_summary(&browser, "Begun with a network.");
    browser.shows("Draft saved");
    browser.set_offline(true);
    write_summary(&browser, "Finished without one.");
    browser.shows("Kept on this machine; the server does not answer");
    browser.click("Send");
    browser.shows("server can’t be reached");
    browser.picture("offline");
    assert_eq!(summary(&browser), "Finished without one.");
    assert_eq!(place.versions().as_array().map(Vec::len), Some(0));
    browser.set_offline(false);
    browser.shows("Draft saved");
    browser.click("Send");
    browser.shows("The whole image");
    assert!(place.versions()[0].as_str().is_some_and(|text| text.contains("Finished without one.")));

    // A vote that is given meanwhile arrives when the network is back, and the work goes on from there.
    browser.set_offline(true);
    browser.press("4");
    browser.press("\u{e007}");
    browser.shows("Sending 1 vote");
    assert_eq!(votes(&place.admin, &study), 1);
    browser.set_offline(false);
    browser.shows("On the left the original");
    assert_eq!((votes(&place.admin, &study), place.all_votes()), (2.into(), 2.into()));
}

#[test]
fn browser_a_correction_survives_the_end_of_its_session() {
    let place = Place::new();
    let study = place.study("reasoning");
    let browser = open_as("correction_survives", &place.annotate(&study), "ada");
    rate_and_correct(&browser);
    write_summary(&browser, "Before the session ended.");
    browser.shows("Draft saved");
    assert_eq!(place.ada.delete("/api/v1/sessions").status, 204);
    write_summary(&browser, "After the session ended.");
    browser.shows("Your session has ended.");
    browser.fill("password", PASSWORD);
    browser.click("Sign in");
    browser.wait_until("the dialog is gone", || !browser.text().contains("Sign in again"));
    assert_eq!(summary(&browser), "After the session ended.");
    browser.shows("Draft saved");
    let draft = place.query("select body->'correction'->'summary' from drafts");
    assert_eq!(draft, "After the session ended.");

    // The same when it ends just before the correction is sent: it goes out once somebody is signed in.
    let client = &place.server.client;
    let again = signed_in(client, &sign_in(client, "ada@example.org", PASSWORD));
    assert_eq!(again.delete("/api/v1/sessions").status, 204);
    browser.click("Send");
    browser.shows("Your session has ended.");
    assert_eq!(place.versions().as_array().map(Vec::len), Some(0));
    browser.fill("password", PASSWORD);
    browser.click("Sign in");
    browser.shows("The whole image");
    let versions = place.versions();
    assert_eq!(versions.as_array().map(Vec::len), Some(1));
    assert!(versions[0].as_str().is_some_and(|text| text.contains("After the session ended.")), "{versions}");
}

#[test]
fn browser_a_vote_arrives_though_the_browser_has_no_room_to_keep_it() {
    let place = Place::new();
    let study = place.study("acr");
    let browser = open_as("no_room", &place.annotate(&study), "ada");
    browser.shows("The whole image");
    let fill = "let size = 1 << 22, at = 0;\
                while (size > 0) try { localStorage.setItem('filler' + at++, 'x'.repeat(size)) } catch { size >>= 1 }\
                try { localStorage.setItem('more', 'x'.repeat(64)); return false } catch { return true }";
    assert_eq!(browser.script(fill, &[]), true, "there is still room");
    for done in 1..=4 {
        browser.shows("The whole image");
        browser.press("3");
        browser.press("\u{e007}");
        browser.wait_until("it has arrived", || votes(&place.admin, &study) == done);
    }
    browser.shows("That was all.");
}
