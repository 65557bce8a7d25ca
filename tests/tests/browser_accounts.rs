//! Accounts as people meet them: the first link, an invite, two browsers, a session that ends.

use qponder_tests::browser::Browser;
use qponder_tests::client::text;
use qponder_tests::people::{PASSWORD, first_admin, new_user, sign_in, signed_in, token};
use qponder_tests::server::{data_dir, root};
use qponder_tests::site::serve_new;
use serde_json::json;

fn join(browser: &Browser, name: &str, email: &str, button: &str) {
    browser.fill("name", name);
    browser.fill("email", email);
    browser.fill("password", PASSWORD);
    browser.click(button);
}

#[test]
fn browser_from_the_first_link_to_a_second_person() {
    let data_dir = data_dir();
    let (server, link) = serve_new(data_dir.path(), &[]);
    let url = &server.client.url;
    let admin = Browser::open("first_link_admin");

    // Whoever comes without the link is asked to sign in, and told where the link is.
    admin.goto(url);
    admin.shows("the link for the first one stands where the server was started");
    admin.picture("sign-in");
    admin.goto(&link);
    admin.shows("Create the administrator");
    admin.picture("create-admin");
    admin.fill("password", "short");
    admin.fill("name", "Ada");
    admin.fill("email", "ada@example.org");
    admin.click("Create");
    admin.shows("The password must have at least 12 characters.");
    join(&admin, "Ada Lovelace", "ada@example.org", "Create");
    admin.shows("Drop a photograph");
    admin.shows("Ada Lovelace");
    assert!(!admin.url().contains('#'), "{}", admin.url());

    // She invites somebody whose name is a script.
    admin.goto(&format!("{url}/users"));
    admin.shows("ada@example.org");
    admin.choose("invite-role", "annotator");
    admin.fill("invite-note", "Grace");
    admin.click("Make a link");
    admin.wait_until("the link is there", || admin.value(".secret input").contains("/welcome#"));
    let invite = admin.value(".secret input");
    assert!(invite.starts_with(url.as_str()), "{invite}");
    admin.shows("Annotator: Grace");
    admin.picture("users-invite");

    let annotator = Browser::open("first_link_annotator");
    annotator.goto(&invite);
    annotator.shows("You are invited as annotator");
    let script = "<img src=x onerror=document.title=1>";
    join(&annotator, script, "grace@example.org", "Join");
    // An annotator looks and does not add.
    annotator.shows(script);
    annotator.wait_until("there is no upload", || !annotator.text().contains("Upload"));
    annotator.goto(&format!("{url}/users"));
    annotator.shows("needs the scope admin");
    annotator.goto(&format!("{url}/account"));
    annotator.shows("grace@example.org · annotator");
    annotator.shows("here");
    annotator.picture("account");
    annotator.goto(url);
    annotator.shows("There are no photographs yet.");
    annotator.goto(&format!("{url}/account"));
    annotator.click("Sign out");
    annotator.shows("Sign in");

    // Back in, to the address that was asked for.
    annotator.goto(&format!("{url}/account"));
    annotator.fill("email", "grace@example.org");
    annotator.fill("password", "not the password");
    annotator.click("Sign in");
    annotator.shows("the e-mail address or the password is wrong");
    annotator.picture("sign-in-failed");
    annotator.fill("password", PASSWORD);
    annotator.click("Sign in");
    annotator.shows("grace@example.org · annotator");
    assert!(annotator.url().ends_with("/account"), "{}", annotator.url());
    assert_ne!(annotator.script("return document.title", &[]), "1", "the name was run");

    // The used link says so.
    annotator.goto(&invite);
    annotator.shows("This link does not work");

    // What happened stands in the log, the script as text.
    admin.goto(&format!("{url}/audit"));
    admin.shows("grace@example.org as annotator");
    admin.picture("audit");
    admin.goto(&format!("{url}/users"));
    admin.shows(script);
    admin.click("Disable");
    admin.shows(&format!("{script} · disabled"));
    annotator.goto(&format!("{url}/account"));
    annotator.shows("Sign in");
    assert_ne!(admin.script("return document.title", &[]), "1", "the name was run");
}

