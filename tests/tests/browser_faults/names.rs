//! Photographs whose names are made to deceive, uploaded through the page.

use qponder_tests::browser::Browser;
use qponder_tests::pictures::png;
use qponder_tests::site::{open_as, too_wide};
use serde_json::{Value, json};

use super::Place;

/// What a file is called, and what the page shows of it. Browsers write a quote in a form as `%22`.
fn names() -> Vec<(String, String)> {
    let given = [
        ("photo\u{202e}gnp.exe.png", "photognp.exe.png"),
        ("two\nlines\r\nand\ttabs.png", "twolinesandtabs.png"),
        ("..%2f..%2fetc%2fpasswd.png", "..%2f..%2fetc%2fpasswd.png"),
        ("..\\..\\windows\\evil.png", "evil.png"),
        ("quote\"; filename=evil.exe; x=\".png", "quote\"; filename=evil.exe; x=\".png"),
        ("it's `$(reboot)` & <b>bold<b>.png", "it's `$(reboot)` & <b>bold<b>.png"),
        ("100%25 %00 %s %n.png", "100%25 %00 %s %n.png"),
        ("🦆🌊👨‍👩‍👧 é.png", "🦆🌊👨👩👧 é.png"),
        ("CON.png", "CON.png"),
        (".htaccess.png", ".htaccess.png"),
        ("\u{feff}\u{200b}.png", ".png"),
        ("https:example.org?a=b#c.png", "https:example.org?a=b#c.png"),
    ];
    let mut names: Vec<(String, String)> =
        given.iter().map(|(name, shown)| ((*name).to_owned(), (*shown).to_owned())).collect();
    names.push((
        format!("{}.png", "long".repeat(60)),
        format!("{}…longlong.png", "long".repeat(47).get(..187).unwrap_or_default()),
    ));
    names
}

/// Chooses files of any name, as the file chooser would hand them over.
fn choose(browser: &Browser, files: &[(String, Vec<u8>)]) {
    let choose = "const chosen = new DataTransfer();\
                  for (const [name, bytes] of arguments[0]) \
                      chosen.items.add(new File([new Uint8Array(bytes)], name, { type: 'image/png' }));\
                  const input = document.querySelector('input[type=file]');\
                  input.files = chosen.files; input.dispatchEvent(new Event('change', { bubbles: true }))";
    let _ = browser.script(choose, &[json!(files)]);
}

#[test]
fn browser_names_of_files_deceive_nobody() {
    let place = Place::new();
    let url = &place.server.client.url;
    let browser = open_as("hostile_names", url, "rhea");
    browser.shows("mountains.jpg");
    let names = names();
    let files: Vec<_> =
        names.iter().zip(1..).map(|((name, _), seed)| (name.clone(), png(56, 56, seed))).collect();
    choose(&browser, &files);
    let listed = || place.admin.get("/api/v1/images?limit=50").json()["items"].clone();
    browser.wait_until("all have arrived and are assessed", || {
        let all = listed();
        let is_done = |image: &Value| image["format"] != "png" || !image["latest"].is_null();
        all.as_array().is_some_and(|all| all.len() == names.len() + 4 && all.iter().all(is_done))
    });
    browser.goto(url);
    let all = listed();
    let find = |shown: &str| {
        let found = all.as_array().and_then(|all| all.iter().find(|image| image["name"] == shown));
        found.unwrap_or_else(|| panic!("there is no {shown:?} among {all}"))
    };
    for (_, shown) in &names {
        let image = find(shown);
        browser.wait_until(&format!("{shown:?} is in the gallery"), || {
            let has = "return [...document.querySelectorAll('main *')].some((one) => one.textContent === arguments[0])";
            browser.script(has, &[json!(shown)]) == true
        });
        let id = image["id"].as_str().expect("an id");
        let original = place.admin.get(&format!("/api/v1/images/{id}/original"));
        assert_eq!((original.status, original.header("content-type")), (200, "image/png"));
        let disposition = original.header("content-disposition");
        let encoded = disposition.strip_prefix("inline; filename*=UTF-8''");
        let encoded = encoded.unwrap_or_else(|| panic!("{disposition:?}"));
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte);
        assert!(encoded.bytes().all(is_plain), "{disposition:?}");
        for hidden in ["%E2%80%AE", "%0A", "%0D", "%2F", "%5C"] {
            assert!(!encoded.contains(hidden), "{disposition:?}");
        }
        // What is fetched is what was sent.
        let sent = files.iter().zip(&names).find(|(_, (_, name))| name == shown).map(|(file, _)| &file.1);
        assert_eq!(Some(&original.body), sent, "{shown:?}");
    }
    // On a phone nothing is wider than the screen, on any page that shows a name.
    browser.resize(390, 860);
    let long = find(&names[names.len() - 1].1)["id"].as_str().expect("an id").to_owned();
    let other = find(&names[4].1)["id"].as_str().expect("an id").to_owned();
    let study = qponder_tests::site::make_study(
        &place.admin,
        &json!({ "name": "Names", "task": "acr", "overlap": 1 }),
        &[long.clone(), other.clone()],
        &[],
    );
    for (path, expected) in [
        (String::new(), "evil.png"),
        (format!("images/{long}"), "longlong.png"),
        (format!("images/{long}/compare"), "longlong.png"),
        (format!("side-by-side?images={long},{other}"), "100 %"),
        (format!("studies/{study}"), "People"),
        ("compare".to_owned(), "Compare"),
    ] {
        browser.goto(&format!("{url}/{path}"));
        browser.shows(expected);
        assert_eq!(too_wide(&browser), "", "/{path} is wider than a phone");
        browser.picture(&format!("names-{}", path.split(['/', '?']).next().unwrap_or_default()));
    }
}
