//! Personal API tokens.

use qponder_tests::client::text;
use qponder_tests::database::query;
use qponder_tests::people::{first_admin, new_user, token};
use qponder_tests::server::{Server, data_dir};
use serde_json::json;

use crate::problem;

#[test]
fn a_token_is_shown_once_used_and_deleted() {
    let data = data_dir();
    let (server, link) = Server::start_new_with_accounts(data.path(), &[]);
    let anybody = &server.client;
    let admin = first_admin(anybody, &link);
    let engineer = new_user(anybody, &admin, "engineer", "grace");
    let body = json!({ "name": " a script ", "scopes": ["assess", "read", "read"], "days": 30 });
    let made = engineer.post("/api/v1/tokens", &body);
    assert_eq!(made.status, 201, "{}", made.json());
    let (made, secret) = (made.json()["token"].clone(), text(&made.json()["secret"]));
    assert!(secret.starts_with("qp_") && secret.len() == 46, "{secret}");
    assert_eq!(
        (&made["name"], &made["scopes"], &made["last_used_at"]),
        (&json!("a script"), &json!(["read", "assess"]), &json!(null))
    );
    assert!(made["expires_at"].is_string());
    assert_eq!(query(data.path(), "select count(*) from api_tokens where name like '%qp_%'"), 0);

    // OpenAI's clients send it so.
    let tool = anybody.with_header("authorization", &format!("Bearer {secret}"));
    assert_eq!(tool.get("/v1/models").status, 200);
    assert_eq!(tool.post("/v1/chat/completions", &json!({})).status, 400);
    let listed = engineer.get("/api/v1/tokens").json();
    assert!(listed[0]["last_used_at"].is_string(), "{listed}");
    assert!(!listed.to_string().contains(&secret[10..]), "the secret is told once");
    // A token stands for its owner, whatever cookies there are.
    let mixed = admin.with_header("authorization", &format!("Bearer {secret}"));
    assert_eq!(mixed.get("/api/v1/users").status, 403);

    // Nobody else's business.
    let path = format!("/api/v1/tokens/{}", text(&made["id"]));
    assert_eq!(admin.delete(&path).status, 404);
    assert_eq!(engineer.delete(&path).status, 204);
    assert_eq!(engineer.delete(&path).status, 404);
    let gone = tool.get("/api/v1/images");
    assert_eq!((gone.status, problem(&gone).as_str()), (401, "bad-token"));
    assert_eq!(gone.header("www-authenticate"), "Bearer");
    let gone = tool.get("/v1/models");
    assert_eq!(gone.status, 401);
    assert_eq!(gone.json()["error"]["code"], "invalid_api_key");
}

#[test]
fn tokens_end_and_are_limited() {
    let data = data_dir();
    let (server, link) = Server::start_new_with_accounts(data.path(), &[]);
    let anybody = &server.client;
    let admin = first_admin(anybody, &link);
    for body in [
        json!({ "name": "", "scopes": ["read"] }),
        json!({ "name": "x", "scopes": [] }),
        json!({ "name": "x", "scopes": ["everything"] }),
        json!({ "name": "x", "scopes": ["read"], "days": 0 }),
        json!({ "name": "x", "scopes": ["read"], "days": 367 }),
        json!({ "name": "x", "scopes": ["read"], "owner": "me" }),
        json!({ "name": "x\u{202e}y", "scopes": ["read"] }),
    ] {
        let answer = admin.post("/api/v1/tokens", &body);
        assert_eq!((answer.status, problem(&answer).as_str()), (422, "unprocessable"), "{body}");
    }
    let tool = token(anybody, &admin, &["metrics"]);
    assert_eq!(tool.get("/metrics").status, 200);
    for (expiry, status) in [("+ interval '20 seconds'", 200), ("- interval '1 second'", 401)] {
        let sql = format!(
            "with changed as (update api_tokens set expires_at = now() {expiry} returning 1) \
             select count(*) from changed"
        );
        assert_eq!(query(data.path(), &sql), 1);
        assert_eq!(tool.get("/metrics").status, status, "{expiry}");
    }
    for _ in 1..50 {
        let _ = token(anybody, &admin, &["read"]);
    }
    let answer = admin.post("/api/v1/tokens", &json!({ "name": "x", "scopes": ["read"] }));
    assert_eq!(answer.status, 422);
    assert!(text(&answer.json()["detail"]).contains("50"), "{}", answer.json());
}
