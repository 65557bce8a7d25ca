//! More than a megabyte pasted into every field: said clearly, nothing cut off or lost, and the page works on.

use qponder_tests::browser::Browser;
use qponder_tests::client::text;
use qponder_tests::people::invite;
use qponder_tests::site::{open_as, votes};
use serde_json::json;

use super::{Place, rate_and_correct};

/// Keeps the status of every answer.
const LISTEN: &str = "(() => {
    const ask = window.fetch;
    window.statuses = [];
    window.fetch = async (...request) => {
        const answer = await ask(...request);
        window.statuses.push(answer.status);
        return answer;
    };
})()";

/// What is pasted: for a field that the browser itself checks, something that it lets pass.
fn much(field: &str) -> String {
    if field.ends_with("email") {
        return "a".repeat(1_200_000) + "@example.org";
    }
    "many words ".repeat(110_000) + "end"
}

/// Pastes into a field by its CSS selector, in place of what it holds.
fn paste(browser: &Browser, field: &str, text: &str) {
    let focus =
        "const field = document.querySelector(arguments[0]); field?.focus(); field?.select(); return !!field";
    browser.wait_until(&format!("there is {field}"), || browser.script(focus, &[json!(field)]) == true);
    browser.insert(text);
}

/// Pastes too much, sends it and is told so; what was pasted is all there.
fn is_refused(browser: &Browser, field: &str, button: &str, reason: &str) {
    let much = much(field);
    paste(browser, field, &much);
    browser.click(button);
    browser.shows(reason);
    assert_eq!(browser.value(field).trim().len(), much.len(), "{field}");
    assert!(!browser.text().contains("can’t be reached"), "{field}");
    let failed = "return (window.statuses ?? []).filter((status) => status >= 500 || status === 413)";
    assert_eq!(browser.script(failed, &[]), json!([]), "{field}");
}

#[test]
fn browser_megabytes_in_the_fields_of_those_who_run_a_study() {
    let place = Place::new();
    let url = &place.server.client.url;
    let study = place.study("acr");
    let browser = open_as("megabytes_lead", url, "admin");
    browser.before_every_page(LISTEN);
    browser.goto(&format!("{url}/studies"));
    is_refused(&browser, "#study-name", "Make the study", "The name must have 1 to 120 characters.");
    paste(&browser, "#study-name", "A short name");
    let reason = "The guidelines must have 0 to 65536 characters.";
    is_refused(&browser, "#study-guidelines", "Make the study", reason);
    // As long as they may be, in a script of three bytes a letter.
    let longest = "看".repeat(65_536);
    paste(&browser, "#study-guidelines", &longest);
    browser.click("Make the study");
    browser.shows("There are none yet. Add some below.");
    let newest = place.admin.get("/api/v1/studies").json()["items"][0].clone();
    assert_eq!((&newest["name"], text(&newest["guidelines"])), (&json!("A short name"), longest));

    browser.goto(&format!("{url}/studies/{study}"));
    browser.click("Edit the guidelines");
    is_refused(&browser, "#guidelines-text", "Save", reason);
    paste(&browser, "#guidelines-text", "Short ones.");
    browser.click("Save");
    browser.wait_until("they are saved", || {
        place.admin.get(&format!("/api/v1/studies/{study}")).json()["guidelines"] == "Short ones."
    });
    is_refused(&browser, "#member-email", "Add", "The e-mail address must look like name@example.org");
    browser.goto(&format!("{url}/users"));
    is_refused(&browser, "#invite-note", "Make a link", "A name must have 1 to 100 characters");
    paste(&browser, "#invite-note", "somebody");
    browser.click("Make a link");
    browser.shows("The link works once");

    browser.goto(&format!("{url}/account"));
    browser.click("Make a token");
    is_refused(&browser, "#token-name", "Make the token", "A name must have 1 to 100 characters");
    paste(&browser, "#token-name", "a token");
    browser.click("Make the token");
    browser.shows("The new token.");
    paste(&browser, "#current-password", "correct horse battery staple");
    is_refused(&browser, "#new-password", "Change password", "The password must have at most 1024 bytes.");
    paste(&browser, "#new-password", "another horse battery staple");
    is_refused(&browser, "#current-password", "Change password", "The current password is wrong.");
    browser.click("Sign out");
    browser.shows("E-mail address");
    paste(&browser, "#password", "correct horse battery staple");
    is_refused(&browser, "#email", "Sign in", "The e-mail address must look like name@example.org");
    paste(&browser, "#email", "admin@example.org");
    is_refused(&browser, "#password", "Sign in", "The password must have at most 1024 bytes.");

    browser.goto(&format!("{url}/welcome#{}", invite(&place.admin, "annotator")));
    browser.shows("You are invited as annotator");
    paste(&browser, "#email", "grace@example.org");
    paste(&browser, "#password", "correct horse battery staple");
    is_refused(&browser, "#name", "Join", "A name must have 1 to 100 characters");
    paste(&browser, "#name", "Grace");
    is_refused(&browser, "#email", "Join", "The e-mail address must look like name@example.org");
    paste(&browser, "#email", "grace@example.org");
    is_refused(&browser, "#password", "Join", "The password must have at most 1024 bytes.");
    paste(&browser, "#password", "correct horse battery staple");
    browser.click("Join");
    browser.shows("brook.jpg");
}

