//! Data on the page: in from an archive, out as a file, and what goes wrong told where it went wrong.

use std::fs;
use std::io::{Cursor, Write as _};

use qponder_tests::browser::Browser;
use qponder_tests::people::new_user;
use qponder_tests::pictures::png;
use qponder_tests::server::data_dir;
use qponder_tests::site::{open_as, serve, too_wide};
use serde_json::json;

fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        zip.start_file(*name, zip::write::SimpleFileOptions::default()).expect("a file");
        zip.write_all(bytes).expect("written");
    }
    zip.finish().expect("a zip").into_inner()
}

/// What the first entry of the list says.
fn first(browser: &Browser) -> String {
    let text = browser.script("return document.querySelector('.transfer')?.innerText ?? ''", &[]);
    text.as_str().unwrap_or_default().to_owned()
}

fn waits_for_first(browser: &Browser, words: &str) {
    browser.wait_until(words, || first(browser).contains(words));
}

#[test]
fn browser_data_comes_in_goes_out_and_problems_are_told() {
    let data_dir = data_dir();
    let (server, admin) = serve(data_dir.path());
    let _ = new_user(&server.client, &admin, "reviewer", "rhea");
    let place = tempfile::tempdir().expect("a folder");
    let pictures: Vec<Vec<u8>> = (0..3).map(|seed| png(40, 30, seed * 60)).collect();
    let good = zip(&[
        ("labels.csv", b"image,mos,std\na.png,1.5,0.5\nb.png,3.2,0.4\nc.png,4.5,0.6\n"),
        ("images/a.png", &pictures[0]),
        ("images/b.png", &pictures[1]),
        ("images/c.png", &pictures[2]),
    ]);
    let bad = b"image,mos\na.png,2\nnowhere.png,3\nalso-nowhere.png,4\n";
    let (good_path, bad_path) = (place.path().join("mine.zip"), place.path().join("bad.csv"));
    fs::write(&good_path, good).expect("written");
    fs::write(&bad_path, bad).expect("written");

    let browser = open_as("transfers", &server.client.url, "rhea");
    browser.click("Data");
    browser.shows("Nothing was imported or exported yet.");
    // Without a file it says what is missing.
    browser.fill("import-name", "Mine");
    browser.click("Import");
    browser.shows("Choose a file.");
    browser.pick_in("import-file", &good_path);
    browser.click("Import");
    waits_for_first(&browser, "done");
    let imported = first(&browser);
    assert!(imported.contains("3 lines · 3 new images"), "{imported}");
    assert!(imported.contains("1 to 5"), "{imported}");

    // Lines that cannot come in are listed, and nothing else is done.
    browser.pick_in("import-file", &bad_path);
    browser.click("Import");
    waits_for_first(&browser, "failed");
    let refused = first(&browser);
    assert!(refused.contains("line 3, nowhere.png: no such image is here"), "{refused}");
    assert!(refused.contains("2 with problems"), "{refused}");
    browser.picture("transfers");

    // Out again: the dataset that came in, as DeQA-Score has it.
    browser.goto(&format!("{}/transfers", server.client.url));
    browser.choose("export-what", "dataset");
    browser.choose("export-format", "deqa");
    browser.click("Export");
    waits_for_first(&browser, "done");
    let record = admin.get("/api/v1/transfers").json()["items"][0].clone();
    assert_eq!(record["query"]["format"], "deqa", "{record}");
    let file = admin.get(&format!("/api/v1/transfers/{}/file", record["id"].as_str().expect("an id")));
    let rows: serde_json::Value = serde_json::from_slice(&file.body).expect("JSON");
    assert_eq!(rows.as_array().map(Vec::len), Some(3));
    assert_eq!(rows[1]["gt_score_norm"], json!(3.2));
    browser.click("Remove file");
    browser.wait_until("the file is gone", || !first(&browser).contains("Remove file"));

    browser.resize(390, 844);
    browser.goto(&format!("{}/transfers", server.client.url));
    browser.shows("Import and export");
    waits_for_first(&browser, "done");
    assert_eq!(too_wide(&browser), "", "something is wider than a phone");
    browser.picture("transfers-phone");
    let _ = server.stop();
}
