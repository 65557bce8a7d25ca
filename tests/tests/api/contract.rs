//! What holds on every route: the description, the form of errors, the headers, who may ask.

use qponder_tests::client::Client;
use qponder_tests::server::{Server, data_dir};
use serde_json::Value;

use crate::problem;

#[test]
fn the_description_says_what_is_there() {
    let data = data_dir();
    let server = Server::start(data.path());
    let document = server.client.get("/api/openapi.json");
    assert_eq!(document.header("content-type"), "application/json");
    insta::assert_json_snapshot!("openapi", document.json());

    // Every described GET exists: it answers, or it says which thing is not there.
    let document = document.json();
    for (path, item) in document["paths"].as_object().expect("paths") {
        if item["get"].is_object() {
            let path = path.replace("{id}", "01900000-0000-7000-8000-000000000000");
            let answer = server.client.get(&path);
            let detail = if answer.status == 404 {
                problem(&answer);
                answer.json()["detail"].clone()
            } else {
                Value::Null
            };
            assert!(answer.status == 200 || !detail.to_string().contains("route"), "{path}: {detail}");
        }
    }
    for page in ["/api/docs", "/api/docs/docs.js", "/api/docs/docs.css"] {
        let answer = server.client.get(page);
        assert_eq!(answer.status, 200, "{page}");
        assert!(!String::from_utf8_lossy(&answer.body).contains("://"), "{page} reaches for another host");
    }
    let info = server.client.get("/api/v1/info").json();
    assert_eq!(info["model"]["family"], "qwen2_5_vl");
    assert_eq!(server.client.get("/healthz").status, 200);
    assert_eq!(server.client.get("/readyz").status, 200);
}

#[test]
fn every_error_is_a_problem() {
    let data = data_dir();
    let server = Server::start(data.path());
    let json = [("content-type", "application/json")];
    for (method, path, headers, body, status, kind) in [
        ("GET", "/api/v1/nothing", &[][..], "", 404, "not-found"),
        ("GET", "/api/v2/images", &[], "", 404, "not-found"),
        ("GET", "/api", &[], "", 404, "not-found"),
        ("PUT", "/api/v1/images", &[], "", 405, "method-not-allowed"),
        ("DELETE", "/api/v1/info", &[], "", 405, "method-not-allowed"),
        ("GET", "/api/v1/images/not-an-id", &[], "", 400, "bad-request"),
        ("GET", "/api/v1/assessments/7/events", &[], "", 400, "bad-request"),
        ("POST", "/api/v1/assessments", &json, "{", 400, "bad-request"),
        ("POST", "/api/v1/assessments", &json, "\"text\"", 422, "unprocessable"),
        ("POST", "/api/v1/assessments", &[("content-type", "text/plain")], "{}", 415, "not-json"),
        ("POST", "/api/v1/assessments?wait=1", &json, "{}", 400, "bad-request"),
    ] {
        let answer = server.client.send(method, path, headers, body.as_bytes());
        assert_eq!(answer.status, status, "{method} {path}");
        assert_eq!(problem(&answer), kind, "{method} {path}");
        assert_eq!(answer.header("x-request-id").len(), 36, "{method} {path}");
    }
}

#[test]
fn every_answer_has_the_security_headers() {
    let data = data_dir();
    let server = Server::start(data.path());
    for path in ["/", "/some/view", "/api/docs", "/api/v1/images", "/api/v1/nothing", "/healthz"] {
        let answer = server.client.get(path);
        let policy = answer.header("content-security-policy");
        assert!(
            policy.contains("default-src 'self'") && policy.contains("frame-ancestors 'none'"),
            "{path}: {policy}"
        );
        let scripts =
            policy.split(';').find(|part| part.trim().starts_with("script-src")).expect("a rule for scripts");
        assert!(!scripts.contains("unsafe-inline") && !scripts.contains("'unsafe-eval'"), "{path}: {policy}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{path}");
    }
}

#[test]
fn other_sites_cannot_ask() {
    let data = data_dir();
    let server = Server::start(data.path());
    let client = &server.client;
    let own = client.url.clone();
    let post = |origin: (&str, &str)| {
        let headers = [("content-type", "application/json"), origin];
        client.send("POST", "/api/v1/assessments", &headers, b"{}")
    };
    assert_eq!(post(("origin", &own)).status, 422);
    for origin in [("origin", "https://evil.example"), ("origin", "null"), ("sec-fetch-site", "cross-site")] {
        let answer = post(origin);
        assert_eq!((answer.status, problem(&answer).as_str()), (403, "foreign-origin"), "{origin:?}");
    }
    // A foreign name that was made to lead here.
    let answer = client.send("GET", "/api/v1/images", &[("host", "evil.example")], &[]);
    assert_eq!((answer.status, problem(&answer).as_str()), (403, "foreign-host"));
    let localhost = Client::new(&own.replace("127.0.0.1", "localhost"));
    assert_eq!(localhost.get("/api/v1/images").status, 200);
}