#[test]
fn browser_megabytes_in_the_fields_of_those_who_annotate_and_review() {
    let place = Place::new();
    let url = &place.server.client.url;
    let study = place.study("reasoning");
    let browser = open_as("megabytes_annotator", url, "ada");
    browser.before_every_page(LISTEN);
    browser.goto(&place.annotate(&study));
    browser.shows("The whole image");
    browser.press("x");
    is_refused(&browser, "#ask", "OK", "What you say must have 0 to 2000 characters.");
    browser.click("Cancel");
    browser.press("g");
    is_refused(&browser, "#ask", "OK", "What you say must have 0 to 2000 characters.");
    paste(&browser, "#ask", "upside down");
    browser.click("OK");
    browser.shows("Flagged: upside down");
    rate_and_correct(&browser);
    assert_eq!(votes(&place.admin, &study), 1);
    let too_long = "The annotation must have 1 to 16384 characters.";
    for (field, words) in [
        ("textarea[aria-label='Summary, corrected']", "It is blurred."),
        ("textarea[aria-label='Noise, corrected']", "hardly any"),
    ] {
        is_refused(&browser, field, "Send", too_long);
        browser.shows("Too long to be saved: make it shorter");
        paste(&browser, field, words);
        browser.shows("Draft saved");
    }
    is_refused(&browser, "input[aria-label='Score, corrected']", "Send", "is no score from 1.00 to 5.00");
    paste(&browser, "input[aria-label='Score, corrected']", "2.5");
    browser.click("Send");
    browser.shows("The whole image");
    let versions = place.versions().to_string();
    assert!(versions.contains("It is blurred.") && versions.contains("hardly any"), "{versions}");

    let lead = open_as("megabytes_reviewer", url, "rhea");
    lead.before_every_page(LISTEN);
    let thread = text(&place.admin.get("/api/v1/annotations").json()["items"][0]["id"]);
    lead.goto(&format!("{url}/review/{thread}"));
    for button in ["Return", "Only comment"] {
        is_refused(&lead, "#review-comment", button, "The comment must have");
        let _ = lead.script("document.querySelector('[aria-label=Dismiss]').click()", &[]);
    }
    paste(&lead, "#review-comment", "Say where.");
    let summary = "textarea[aria-label='Summary, corrected']";
    is_refused(&lead, summary, "Fix and accept", too_long);
    paste(&lead, summary, "It is blurred at its edges.");
    lead.click("Fix and accept");
    lead.shows("Fixed.");
    assert!(place.versions()[1].as_str().is_some_and(|text| text.contains("at its edges")));
}
