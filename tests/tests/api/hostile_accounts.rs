//! Accounts against hostile input: megabytes, scripts, guesses, floods.

use qponder_tests::client::text;
use qponder_tests::people::{PASSWORD, first_admin, invite, join, new_user, secret_of, sign_in};
use qponder_tests::server::{Server, data_dir};
use serde_json::json;

use crate::problem;

#[test]
fn odd_input_is_refused_with_a_reason() {
    let data = data_dir();
    let (server, link) = Server::start_new_with_accounts(data.path(), &[]);
    let anybody = &server.client;
    let admin = first_admin(anybody, &link);
    let secret = invite(&admin, "annotator");
    let accept = |email: &str, name: &str, password: &str| {
        let body = json!({ "token": secret, "email": email, "name": name, "password": password });
        anybody.post("/api/v1/invites/accept", &body)
    };
    for (email, name, password, status) in [
        ("no address", "Ada", PASSWORD, 422),
        ("ada@example.org", "", PASSWORD, 422),
        ("ada@example.org", "Ada\u{0}", PASSWORD, 422),
        ("ada@example.org", "Ada\nbcc: all", PASSWORD, 422),
        ("ada@example.org", "Ada\u{202e}nimda", PASSWORD, 422),
        ("ada@example.org", "Ada", "short", 422),
        ("ada@example.org", "Ada", &"p".repeat(2000), 422),
        ("ada@example.org", &"n".repeat(20_000), PASSWORD, 413),
        ("ada@example.org", "Ada", &"p".repeat(20_000), 413),
    ] {
        let answer = accept(email, name, password);
        assert_eq!(answer.status, status, "{} {}", &email[..5], answer.json());
        problem(&answer);
    }
    // A script is a name like another: it is text wherever it is shown.
    let script = "<script>alert(1)</script>";
    let made = accept("<img/src=x>@example.org", script, PASSWORD);
    assert_eq!((made.status, text(&made.json()["user"]["name"])), (201, script.to_owned()));
    assert_eq!(made.header("content-type"), "application/json");

    for (method, path) in [
        ("POST", "/api/v1/session"),
        ("POST", "/api/v1/invites/open"),
        ("PUT", "/api/v1/password"),
        ("POST", "/api/v1/tokens"),
        ("POST", "/api/v1/invites"),
    ] {
        // Of megabytes no more is read than an account can need.
        let start = format!("{{\"token\": \"{}", "x".repeat(60_000));
        assert_eq!(admin.send_start(method, path, 64 << 20, start.as_bytes()), 413, "{path}");
        let odd = admin.send(method, path, &[("content-type", "application/json")], b"\xff\xfe{");
        assert_eq!(odd.status, 400, "{path}");
        assert_eq!(admin.send_json(method, path, &json!({ "surprise": 1 })).status, 422, "{path}");
    }
    for cookie in ["qponder=", "qponder=x", "qponder=%00", "qponder", "=;;;=", "qponder=\u{e9}"] {
        let answer = anybody.with_header("cookie", cookie).get("/api/v1/session");
        assert_eq!(answer.status, 401, "{cookie}");
    }
    for value in ["Bearer", "Bearer ", "Bearer qp_", "Bearer qp_x", "Basic eDp5", "qp_x"] {
        let answer = anybody.with_header("authorization", value).get("/api/v1/images");
        assert_eq!((answer.status, problem(&answer).as_str()), (401, "bad-token"), "{value}");
    }
    // Whoever names a token means it: with a bad one the session does not help.
    assert_eq!(admin.with_header("authorization", "Bearer qp_x").get("/api/v1/images").status, 401);
}

#[test]
fn guessing_a_password_is_slowed_down() {
    let data = data_dir();
    let (server, link) = Server::start_new_with_accounts(data.path(), &["--trusted-proxy", "127.0.0.1"]);
    let anybody = &server.client;
    let admin = first_admin(anybody, &link);
    let _ = new_user(anybody, &admin, "annotator", "ada");
    let from = |address: &str| anybody.with_header("x-forwarded-for", address);

    // Right ones count for nothing.
    for _ in 0..12 {
        assert_eq!(sign_in(&from("192.0.2.1"), "ada@example.org", PASSWORD).status, 200);
    }
    // One account, from many addresses; unknown ones are answered alike.
    for account in ["ada@example.org", "nobody@example.org"] {
        for n in 0..10 {
            let answer = sign_in(&from(&format!("198.51.100.{n}")), account, "wrong");
            assert_eq!((answer.status, problem(&answer).as_str()), (401, "sign-in-failed"), "{account} {n}");
        }
        let answer = sign_in(&from("198.51.100.99"), account, PASSWORD);
        assert_eq!((answer.status, problem(&answer).as_str()), (429, "too-many"), "{account}");
        assert!(answer.header("retry-after").parse::<u32>().is_ok_and(|seconds| (1..=60).contains(&seconds)));
    }
    assert_eq!(sign_in(&from("198.51.100.99"), "admin@example.org", PASSWORD).status, 200, "others may");
    // Many accounts, from one address, all at once.
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let tasks: Vec<_> = (0..40)
            .map(|n| {
                let client = from("203.0.113.7");
                scope.spawn(move || sign_in(&client, &format!("{n}@example.org"), "wrong").status)
            })
            .collect();
        tasks.into_iter().map(|task| task.join().expect("it ends")).collect()
    });
    let limited = statuses.iter().filter(|status| **status == 429).count();
    assert!(limited >= 8 && statuses.iter().all(|status| matches!(status, 401 | 429)), "{statuses:?}");
    // A client's own invention in front changes nothing.
    assert_eq!(sign_in(&from("9.9.9.9, 203.0.113.7"), "x@example.org", "wrong").status, 429);
    assert_eq!(sign_in(&from("203.0.113.8"), "x@example.org", "wrong").status, 401);
}

#[test]
fn guessing_links_and_tokens_is_slowed_down() {
    let data = data_dir();
    let (server, link) = Server::start_new_with_accounts(data.path(), &["--trusted-proxy", "127.0.0.1"]);
    let from = |address: &str| server.client.with_header("x-forwarded-for", address);
    let guess = from("192.0.2.1");
    let open = |secret: &str| guess.post("/api/v1/invites/open", &json!({ "token": secret })).status;
    let statuses: Vec<u16> = (0..22).map(|n| open(&format!("guess {n}"))).collect();
    assert_eq!(statuses[..20], [404; 20]);
    assert_eq!(statuses[20..], [429; 2]);
    let late = join(&guess, secret_of(&link), "admin@example.org");
    assert_eq!((late.status, problem(&late).as_str()), (429, "too-many"));
    assert!(late.header("retry-after").parse::<u32>().is_ok_and(|seconds| seconds > 0));
    let admin = first_admin(&from("192.0.2.2"), &link);

    let guess = guess.with_header("authorization", "Bearer qp_guess");
    let statuses: Vec<u16> = (0..32).map(|_| guess.get("/api/v1/images").status).collect();
    assert_eq!(statuses[..30], [401; 30]);
    assert_eq!(statuses[30..], [429; 2]);
    let chat = guess.get("/v1/models");
    assert_eq!((chat.status, chat.json()["error"]["type"].as_str()), (429, Some("rate_limit_error")));
    assert!(!chat.header("retry-after").is_empty());
    assert_eq!(admin.get("/api/v1/images").status, 200);
}
