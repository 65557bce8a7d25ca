//! The authorisation matrix: every endpoint against everybody who may come.
//!
//! What is expected is written down here again, in other words than in the server's own table, so that a
//! slip in one shows in the other.

use std::collections::BTreeSet;

use qponder_tests::client::Client;
use qponder_tests::people::{PASSWORD, first_admin, new_user, sign_in, signed_in, token};
use qponder_tests::server::{Server, data_dir};

use crate::problem;

/// Endpoint, and what it asks: nothing (`public`), to be known (`known`), to be signed in on the page
/// (`own`), or a scope.
const EXPECTED: &[(&str, &str)] = &[
    ("POST /api/v1/session", "public"),
    ("POST /api/v1/invites/open", "public"),
    ("POST /api/v1/invites/accept", "public"),
    ("GET /healthz", "public"),
    ("GET /readyz", "public"),
    ("GET /api/openapi.json", "public"),
    ("GET /api/docs", "public"),
    ("GET /api/docs/docs.js", "public"),
    ("GET /api/docs/docs.css", "public"),
    ("GET /api/v1/session", "known"),
    ("GET /api/v1/sessions", "own"),
    ("GET /api/v1/tokens", "own"),
    ("POST /api/v1/tokens", "own"),
    ("DELETE /api/v1/tokens/{id}", "own"),
    ("PUT /api/v1/password", "own"),
    ("GET /api/v1/info", "read"),
    ("GET /api/v1/images", "read"),
    ("GET /api/v1/images/{id}", "read"),
    ("GET /api/v1/images/{id}/original", "read"),
    ("GET /api/v1/images/{id}/thumbnail", "read"),
    ("GET /api/v1/images/{id}/rendering", "read"),
    ("GET /api/v1/images/{id}/assessments", "read"),
    ("GET /api/v1/assessments/{id}", "read"),
    ("GET /api/v1/assessments/{id}/events", "read"),
    ("GET /v1/models", "read"),
    ("POST /api/v1/images", "assess"),
    ("DELETE /api/v1/images/{id}", "assess"),
    ("POST /api/v1/assessments", "assess"),
    ("DELETE /api/v1/assessments/{id}", "assess"),
    ("POST /v1/chat/completions", "assess"),
    ("GET /api/v1/studies", "annotate"),
    ("GET /api/v1/studies/{id}", "annotate"),
    ("GET /api/v1/studies/{id}/tasks", "annotate"),
    ("POST /api/v1/studies/{id}/votes", "annotate"),
    ("GET /api/v1/studies/{id}/votes/mine", "annotate"),
    ("GET /api/v1/items/{id}/draft", "annotate"),
    ("PUT /api/v1/items/{id}/draft", "annotate"),
    ("DELETE /api/v1/items/{id}/draft", "annotate"),
    ("POST /api/v1/items/{id}/reveal", "annotate"),
    ("POST /api/v1/items/{id}/annotations", "annotate"),
    ("GET /api/v1/annotations/{id}", "annotate"),
    ("POST /api/v1/annotations/{id}/comments", "annotate"),
    ("POST /api/v1/studies", "review"),
    ("PATCH /api/v1/studies/{id}", "review"),
    ("GET /api/v1/studies/{id}/statistics", "review"),
    ("GET /api/v1/studies/{id}/members", "review"),
    ("POST /api/v1/studies/{id}/members", "review"),
    ("DELETE /api/v1/studies/{id}/members/{user}", "review"),
    ("GET /api/v1/studies/{id}/items", "review"),
    ("POST /api/v1/studies/{id}/items", "review"),
    ("PATCH /api/v1/items/{id}", "review"),
    ("GET /api/v1/annotations", "review"),
    ("POST /api/v1/studies/{id}/datasets", "review"),
    ("GET /api/v1/datasets", "review"),
    ("GET /api/v1/datasets/{id}/archive", "review"),
    ("POST /api/v1/exports", "review"),
    ("POST /api/v1/imports", "review"),
    ("GET /api/v1/transfers", "review"),
    ("GET /api/v1/transfers/{id}", "review"),
    ("DELETE /api/v1/transfers/{id}", "review"),
    ("GET /api/v1/transfers/{id}/file", "review"),
    ("POST /api/v1/annotations/{id}/reviews", "review"),
    ("PUT /api/v1/images/{id}/labels", "train"),
    ("GET /api/v1/jobs", "train"),
    ("POST /api/v1/jobs", "train"),
    ("GET /api/v1/jobs/{id}", "train"),
    ("PATCH /api/v1/jobs/{id}", "train"),
    ("POST /api/v1/pipelines", "train"),
    ("POST /api/v1/recipes/check", "train"),
    ("GET /api/v1/recipes/differences", "train"),
    ("GET /api/v1/recipes/fields", "train"),
    ("POST /api/v1/recipes/edit", "train"),
    ("DELETE /api/v1/jobs/{id}", "train"),
    ("POST /api/v1/jobs/{id}/retry", "train"),
    ("GET /api/v1/jobs/{id}/attempts", "train"),
    ("GET /api/v1/jobs/{id}/metrics", "train"),
    ("GET /api/v1/jobs/{id}/log", "train"),
    ("GET /api/v1/jobs/{id}/completions", "train"),
    ("GET /api/v1/jobs/{id}/events", "train"),
    ("GET /api/v1/jobs/{id}/artifacts", "train"),
    ("GET /api/v1/artifacts/{id}", "train"),
    ("GET /api/v1/workers", "train"),
    ("GET /api/v1/jobs/{id}/lineage", "train"),
    ("GET /api/v1/jobs/{id}/measurements", "train"),
    ("GET /api/v1/models", "train"),
    ("POST /api/v1/models", "train"),
    ("GET /api/v1/models/{id}", "train"),
    ("PATCH /api/v1/models/{id}", "train"),
    ("GET /api/v1/models/{id}/measurements", "train"),
    ("GET /api/v1/models/{id}/file", "train"),
    ("GET /api/v1/uses", "train"),
    ("PUT /api/v1/uses/{use}", "train"),
    ("POST /api/v1/uses/{use}/rollback", "train"),
    ("GET /api/v1/images/{id}/comparison", "assess"),
    ("GET /api/v1/comparison", "assess"),
    ("GET /api/v1/comparison/statistics", "assess"),
    ("GET /api/v1/comparison/models", "assess"),
    ("GET /metrics", "metrics"),
    ("GET /api/v1/users", "admin"),
    ("GET /api/v1/storage", "admin"),
    ("POST /api/v1/storage/count", "admin"),
    ("DELETE /api/v1/storage/orphans", "admin"),
    ("GET /api/v1/health", "admin"),
    ("PATCH /api/v1/users/{id}", "admin"),
    ("POST /api/v1/users/{id}/reset-link", "admin"),
    ("GET /api/v1/invites", "admin"),
    ("POST /api/v1/invites", "admin"),
    ("DELETE /api/v1/invites/{id}", "admin"),
    ("GET /api/v1/audit", "admin"),
    // Last, since they end what the others need.
    ("DELETE /api/v1/session", "own"),
    ("DELETE /api/v1/sessions", "own"),
];