#[test]
fn browser_keeps_what_was_typed_when_a_session_ends() {
    let data_dir = data_dir();
    let (server, link) = serve_new(data_dir.path(), &[]);
    let url = &server.client.url;
    let admin = first_admin(&server.client, &link);
    let browser = Browser::open("keeps_what_was_typed");
    browser.goto(&format!("{url}/users"));
    browser.fill("email", "admin@example.org");
    browser.fill("password", PASSWORD);
    browser.click("Sign in");
    browser.choose("invite-role", "reviewer");
    browser.fill("invite-note", "somebody new");

    // Elsewhere she signs out everywhere; here she goes on as if nothing had happened.
    assert_eq!(admin.delete("/api/v1/sessions").status, 204);
    browser.click("Make a link");
    browser.shows("Your session has ended. The page stays as you left it.");
    browser.picture("session-ended");
    // A key that is typed means nothing to the page behind.
    browser.fill("password", PASSWORD);
    browser.click("Sign in");
    // The call that was refused is made now, with what was typed before.
    browser.shows("Reviewer: somebody new");
    browser.wait_until("the dialog is gone", || !browser.text().contains("Sign in again"));
    let again = signed_in(&server.client, &sign_in(&server.client, "admin@example.org", PASSWORD));
    assert_eq!(again.get("/api/v1/invites").json()[0]["note"], "somebody new");

    // An upload that was on its way arrives too.
    browser.goto(url);
    browser.shows("Drop a photograph");
    assert_eq!(again.delete("/api/v1/sessions").status, 204);
    browser.pick(&[root().join("tests/fixtures/photographs/brook.jpg")]);
    browser.shows("Your session has ended.");
    browser.fill("password", PASSWORD);
    browser.click("Sign in");
    browser.shows("brook.jpg");
    browser.wait_until("it is assessed", || {
        let again = signed_in(&server.client, &sign_in(&server.client, "admin@example.org", PASSWORD));
        !again.get("/api/v1/images").json()["items"][0]["latest"].is_null()
    });
}

#[test]
fn browser_account_pages_work_with_the_keyboard_and_on_a_phone() {
    let data_dir = data_dir();
    let (server, link) = serve_new(data_dir.path(), &[]);
    let url = &server.client.url;
    let admin = first_admin(&server.client, &link);
    let _ = new_user(&server.client, &admin, "engineer", "grace");
    let _ = token(&server.client, &admin, &["read", "metrics"]);
    let browser = Browser::open("account_pages");
    browser.goto(&format!("{url}/account"));
    browser.shows("E-mail address");
    // The focus is where one types, and Enter sends the form.
    browser.wait_until("the focus is in the first field", || {
        browser.script("return document.activeElement.id", &[]) == "email"
    });
    browser.fill("email", "admin@example.org\u{e004}");
    assert_eq!(browser.script("return document.activeElement.id", &[]), "password", "after Tab");
    browser.fill("password", &format!("{PASSWORD}\u{e007}"));
    browser.shows("a test");
    browser.shows("metrics");
    browser.click("Make a token");
    browser.fill("token-name", "for a script");
    browser.click("Make the token");
    browser.wait_until("the token is there", || browser.value(".secret input").starts_with("qp_"));
    let secret = browser.value(".secret input");
    let tool = server.client.with_header("authorization", &format!("Bearer {secret}"));
    assert_eq!(text(&tool.get("/api/v1/session").json()["user"]["email"]), "admin@example.org");
    assert_eq!(tool.post("/api/v1/assessments", &json!({})).status, 403, "it may read only");
    browser.goto(&format!("{url}/account"));
    browser.shows("for a script");
    assert!(!browser.text().contains(&secret), "it is shown once");

    let widest = "const wide = [...document.querySelectorAll('body *')].filter((one) => \
                  one.getBoundingClientRect().right > document.documentElement.clientWidth + 1 \
                  && !one.closest('.sr, .skip'));\
                  return wide.map((one) => one.className || one.tagName).slice(0, 3).join()";
    for (theme, width) in [("light", 1280), ("dark", 1280), ("light", 390), ("dark", 390)] {
        browser.resize(width, 860);
        for page in ["account", "users", "audit", ""] {
            browser.goto(&format!("{url}/{page}"));
            let set = "localStorage.setItem('qponder.theme', arguments[0]);\
                       document.documentElement.dataset.theme = arguments[0]";
            let _ = browser.script(set, &[json!(theme)]);
            let expected = match page {
                "account" => "for a script",
                "users" => "grace@example.org",
                "audit" => "token.create",
                _ => "Drop a photograph",
            };
            browser.shows(expected);
            assert_eq!(browser.script(widest, &[]), "", "/{page} is wider than {width} pixels");
            // Every field has a label, every button a name.
            let nameless = "return [...document.querySelectorAll('input, select, button, a')].filter((one) => \
                            !one.closest('[aria-hidden=true]') && one.getAttribute('aria-hidden') !== 'true' \
                            && !(one.labels?.length || one.innerText?.trim() || one.textContent.trim() \
                            || one.getAttribute('aria-label') || one.title)).map((one) => one.outerHTML).join()";
            assert_eq!(browser.script(nameless, &[]), "", "/{page}");
            let name = if page.is_empty() { "gallery" } else { page };
            browser.picture(&format!("{name}-{theme}-{width}"));
        }
    }
}
