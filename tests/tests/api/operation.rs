//! Storage, health and the audit log's filters, as administrators meet them.

use std::fs;

use qponder_tests::client::{Client, text};
use qponder_tests::people::{first_admin, new_user};
use qponder_tests::pictures::png;
use qponder_tests::server::{Server, data_dir, root};
use serde_json::{Value, json};

use crate::problem;

/// Counts the files and waits for the end.
fn count(client: &Client) -> Value {
    assert_eq!(client.post("/api/v1/storage/count", &json!({})).status, 202);
    for _ in 0..500 {
        let files = client.get("/api/v1/storage").json()["files"].clone();
        if !files["finished_at"].is_null() {
            return files;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("the count never ends");
}

#[test]
fn files_that_nothing_names_are_found_and_removed_and_no_others() {
    let data = data_dir();
    let server = Server::start(data.path());
    let client = &server.client;
    let early = client.delete("/api/v1/storage/orphans");
    assert_eq!((early.status, problem(&early).as_str()), (409, "conflict"));
    let image = client.add_image("a.png", &png(30, 20, 1));
    assert_eq!(client.get(&format!("/api/v1/images/{image}/rendering")).status, 200);
    let export = json!({ "source": { "answers": {} }, "format": "csv" });
    let exported = client.transferred(&client.post("/api/v1/exports", &export));
    let clean = count(client);
    let files: Vec<u64> = clean["kinds"]
        .as_array()
        .expect("kinds")
        .iter()
        .map(|kind| kind["files"].as_u64().expect("a number"))
        .collect();
    assert_eq!((files, &clean["orphans"]["files"]), (vec![1, 1, 1, 1, 0, 0], &json!(0)), "{clean}");

    // What a crash or a restored database leaves: bytes without rows.
    let lost = "ab".repeat(32);
    for folder in ["originals", "thumbnails"] {
        let place = data.path().join("objects").join(folder).join("ab");
        fs::create_dir_all(&place).expect("a folder");
        fs::write(place.join(&lost), b"12345").expect("written");
    }
    let export = data.path().join("objects/exports/01");
    fs::create_dir_all(&export).expect("a folder");
    fs::write(export.join("01890000-0000-7000-8000-000000000000"), b"1").expect("written");
    let found = count(client);
    assert_eq!((&found["orphans"]["files"], &found["orphans"]["bytes"]), (&json!(3), &json!(11)), "{found}");
    let removed = client.delete("/api/v1/storage/orphans");
    assert_eq!((removed.status, &removed.json()["files"]), (200, &json!(3)), "{}", removed.json());
    assert_eq!(count(client)["orphans"]["files"], 0);
    for path in ["original", "thumbnail", "rendering"] {
        assert_eq!(client.get(&format!("/api/v1/images/{image}/{path}")).status, 200, "{path} is gone");
    }
    assert_eq!(client.get(&format!("/api/v1/transfers/{}/file", text(&exported["id"]))).status, 200);

    // A file found without a row, which has one by the time it is removed, stays.
    let bytes = png(30, 20, 99);
    let hash = {
        let added = client.add_image("b.png", &bytes);
        let hash = text(&client.get(&format!("/api/v1/images/{added}")).json()["sha256"]);
        assert_eq!(client.delete(&format!("/api/v1/images/{added}")).status, 204);
        hash
    };
    let place = data.path().join("objects/originals").join(&hash[..2]);
    fs::create_dir_all(&place).expect("a folder");
    fs::write(place.join(&hash), &bytes).expect("written");
    assert_eq!(count(client)["orphans"]["files"], 1);
    let again = client.add_image("b.png", &bytes);
    assert_eq!(client.delete("/api/v1/storage/orphans").json()["files"], 0);
    assert_eq!(client.get(&format!("/api/v1/images/{again}/original")).status, 200);

    let storage = client.get("/api/v1/storage").json();
    assert!(
        storage["disk"]["free"].as_u64() > Some(0) && storage["database_bytes"].as_u64() > Some(1_000_000)
    );
    assert!(storage["tables"].as_array().expect("tables").iter().any(|table| table["name"] == "audit_log"));
    let _ = server.stop();
}

#[test]
fn health_names_each_part_and_what_to_do() {
    let data = data_dir();
    let server = Server::start(data.path());
    let client = &server.client;
    let health = client.get("/api/v1/health").json();
    let checks = health["checks"].as_array().expect("checks");
    let names: Vec<&str> = checks.iter().filter_map(|check| check["name"].as_str()).collect();
    for part in ["Database", "Object store", "Disk", "Imports and exports", "Memory"] {
        assert!(names.contains(&part), "{part} is not in {names:?}");
    }
    assert!(names.iter().any(|name| name.starts_with("Model ")), "{names:?}");
    assert!(health.to_string().contains("PostgreSQL"), "{health}");
    // An import that failed wants attention, and says where to look.
    let images = json!({ "content": { "images": {} } });
    assert_eq!(client.transferred(&client.import(&images, "x.txt", b"x"))["state"], "failed");
    let health = client.get("/api/v1/health").json();
    let check = health["checks"]
        .as_array()
        .expect("checks")
        .iter()
        .find(|check| check["name"] == "Imports and exports");
    let check = check.expect("the part");
    assert_eq!(check["condition"], "attention", "{check}");
    assert!(text(&check["advice"]).contains("Data"), "{check}");
    let _ = server.stop();
}

#[test]
fn the_audit_log_is_filtered_by_what_who_when_and_which() {
    let data = data_dir();
    let (server, link) = Server::start_new_with_accounts(data.path(), &[]);
    let admin = first_admin(&server.client, &link);
    let reviewer = new_user(&server.client, &admin, "reviewer", "rhea");
    let study = reviewer.post("/api/v1/studies", &json!({ "name": "S", "task": "acr", "overlap": 1 })).json();
    let study = text(&study["id"]);
    let _ = admin.add_image("a.png", &png(24, 24, 1));
    let lines = |query: &str| {
        let answer = admin.get(&format!("/api/v1/audit?{query}"));
        assert_eq!(answer.status, 200, "{}", answer.json());
        answer.json()["items"].as_array().expect("lines").clone()
    };
    let all = lines("limit=200");
    assert!(lines("noun=study").iter().all(|line| text(&line["action"]).starts_with("study.")));
    assert_eq!(lines("noun=study").len(), 1);
    let hers = lines("actor=rhea%40example.org");
    assert!(!hers.is_empty() && hers.iter().all(|line| line["actor"] == "rhea@example.org"));
    assert_eq!(lines(&format!("object={study}")).len(), 1);
    assert_eq!(lines("noun=study&actor=admin%40example.org").len(), 0);
    // All of them, or none, by day; pages go on under the same filter.
    assert_eq!(lines("limit=200&since=2020-01-01&until=2099-12-31"), all);
    assert_eq!(lines("until=2020-01-01").len() + lines("since=2099-01-01").len(), 0);
    let first = admin.get("/api/v1/audit?actor=admin%40example.org&limit=1").json();
    let next = admin
        .get(&format!("/api/v1/audit?actor=admin%40example.org&limit=1&cursor={}", text(&first["next"])));
    assert_ne!(first["items"][0]["id"], next.json()["items"][0]["id"]);
    assert_eq!(next.json()["items"][0]["actor"], "admin@example.org");
    assert_eq!(admin.get("/api/v1/audit?since=soon").status, 400);
    let _ = server.stop();
}

#[test]
fn the_dashboard_asks_for_metrics_that_there_are() {
    let data = data_dir();
    let server = Server::start(data.path());
    let client = &server.client;
    let image = client.add_image("a.png", &png(64, 48, 3));
    let _ = client.assess(&json!({ "image_id": image, "mode": "quick" }));
    let metrics = String::from_utf8(client.get("/metrics").body).expect("text");
    let known: Vec<&str> =
        metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let file = root().join("docs/operations/grafana.json");
    let dashboard: Value = serde_json::from_str(&fs::read_to_string(file).expect("a file")).expect("JSON");
    let mut asked = 0;
    for panel in dashboard["panels"].as_array().expect("panels") {
        for target in panel["targets"].as_array().expect("targets") {
            let expression = target["expr"].as_str().expect("an expression");
            for word in expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
                let name = word.trim_end_matches("_count").trim_end_matches("_sum");
                if word.starts_with("qponder_") {
                    assert!(
                        known.contains(&name) || known.contains(&word),
                        "{word} is in no answer of /metrics"
                    );
                    asked += 1;
                }
            }
        }
    }
    assert!(asked > 10, "{asked}");
}
