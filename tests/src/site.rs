//! A server with accounts and the built page, and what people find there: photographs, studies, votes.

use std::path::Path;

use serde_json::{Value, json};

use crate::browser::Browser;
use crate::client::{Client, text};
use crate::people::{PASSWORD, first_admin};
use crate::server::{Server, root};

/// A new server with accounts and the built page; its first admin.
#[must_use]
pub fn serve(data_dir: &Path) -> (Server, Client) {
    serve_with(data_dir, &[])
}

/// The same with more arguments.
#[must_use]
pub fn serve_with(data_dir: &Path, arguments: &[&str]) -> (Server, Client) {
    let (server, link) = serve_new(data_dir, arguments);
    let admin = first_admin(&server.client, &link);
    (server, admin)
}

/// The same before anybody has an account; also the link for the first admin.
#[must_use]
pub fn serve_new(data_dir: &Path, arguments: &[&str]) -> (Server, String) {
    let page = root().join("target/web");
    assert!(page.join("index.html").is_file(), "the page is not built; run `cargo xtask web`");
    let page = page.to_string_lossy();
    let arguments = [&["--web-dir", &*page], arguments].concat();
    Server::start_new_with_accounts(data_dir, &arguments)
}

/// Opens a page for somebody, whose address is `{who}@example.org`.
#[must_use]
pub fn open_as(name: &'static str, url: &str, who: &str) -> Browser {
    let browser = Browser::open(name);
    browser.goto(url);
    sign_in(&browser, who);
    browser
}

/// Signs somebody in where the page asks for it.
pub fn sign_in(browser: &Browser, who: &str) {
    browser.fill("email", &format!("{who}@example.org"));
    browser.fill("password", PASSWORD);
    browser.click("Sign in");
    let is_asked = "return !!document.getElementById('password')";
    browser.wait_until("somebody is signed in", || browser.script(is_asked, &[]) == false);
}

/// The photographs of the fixtures, uploaded.
#[must_use]
pub fn add_photographs(admin: &Client) -> Vec<String> {
    ["brook.jpg", "brook-blurred.jpg", "mountains.jpg", "mountains-blurred.jpg"]
        .map(|name| {
            let bytes =
                std::fs::read(root().join("tests/fixtures/photographs").join(name)).expect("a fixture");
            admin.add_image(name, &bytes)
        })
        .to_vec()
}

/// A study of images with members, by their names; its id.
#[must_use]
pub fn make_study(admin: &Client, study: &Value, images: &[String], members: &[&str]) -> String {
    let made = admin.post("/api/v1/studies", study);
    assert_eq!(made.status, 201, "{}", made.json());
    let study = text(&made.json()["id"]);
    let items = admin.post(&format!("/api/v1/studies/{study}/items"), &json!({ "images": images }));
    assert_eq!(items.status, 200, "{}", items.json());
    for name in members {
        let member = json!({ "email": format!("{name}@example.org") });
        assert_eq!(admin.post(&format!("/api/v1/studies/{study}/members"), &member).status, 201);
    }
    study
}

/// How many votes a study has: one for each item and person.
#[must_use]
pub fn votes(admin: &Client, study: &str) -> Value {
    admin.get(&format!("/api/v1/studies/{study}")).json()["counts"]["votes"].clone()
}

/// What on the page reaches beyond the window's right side, but for what lies in a frame that scrolls; nothing where all is
/// well.
#[must_use]
pub fn too_wide(browser: &Browser) -> Value {
    let wide = "return [...document.querySelectorAll('body *')].filter((one) => \
                one.getBoundingClientRect().right > document.documentElement.clientWidth + 1 \
                && !one.closest('.sr, .skip, .stage') && !one.parentElement.closest('.table-frame')).map((one) => one.className || one.tagName).slice(0, 3).join()";
    browser.script(wide, &[])
}