/// What each role may do.
const ROLES: [(&str, &[&str]); 4] = [
    ("admin", &["read", "assess", "annotate", "review", "train", "metrics", "admin"]),
    ("engineer", &["read", "assess", "annotate", "review", "train"]),
    ("reviewer", &["read", "assess", "annotate", "review"]),
    ("annotator", &["read", "annotate"]),
];

const NOBODY: &str = "01900000-0000-7000-8000-000000000000";

/// Sends a request that asks for nothing that exists: who is let in changes nothing.
fn ask(client: &Client, endpoint: &str) -> u16 {
    let (method, path) = endpoint.split_once(' ').expect("method and path");
    let headers = [("content-type", "application/json")];
    let answer = client.send(
        method,
        &path.replace("{id}", NOBODY).replace("{user}", NOBODY).replace("{use}", "none"),
        &headers,
        b"",
    );
    if matches!(answer.status, 401 | 403) && !path.starts_with("/v1/") {
        problem(&answer);
    }
    answer.status
}

#[track_caller]
fn check(client: &Client, endpoint: &str, who: &str, expected: Result<(), u16>) {
    let status = ask(client, endpoint);
    match expected {
        Ok(()) => assert!(!matches!(status, 401 | 403 | 405 | 500..), "{who}: {endpoint} gave {status}"),
        Err(refusal) => assert_eq!(status, refusal, "{who}: {endpoint}"),
    }
}

