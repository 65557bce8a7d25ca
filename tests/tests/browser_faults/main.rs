//! What goes wrong around a person at work, in a real browser: a second tab, a wrong clock, a key pressed
//! twice, an answer or a network that gets lost, a session that ends, megabytes and scripts in every field,
//! and files with hostile names.

mod clocks;
mod megabytes;
mod names;
mod network;
mod scripts;
mod tabs;
mod twice;

use qponder_tests::browser::Browser;
use qponder_tests::client::Client;
use qponder_tests::people::new_user;
use qponder_tests::server::{Server, data_dir};
use qponder_tests::site::{add_photographs, make_study, serve};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A server where Ada annotates and Rhea reviews four photographs.
struct Place {
    server: Server,
    admin: Client,
    ada: Client,
    images: Vec<String>,
    /// Gone after the server that works in it.
    data: TempDir,
}

impl Place {
    fn new() -> Self {
        let data = data_dir();
        let (server, admin) = serve(data.path());
        let images = add_photographs(&admin);
        let ada = new_user(&server.client, &admin, "annotator", "ada");
        let _ = new_user(&server.client, &admin, "reviewer", "rhea");
        Self { server, admin, ada, images, data }
    }

    /// A study of the photographs, with Ada in it. For one of reasoning the model has its say first.
    fn study(&self, task: &str) -> String {
        if task == "reasoning" {
            for image in &self.images {
                assert_eq!(self.admin.assess(&json!({ "image_id": image }))["status"], "done");
            }
        }
        let study = json!({ "name": format!("Of {task}"), "task": task, "overlap": 1, "seed": 4 });
        make_study(&self.admin, &study, &self.images, &["ada"])
    }

    /// The page where Ada rates a study.
    fn annotate(&self, study: &str) -> String {
        format!("{}/studies/{study}/annotate", self.server.client.url)
    }

    /// A query for one JSON value behind the server's back.
    fn query(&self, sql: &str) -> Value {
        qponder_tests::database::query(self.data.path(), sql)
    }

    /// All votes that there are, those that took the place of others included.
    fn all_votes(&self) -> Value {
        self.query("select count(*) from votes")
    }

    /// Words of all summaries in versions of annotations, oldest first.
    fn versions(&self) -> Value {
        self.query("select coalesce(json_agg(text order by created_at), '[]') from annotations")
    }
}

/// Presses keys where the focus is, one after another before the page can do anything about the first.
fn press_at_once(browser: &Browser, keys: &[&str]) {
    let press = "for (const key of arguments[0]) (document.activeElement ?? document.body).dispatchEvent(\
                 new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true }))";
    let _ = browser.script(press, &[json!(keys)]);
}

/// Clicks the button of a text twice before the page can do anything about the first.
fn click_twice(browser: &Browser, text: &str) {
    let click = "const it = [...document.querySelectorAll('button')].find((one) => \
                 one.innerText?.trim() === arguments[0] && !one.disabled); it?.click(); it?.click(); return !!it";
    browser.wait_until(&format!("{text:?} can be clicked"), || browser.script(click, &[json!(text)]) == true);
}

/// Ada rates the image in view, and has what the model says of it before her.
fn rate_and_correct(browser: &Browser) {
    browser.shows("The whole image");
    browser.press("2");
    browser.press("\u{e007}");
    browser.shows("On the left the original, on the right yours");
}

/// What stands in the summary of the correction.
fn summary(browser: &Browser) -> String {
    browser.value("textarea[aria-label='Summary, corrected']")
}

fn write_summary(browser: &Browser, words: &str) {
    browser.fill_labelled("Summary, corrected", words);
}
