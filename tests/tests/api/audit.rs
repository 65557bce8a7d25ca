//! The audit log: everything that changes data is in it, and nothing in it can be changed.

use qponder_tests::client::text;
use qponder_tests::database::{query, run};
use qponder_tests::people::{PASSWORD, first_admin, me, new_user, secret_of, sign_in, token};
use qponder_tests::pictures::png;
use qponder_tests::server::{Server, data_dir};
use serde_json::{Value, json};

use crate::column;

#[test]
fn every_change_leaves_a_line() {
    let data = data_dir();
    let (server, link) = Server::start_new_with_accounts(data.path(), &[]);
    let anybody = &server.client;
    let admin = first_admin(anybody, &link);
    let grace = new_user(anybody, &admin, "engineer", "grace");
    let id = text(&me(&grace)["id"]);
    let tool = token(anybody, &grace, &["read", "assess"]);
    let image = tool.add_image("a.png", &png(40, 30, 1));
    let assessment = text(&grace.assess(&json!({ "image_id": image, "mode": "quick" }))["id"]);
    let deleted = tool.delete(&format!("/api/v1/images/{image}"));
    assert_eq!(deleted.status, 204);
    let path = format!("/api/v1/users/{id}");
    for change in [json!({ "role": "reviewer" }), json!({ "disabled": true }), json!({ "disabled": false })] {
        assert_eq!(admin.send_json("PATCH", &path, &change).status, 200);
    }
    let reset = admin.post(&format!("{path}/reset-link"), &json!({})).json();
    let secret = secret_of(&text(&reset["path"])).to_owned();
    let body = json!({ "token": secret, "password": "another long password" });
    assert_eq!(anybody.post("/api/v1/invites/accept", &body).status, 201);

    let lines = admin.get("/api/v1/audit?limit=200").json();
    let lines = lines["items"].as_array().expect("a list").clone();
    let seen: Vec<String> = lines
        .iter()
        .rev()
        .map(|line| format!("{} {} {}", text(&line["actor"]), text(&line["via"]), text(&line["action"])))
        .collect();
    assert_eq!(
        seen,
        [
            "server command invite.create",
            "admin@example.org link user.create",
            "admin@example.org link session.begin",
            "admin@example.org session invite.create",
            "grace@example.org link user.create",
            "grace@example.org link session.begin",
            "grace@example.org session token.create",
            "grace@example.org token image.add",
            "grace@example.org session assessment.create",
            "grace@example.org token image.delete",
            "admin@example.org session user.role",
            "admin@example.org session user.disable",
            "admin@example.org session user.enable",
            "admin@example.org session user.reset_link",
            "grace@example.org link user.password",
            "grace@example.org link session.begin",
        ]
    );
    let find = |action: &str| lines.iter().find(|line| line["action"] == action).expect("a line").clone();
    let line = find("image.delete");
    assert_eq!((text(&line["object"]), text(&line["detail"])), (image, "a.png".to_owned()));
    assert_eq!(
        (text(&line["request_id"]), &line["actor_id"]),
        (deleted.header("x-request-id").to_owned(), &json!(id))
    );
    assert_eq!(text(&find("assessment.create")["object"]), assessment);
    assert_eq!(text(&find("user.role")["detail"]), "grace@example.org: engineer to reviewer");
    // No secret is in it.
    let all = Value::Array(lines).to_string();
    assert!(!all.contains(&secret) && !all.contains(secret_of(&link)) && !all.contains("qp_"), "{all}");
}

#[test]
fn the_log_is_paged_and_append_only() {
    let data = data_dir();
    let server = Server::start(data.path());
    let client = &server.client;
    let images: Vec<String> =
        (0..7).map(|seed| client.add_image(&format!("{seed}.png"), &png(20, 20, seed))).collect();
    let (mut pages, mut seen, mut cursor) = (0, Vec::new(), String::new());
    loop {
        let page = client.get(&format!("/api/v1/audit?limit=3{cursor}")).json();
        seen.extend(column(&page["items"], "object"));
        pages += 1;
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    seen.reverse();
    assert_eq!((pages, seen), (3, images.clone()));
    let line = client.get("/api/v1/audit?limit=1").json()["items"][0].clone();
    assert_eq!((text(&line["actor"]), text(&line["via"])), ("local".into(), "local".into()));
    let of_one = client.get(&format!("/api/v1/audit?object={}", images[2])).json();
    assert_eq!(column(&of_one["items"], "detail"), ["2.png"]);
    for query in ["limit=0", "limit=201", "cursor=x", "object=x", "page=2"] {
        assert!((400..500).contains(&client.get(&format!("/api/v1/audit?{query}")).status), "{query}");
    }

    for statement in [
        "update audit_log set actor = 'nobody'",
        "delete from audit_log",
        "truncate audit_log",
        "truncate audit_log cascade",
        "truncate votes cascade",
        "truncate annotations cascade",
        "truncate reviews cascade",
    ] {
        let refused = run(data.path(), statement).expect_err("it is refused");
        assert!(refused.contains("append-only"), "{statement}: {refused}");
    }
    assert_eq!(query(data.path(), "select count(*) from audit_log"), 7);
}

#[test]
fn failed_sign_ins_change_nothing_and_leave_no_line() {
    let data = data_dir();
    let (server, link) = Server::start_new_with_accounts(data.path(), &[]);
    let _ = first_admin(&server.client, &link);
    let count = || query(data.path(), "select count(*) from audit_log");
    let before = count();
    assert_eq!(sign_in(&server.client, "admin@example.org", "not the password").status, 401);
    assert_eq!(count(), before);
    assert_eq!(sign_in(&server.client, "admin@example.org", PASSWORD).status, 200);
    assert_ne!(count(), before);
}