#[test]
fn every_endpoint_against_everybody() {
    let data = data_dir();
    let (server, link) = Server::start_new_with_accounts(data.path(), &[]);
    let anybody = &server.client;
    let admin = first_admin(anybody, &link);

    // Every described endpoint is in the list above, and nothing else under /api/v1 and /v1.
    let document = anybody.get("/api/openapi.json").json();
    let described: BTreeSet<String> = document["paths"]
        .as_object()
        .expect("paths")
        .iter()
        .flat_map(|(path, item)| {
            let methods = item.as_object().expect("an object").keys();
            methods.map(|method| format!("{} {path}", method.to_uppercase())).collect::<Vec<_>>()
        })
        .collect();
    let listed = EXPECTED.iter().map(|(endpoint, _)| (*endpoint).to_owned());
    let listed: BTreeSet<String> =
        listed.filter(|endpoint| endpoint.contains(" /api/v1/") || endpoint.contains(" /v1/")).collect();
    assert_eq!(described, listed, "an endpoint is missing from the matrix, or gone");

    let tokens: Vec<_> = ROLES[0].1.iter().map(|scope| (scope, token(anybody, &admin, &[scope]))).collect();
    for (endpoint, asks) in EXPECTED {
        let anonymous = if *asks == "public" { Ok(()) } else { Err(401) };
        // An empty secret is a link that does not work, and an empty body is none at all: both are let in.
        check(anybody, endpoint, "nobody", anonymous);
        for (scope, client) in &tokens {
            let expected = match *asks {
                "public" | "known" => Ok(()),
                "own" => Err(403),
                needed if needed == **scope => Ok(()),
                _ => Err(403),
            };
            check(client, endpoint, &format!("a token to {scope}"), expected);
        }
    }
    let users = ROLES.map(|(role, _)| match role {
        "admin" => admin.clone(),
        role => new_user(anybody, &admin, role, role),
    });
    for ((role, scopes), user) in ROLES.into_iter().zip(users) {
        for (endpoint, asks) in EXPECTED {
            let expected = match *asks {
                "public" | "known" | "own" => Ok(()),
                needed if scopes.contains(&needed) => Ok(()),
                _ => Err(403),
            };
            // Those that end the session have one of their own.
            let is_last = endpoint.starts_with("DELETE /api/v1/session");
            let fresh;
            let client = if is_last {
                fresh = signed_in(anybody, &sign_in(anybody, &format!("{role}@example.org"), PASSWORD));
                &fresh
            } else {
                &user
            };
            check(client, endpoint, role, expected);
        }
        assert_eq!(user.get("/api/v1/session").status, 401, "{role}: signed out everywhere");
    }
}

#[test]
fn a_token_does_no_more_than_its_owner() {
    let data = data_dir();
    let (server, link) = Server::start_new_with_accounts(data.path(), &[]);
    let anybody = &server.client;
    let admin = first_admin(anybody, &link);
    let engineer = new_user(anybody, &admin, "engineer", "grace");
    let tool = token(anybody, &engineer, &["read", "assess"]);
    check(&tool, "POST /api/v1/assessments", "the token", Ok(()));
    // A token beyond the role is not made.
    let body = serde_json::json!({ "name": "x", "scopes": ["admin"] });
    assert_eq!(engineer.post("/api/v1/tokens", &body).status, 403);

    // Demoted: token and session lose what the role lost, at once.
    let id = qponder_tests::client::text(&qponder_tests::people::me(&engineer)["id"]);
    let path = format!("/api/v1/users/{id}");
    let demoted = admin.send_json("PATCH", &path, &serde_json::json!({ "role": "annotator" }));
    assert_eq!((demoted.status, demoted.json()["role"].as_str()), (200, Some("annotator")));
    for client in [&tool, &engineer] {
        check(client, "POST /api/v1/assessments", "demoted", Err(403));
        check(client, "GET /api/v1/images", "demoted", Ok(()));
    }
    // Disabled: neither works.
    assert_eq!(admin.send_json("PATCH", &path, &serde_json::json!({ "disabled": true })).status, 200);
    for client in [&tool, &engineer] {
        check(client, "GET /api/v1/images", "disabled", Err(401));
    }
    assert_eq!(sign_in(anybody, "grace@example.org", PASSWORD).status, 401);
    // Enabled again: the token works, the session has ended.
    assert_eq!(admin.send_json("PATCH", &path, &serde_json::json!({ "disabled": false })).status, 200);
    check(&tool, "GET /api/v1/images", "enabled", Ok(()));
    check(&engineer, "GET /api/v1/images", "enabled", Err(401));
}

#[test]
fn local_mode_has_no_accounts_and_no_proxies() {
    let data = data_dir();
    let server = Server::start(data.path());
    let client = &server.client;
    let me = client.get("/api/v1/session").json();
    assert!(me["user"].is_null());
    assert!(me["scopes"].as_array().is_some_and(|scopes| scopes.len() == ROLES[0].1.len()), "{me}");
    assert_eq!(client.get("/metrics").status, 200);
    // Whatever a client sends along: any key will do.
    assert_eq!(client.with_header("authorization", "Bearer anything").get("/v1/models").status, 200);
    let own = client.get("/api/v1/tokens");
    assert_eq!((own.status, problem(&own).as_str()), (403, "no-account"));
    for header in ["x-forwarded-for", "forwarded"] {
        let answer = client.with_header(header, "203.0.113.1").get("/api/v1/images");
        assert_eq!((answer.status, problem(&answer).as_str()), (403, "local-only"), "{header}");
    }
}
