//! Storage, health and the audit log on the page, and an item of a study that becomes gold.

use qponder_tests::server::data_dir;
use qponder_tests::site::{add_photographs, make_study, open_as, serve, too_wide};
use serde_json::json;

#[test]
fn browser_an_administrator_sees_what_is_there_and_what_was_done() {
    let data_dir = data_dir();
    let (server, admin) = serve(data_dir.path());
    let url = server.client.url.clone();
    let images = add_photographs(&admin);
    let study = make_study(
        &admin,
        &json!({ "name": "Brooks", "task": "acr", "overlap": 2 }),
        &images[..3],
        &["admin"],
    );

    let browser = open_as("administration", &format!("{url}/storage"), "admin");
    browser.shows("Size with indexes");
    browser.click("Count the files");
    browser.shows("Counted ");
    let files = "return [...document.querySelectorAll('#files ~ table tbody tr, section table tbody tr')] \
                 .map((row) => row.innerText.replace(/\\s+/g, ' ')).find((row) => row.startsWith('Originals'))";
    browser.wait_until("four photographs are counted", || {
        browser.script(files, &[]).as_str().is_some_and(|row| row.starts_with("Originals 4 "))
    });
    browser.picture("storage");

    browser.click("Health");
    browser.shows("PostgreSQL");
    browser.shows("All is well.");
    browser.picture("health");

    // One item becomes gold.
    browser.goto(&format!("{url}/studies/{study}"));
    browser.shows("brook.jpg");
    let first = "document.querySelector('.strip button').click(); return true";
    browser.wait_until("an item opens", || browser.script(first, &[]) == true);
    browser.choose("edit-kind", "gold");
    browser.choose("edit-expected", "good");
    browser.click("Save");
    // The word stands in the form as well, so the page alone does not tell when it is saved.
    browser.wait_until("one item is gold, with its answer", || {
        let items = admin.get(&format!("/api/v1/studies/{study}/items")).json();
        let items = items["items"].as_array().expect("items").clone();
        let gold: Vec<_> = items.iter().filter(|item| item["kind"] == "gold").collect();
        gold.len() == 1 && gold[0]["expected"] == json!(4.0)
    });
    browser.shows("gold");

    // Its history: a link from the study, under filters that stand in the address.
    browser.click("History");
    browser.shows("study.change_item");
    assert!(browser.url().contains(&study), "{}", browser.url());
    browser.click("Clear");
    browser.shows("image.add");
    browser.choose("audit-noun", "study");
    let lines = "return [...document.querySelectorAll('.log tbody code')].map((code) => code.innerText)";
    browser.wait_until("only studies are shown", || {
        let shown = browser.script(lines, &[]);
        let shown = shown.as_array().expect("a list");
        !shown.is_empty()
            && shown.iter().all(|action| action.as_str().is_some_and(|one| one.starts_with("study.")))
    });
    assert!(browser.url().ends_with("/audit?noun=study"), "{}", browser.url());
    browser.picture("audit");
    browser.fill("audit-actor", "nobody@example.org");
    browser.click("Show");
    browser.shows("No line has all of that.");

    browser.resize(390, 844);
    for page in ["storage", "health", "audit"] {
        browser.goto(&format!("{url}/{page}"));
        browser.shows(if page == "health" { "PostgreSQL" } else { "Audit log" });
        assert_eq!(too_wide(&browser), "", "{page} is wider than a phone");
        browser.picture(&format!("{page}-phone"));
    }
    let _ = server.stop();
}
