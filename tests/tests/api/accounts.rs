//! Accounts from the first start: links, sessions, passwords, users.

use std::process::Command;

use qponder_tests::client::text;
use qponder_tests::database::query;
use qponder_tests::people::{
    PASSWORD, cookie_of, first_admin, invite, join, me, new_user, secret_of, sign_in, signed_in,
};
use qponder_tests::server::{Server, binary, data_dir, run_to_end};
use serde_json::json;

use crate::problem;

#[test]
fn the_first_start_leads_to_an_admin_once() {
    let data = data_dir();
    let (server, link) = Server::start_new_with_accounts(data.path(), &[]);
    assert!(link.starts_with(&format!("{}/welcome#", server.client.url)), "{link}");
    assert_eq!(server.client.get("/api/v1/images").status, 401);
    assert!(server.stop().success());

    // Not used, so there is another one, and the first one is void.
    let (server, second) = Server::start_new_with_accounts(data.path(), &[]);
    assert_ne!(secret_of(&link), secret_of(&second));
    let void = join(&server.client, secret_of(&link), "admin@example.org");
    assert_eq!((void.status, problem(&void).as_str()), (404, "no-link"));
    let opened = server.client.post("/api/v1/invites/open", &json!({ "token": secret_of(&second) }));
    assert_eq!(opened.json(), json!({ "purpose": "join", "role": "admin", "email": null, "first": true }));
    let admin = first_admin(&server.client, &second);
    let user = me(&admin);
    assert_eq!((text(&user["email"]), text(&user["role"])), ("admin@example.org".into(), "admin".into()));
    assert_eq!(join(&server.client, secret_of(&second), "other@example.org").status, 404, "it works once");
    assert!(server.stop().success());

    // Sessions outlive the server, and nothing is offered any more.
    let server = Server::start_with_accounts(data.path(), &[]);
    let cookie = sign_in(&server.client, "Admin@Example.org ", PASSWORD);
    assert_eq!(cookie.status, 200);
    let open = query(data.path(), "select count(*) from invites where closed_at is null");
    assert_eq!(open, 0);
    let kept = query(data.path(), "select json_agg(t) from (select password_hash from users) t");
    assert!(text(&kept[0]["password_hash"]).starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
}

#[test]
fn sessions_begin_rotate_and_end() {
    let data = data_dir();
    let (server, link) = Server::start_new_with_accounts(data.path(), &[]);
    let anybody = &server.client;
    let first = first_admin(anybody, &link);
    let second = sign_in(anybody, "admin@example.org", PASSWORD);
    let set = second.header("set-cookie").to_owned();
    for part in ["qponder=", "Path=/", "HttpOnly", "SameSite=Strict", "Max-Age=2592000"] {
        assert!(set.contains(part), "{set}");
    }
    let second = signed_in(anybody, &second);
    // Signing in where one is signed in replaces that session.
    let third = signed_in(anybody, &sign_in(&second, "admin@example.org", PASSWORD));
    assert_eq!(second.get("/api/v1/session").status, 401);
    let listed = third.get("/api/v1/sessions").json();
    let current: Vec<bool> =
        listed.as_array().expect("a list").iter().map(|one| one["current"] == true).collect();
    assert_eq!(current, [true, false]);

    assert_eq!(third.delete("/api/v1/session").status, 204);
    assert_eq!(third.get("/api/v1/session").status, 401);
    assert_eq!(first.get("/api/v1/session").status, 200);
    let fourth = signed_in(anybody, &sign_in(anybody, "admin@example.org", PASSWORD));
    let out = fourth.delete("/api/v1/sessions");
    assert_eq!(out.status, 204);
    assert!(out.header("set-cookie").starts_with("qponder=; Max-Age=0"), "{}", out.header("set-cookie"));
    for client in [&first, &fourth] {
        assert_eq!(client.get("/api/v1/session").status, 401);
    }

    // Idle for too long, and too old however busy: a second on either side.
    let idle = "3 days";
    let longest = "30 days";
    for (change, status) in [
        (format!("last_seen_at = now() - interval '{idle}' + interval '20 seconds'"), 200),
        (format!("last_seen_at = now() - interval '{idle}' - interval '1 second'"), 401),
        ("expires_at = now() + interval '20 seconds'".to_owned(), 200),
        ("expires_at = now() - interval '1 second'".to_owned(), 401),
    ] {
        let client = signed_in(anybody, &sign_in(anybody, "admin@example.org", PASSWORD));
        let sql = format!(
            "with changed as (update sessions set {change} where id = (select max(id::text)::uuid from sessions) \
             returning 1) select count(*) from changed"
        );
        assert_eq!(query(data.path(), &sql), 1);
        assert_eq!(client.get("/api/v1/session").status, status, "{change}");
    }
    let lifetime = query(
        data.path(),
        &format!("select to_json(bool_and(expires_at <= created_at + interval '{longest}')) from sessions"),
    );
    assert_eq!(lifetime, true);
}

#[test]
fn the_cookie_is_bound_to_https_off_this_machine() {
    let data = data_dir();
    let public = ["--public-url", "https://q.example", "--allow-remote"];
    let (server, link) = Server::start_new_with_accounts(data.path(), &public);
    assert!(link.starts_with("https://q.example/welcome#"), "{link}");
    let proxied = server.client.with_header("host", "q.example").with_header("origin", "https://q.example");
    let joined = join(&proxied, secret_of(&link), "admin@example.org");
    assert_eq!(joined.status, 201, "{}", joined.json());
    let set = joined.header("set-cookie");
    assert!(set.starts_with("__Host-qponder=") && set.ends_with("; Secure"), "{set}");
    assert_eq!(signed_in(&proxied, &joined).get("/api/v1/session").status, 200);
    // The plain name, which another host could have set, counts for nothing there.
    let plain = cookie_of(&joined).replace("__Host-", "");
    assert_eq!(proxied.with_header("cookie", &plain).get("/api/v1/session").status, 401);
    // In the clear from another machine.
    let clear = server.client.with_header("host", "q.other").with_header("origin", "http://q.other");
    let refused = sign_in(&clear, "admin@example.org", PASSWORD);
    assert_eq!((refused.status, problem(&refused).as_str()), (403, "https-needed"));
    // From a page of another site, with the session.
    let foreign = signed_in(&server.client.with_header("host", "q.example"), &joined);
    let foreign = foreign.with_header("origin", "https://evil.example");
    let answer = foreign.delete("/api/v1/session");
    assert_eq!((answer.status, problem(&answer).as_str()), (403, "foreign-origin"));
}

#[test]
fn passwords_change_and_are_reset() {
    let data = data_dir();
    let (server, link) = Server::start_new_with_accounts(data.path(), &[]);
    let anybody = &server.client;
    let admin = first_admin(anybody, &link);
    let ada = new_user(anybody, &admin, "annotator", "ada");
    let elsewhere = signed_in(anybody, &sign_in(anybody, "ada@example.org", PASSWORD));
    let change = |current: &str, new: &str| {
        ada.send_json("PUT", "/api/v1/password", &json!({ "current": current, "new": new }))
    };
    for (current, new, status, kind) in [
        ("not the password", "another long password", 403, "wrong-password"),
        (PASSWORD, "short", 422, "unprocessable"),
        (PASSWORD, "ada@example.org", 422, "unprocessable"),
    ] {
        let answer = change(current, new);
        assert_eq!((answer.status, problem(&answer).as_str()), (status, kind), "{new}");
    }
    assert_eq!(change(PASSWORD, "another long password").status, 204);
    assert_eq!(ada.get("/api/v1/session").status, 200, "here she stays signed in");
    assert_eq!(elsewhere.get("/api/v1/session").status, 401);
    assert_eq!(sign_in(anybody, "ada@example.org", PASSWORD).status, 401);
    assert_eq!(sign_in(anybody, "ada@example.org", "another long password").status, 200);

    // Forgotten: a link from an administrator, of which the newest counts.
    let path = format!("/api/v1/users/{}/reset-link", text(&me(&ada)["id"]));
    let links: Vec<String> =
        (0..2).map(|_| secret_of(&text(&admin.post(&path, &json!({})).json()["path"])).to_owned()).collect();
    let accept = |secret: &str| {
        let body = json!({ "token": secret, "password": "a third long password" });
        anybody.post("/api/v1/invites/accept", &body)
    };
    assert_eq!(accept(&links[0]).status, 404);
    let opened = anybody.post("/api/v1/invites/open", &json!({ "token": links[1] })).json();
    assert_eq!((&opened["purpose"], &opened["email"]), (&json!("reset"), &json!("ada@example.org")));
    let reset = accept(&links[1]);
    assert_eq!((reset.status, reset.json()["user"]["email"].as_str()), (201, Some("ada@example.org")));
    assert_eq!(ada.get("/api/v1/session").status, 401, "every session has ended");
    assert_eq!(accept(&links[1]).status, 404);

    // Everybody forgot: from the command line, beside the running server.
    let user = |arguments: &[&str]| {
        let output =
            Command::new(binary()).arg("user").args(arguments).arg("--data-dir").arg(data.path()).output();
        let output = output.expect("it runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.success(), text(&output.stdout) + &text(&output.stderr))
    };
    let (listed, lines) = user(&["list"]);
    assert!(listed && lines.contains("ada@example.org\tannotator\tactive\tSomebody\n"), "{lines}");
    let (made, link) = user(&["reset-link", "admin@example.org"]);
    assert!(made, "{link}");
    assert_eq!(accept(secret_of(link.trim())).status, 201);
    let (made, why) = user(&["reset-link", "nobody@example.org"]);
    assert!(!made && why.contains("nobody@example.org") && why.lines().count() == 1, "{why}");
    // And when it does not run.
    assert!(server.stop().success());
    let (listed, lines) = user(&["list"]);
    assert!(listed && lines.contains("admin@example.org\tadmin\tactive"), "{lines}");
    let (made, link) = user(&["reset-link", "ada@example.org", "--public-url", "https://q.example"]);
    assert!(made && link.starts_with("https://q.example/welcome#"), "{link}");
}

#[test]
fn the_last_admin_stays() {
    let data = data_dir();
    let (server, link) = Server::start_new_with_accounts(data.path(), &[]);
    let anybody = &server.client;
    let admin = first_admin(anybody, &link);
    let path = |client: &qponder_tests::client::Client| format!("/api/v1/users/{}", text(&me(client)["id"]));
    let own = path(&admin);
    for change in [
        json!({ "role": "engineer" }),
        json!({ "disabled": true }),
        json!({ "role": "reviewer", "disabled": true }),
    ] {
        let answer = admin.send_json("PATCH", &own, &change);
        assert_eq!((answer.status, problem(&answer).as_str()), (409, "last-admin"), "{change}");
    }
    // With another one it can be done; then that one is the last.
    let other = new_user(anybody, &admin, "admin", "other");
    let others = path(&other);
    // Both at once: one of them must stay.
    let results: Vec<u16> = std::thread::scope(|scope| {
        let demote = |by: &qponder_tests::client::Client, whom: &str| {
            by.send_json("PATCH", whom, &json!({ "role": "engineer" })).status
        };
        let (admin, other, own, others) = (&admin, &other, &own, &others);
        let tasks = [scope.spawn(move || demote(admin, others)), scope.spawn(move || demote(other, own))];
        tasks.into_iter().map(|task| task.join().expect("it ends")).collect()
    });
    // The slower one may find itself demoted already, which is a refusal too.
    assert_eq!(results.iter().filter(|status| **status == 200).count(), 1, "{results:?}");
    let admins =
        query(data.path(), "select count(*) from users where role = 'admin' and disabled_at is null");
    assert_eq!(admins, 1);
    assert_eq!(
        admin.send_json("PATCH", "/api/v1/users/01900000-0000-7000-8000-000000000000", &json!({})).status
            % 100,
        {
            // 404 for the one who is admin still, 403 for the other.
            if results[0] == 200 { 4 } else { 3 }
        }
    );
}

#[test]
fn invites_are_listed_taken_back_and_expire() {
    let data = data_dir();
    let (server, link) = Server::start_new_with_accounts(data.path(), &[]);
    let anybody = &server.client;
    let admin = first_admin(anybody, &link);
    let [used, revoked, expired, open] = [0; 4].map(|_| invite(&admin, "reviewer"));
    assert_eq!(join(anybody, &used, "one@example.org").status, 201);
    assert_eq!(join(anybody, &used, "two@example.org").status, 404);

    let listed = admin.get("/api/v1/invites").json();
    let ids: Vec<String> = listed.as_array().expect("a list").iter().map(|one| text(&one["id"])).collect();
    assert_eq!(ids.len(), 3, "newest first: open, expired, revoked");
    assert_eq!(admin.delete(&format!("/api/v1/invites/{}", ids[2])).status, 204);
    assert_eq!(admin.delete(&format!("/api/v1/invites/{}", ids[2])).status, 404);
    assert_eq!(join(anybody, &revoked, "two@example.org").status, 404);
    let sql = format!(
        "with changed as (update invites set expires_at = now() - interval '1 second' where id = '{}' returning 1) \
         select count(*) from changed",
        ids[1]
    );
    assert_eq!(query(data.path(), &sql), 1);
    assert_eq!(join(anybody, &expired, "two@example.org").status, 404);

    // An address that is taken does not use the link up.
    let taken = join(anybody, &open, "ONE@example.org");
    assert_eq!((taken.status, problem(&taken).as_str()), (409, "email-taken"));
    // Of many who use a link at once, one gets in.
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let tasks: Vec<_> = (0..6)
            .map(|n| {
                let (client, open) = (anybody.clone(), open.clone());
                scope.spawn(move || join(&client, &open, &format!("many{n}@example.org")).status)
            })
            .collect();
        tasks.into_iter().map(|task| task.join().expect("it ends")).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
    assert_eq!(query(data.path(), "select count(*) from users where email like 'many%'"), 1);
    assert!(admin.get("/api/v1/invites").json().as_array().is_some_and(Vec::is_empty));
}

#[test]
fn a_start_that_would_be_unsafe_is_refused() {
    let data = data_dir();
    for (arguments, words) in [
        (&["--local", "--listen", "0.0.0.0:0"][..], "--local"),
        (&["--local", "--allow-remote"], "--allow-remote"),
        (&["--local", "--public-url", "https://q.example"], "--public-url"),
        (&["--public-url", "q.example"], "https://"),
    ] {
        let output = run_to_end(data.path(), arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && stderr.contains(words), "{arguments:?}: {stderr}");
    }
}
